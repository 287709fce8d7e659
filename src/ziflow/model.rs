//! Ziflow's words: the fields of a user, what each may hold and when it may be written, and a user as read.
//! Pure. `api_key` is dropped while parsing, so that other people's keys exist in no type of ours.
//!
//! Source: Ziflow's public API reference, operations on `/users` and `/contacts`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// A field of a Ziflow user that the bridge can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Email,
    FirstName,
    LastName,
    Company,
    Phone,
    Language,
    Timezone,
    Roles,
    Group,
    Active,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IANA time zone name.
    TimeZone,
    Boolean,
    /// Any of these words.
    Choices(&'static [&'static str]),
    /// Any texts.
    Texts,
}

/// Languages that Ziflow's interface speaks.
pub const LANGUAGES: &[&str] = &["en", "zh_cn", "de", "fr", "ja", "pt_br", "es"];

/// Roles of a user, by their API names.
pub const ROLES: &[&str] = &["admin", "manager", "billing", "user", "lite_user"];

/// The role that may do everything in the account.
pub const ADMIN: &str = "admin";

/// The role that everybody with a seat has.
pub const PLAIN_USER: &str = "user";

/// The role that Ziflow sells as a seat type of its own: it stands alone or not at all.
pub const LITE_USER: &str = "lite_user";

impl Field {
    /// Every field, in the order in which people read them.
    pub const ALL: &'static [Self] = &[
        Self::Email,
        Self::FirstName,
        Self::LastName,
        Self::Company,
        Self::Phone,
        Self::Language,
        Self::Timezone,
        Self::Roles,
        Self::Group,
        Self::Active,
    ];

    /// Ziflow's name of the field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Company => "company",
            Self::Phone => "phone",
            Self::Language => "language",
            Self::Timezone => "timezone",
            Self::Roles => "roles",
            Self::Group => "group",
            Self::Active => "active",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }

    pub fn field_type(self) -> FieldType {
        match self {
            Self::Email | Self::FirstName | Self::LastName | Self::Company | Self::Phone => FieldType::Text,
            Self::Language => FieldType::Choice(LANGUAGES),
            Self::Timezone => FieldType::TimeZone,
            Self::Roles => FieldType::Choices(ROLES),
            Self::Group => FieldType::Texts,
            Self::Active => FieldType::Boolean,
        }
    }

    /// Whether `POST /users` takes the field. `active` is not among them: a new user is always active.
    pub fn on_create(self) -> bool {
        self != Self::Active
    }

    /// Whether `PUT /users/{id}` takes the field. The e-mail address never changes there.
    pub fn on_update(self) -> bool {
        self != Self::Email
    }

    /// Whether an empty text takes the value away. Ziflow has no way to unset the others.
    pub fn can_be_cleared(self) -> bool {
        matches!(self.field_type(), FieldType::Text) && self != Self::Email
    }

    /// Whether the field holds several values, of which some may have been set by hand in Ziflow.
    pub fn is_list(self) -> bool {
        matches!(self.field_type(), FieldType::Choices(_) | FieldType::Texts)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    Text(String),
    Boolean(bool),
    List(Vec<String>),
}

impl FieldValue {
    /// Equality as Ziflow means it: lists are sets.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => {
                a.iter().all(|item| b.contains(item)) && b.iter().all(|item| a.contains(item))
            }
            _ => self == other,
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Boolean(flag) => Value::from(*flag),
            Self::List(items) => Value::from(items.clone()),
        }
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Bool(flag) => Some(Self::Boolean(*flag)),
            Value::Array(items) => {
                Some(Self::List(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
            }
            _ => None,
        }
    }

    /// Whether a field of this type can hold it.
    fn is_of(&self, field_type: FieldType) -> bool {
        match field_type {
            FieldType::Text | FieldType::Choice(_) | FieldType::TimeZone => matches!(self, Self::Text(_)),
            FieldType::Boolean => matches!(self, Self::Boolean(_)),
            FieldType::Choices(_) | FieldType::Texts => matches!(self, Self::List(_)),
        }
    }

    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Boolean(_) => false,
            Self::List(items) => items.is_empty(),
        }
    }
}

/// Some fields with their values: what a create or an update sends.
pub type Fields = BTreeMap<Field, FieldValue>;

/// A user as Ziflow shows them. Every field may be missing: which ones Ziflow leaves out is not documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub email: String,
    pub active: bool,
    pub account_owner: bool,
    /// Seen only among the contacts: they exist, and whether they could sign in is not known.
    pub contact: bool,
    /// Kept as read, only to be sent back by updates that carry the whole person.
    pub proofing_defaults: Option<Value>,
    /// The other fields, as far as Ziflow showed them and they are not empty.
    fields: Fields,
}

impl User {
    /// Reads a user object; `None` when it carries no id, no e-mail address or no readable `active`.
    pub fn from_json(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let id = identifier(object)?;
        let email = object.get("email")?.as_str()?.to_owned();
        let active = match object.get("active") {
            // Only an explicit word disables a person.
            None | Some(Value::Null) => true,
            Some(active) => active.as_bool()?,
        };
        Some(Self {
            id,
            email,
            active,
            account_owner: object.get("account_owner").and_then(Value::as_bool).unwrap_or(false),
            contact: false,
            proofing_defaults: object.get("proofing_defaults").filter(|value| value.is_object()).cloned(),
            fields: fields(object),
        })
    }

    /// What `from_json` reads, without the id and `proofing_defaults`.
    pub fn to_json(&self) -> Value {
        let mut object: Map<String, Value> =
            self.fields.iter().map(|(field, value)| (field.name().to_owned(), value.to_json())).collect();
        object.insert("email".to_owned(), self.email.as_str().into());
        if !self.active {
            object.insert("active".to_owned(), false.into());
        }
        if self.account_owner {
            object.insert("account_owner".to_owned(), true.into());
        }
        Value::Object(object)
    }

    /// Reads a contact object (`/contacts`), which is how a deactivated user may still be seen. Who is no user
    /// has no licence and is shown as inactive; that they cannot sign in is not said by it.
    pub fn from_contact_json(value: &Value) -> Option<Self> {
        Self::from_json(value).map(|user| Self { active: false, contact: true, ..user })
    }

    /// The value of a field; `None` when Ziflow shows none or an empty one.
    pub fn get(&self, field: Field) -> Option<FieldValue> {
        match field {
            Field::Email => Some(FieldValue::Text(self.email.clone())),
            Field::Active => Some(FieldValue::Boolean(self.active)),
            _ => self.fields.get(&field).cloned(),
        }
    }

    /// Everything an update may carry, as Ziflow shows it.
    pub fn updatable(&self) -> Fields {
        let value = |field: &Field| Some((*field, self.get(*field)?));
        Field::ALL.iter().filter(|field| field.on_update()).filter_map(value).collect()
    }

    /// The items of a list field.
    pub fn list(&self, field: Field) -> &[String] {
        match self.fields.get(&field) {
            Some(FieldValue::List(items)) => items,
            _ => &[],
        }
    }

    /// The user as they are after an update that Ziflow confirmed without showing the person.
    #[must_use]
    pub fn with(mut self, changes: &Fields) -> Self {
        for (field, value) in changes {
            match (field, value) {
                (Field::Active, FieldValue::Boolean(active)) => self.active = *active,
                (Field::Email, _) => {}
                (field, value) if value.is_empty() => drop(self.fields.remove(field)),
                (field, value) => drop(self.fields.insert(*field, value.clone())),
            }
        }
        self
    }
}

/// Ids are opaque texts; a number is taken as its digits.
fn identifier(object: &Map<String, Value>) -> Option<String> {
    match object.get("id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn fields(object: &Map<String, Value>) -> Fields {
    let read = |field: &Field| {
        let value = FieldValue::from_json(object.get(field.name())?)?;
        let value = if *field == Field::Roles { plain_roles(value) } else { value };
        // Shown in SCIM, a value of another type would be none of the attribute's.
        (value.is_of(field.field_type()) && !value.is_empty()).then_some((*field, value))
    };
    Field::ALL
        .iter()
        .filter(|field| !matches!(field, Field::Email | Field::Active))
        .filter_map(read)
        .collect()
}

/// Ziflow's internal interface used to say `ROLE_USER` where the API says `user`; both are understood.
fn plain_roles(value: FieldValue) -> FieldValue {
    let plain = |role: String| {
        let role = role.to_ascii_lowercase();
        role.strip_prefix("role_").map(str::to_owned).unwrap_or(role)
    };
    match value {
        FieldValue::List(roles) => FieldValue::List(roles.into_iter().map(plain).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_read_with_whatever_is_there() {
        let user = User::from_json(&json!({
            "id": "auth0|1", "email": "Jo@Example.com", "first_name": "Jo", "phone": "",
            "roles": ["ROLE_USER", "Admin"], "group": null, "language": 7, "api_key": "secret",
            "company": ["of another type"], "timezone": true,
        }))
        .unwrap();
        assert_eq!(user.get(Field::FirstName), Some(FieldValue::Text("Jo".into())));
        assert_eq!(user.get(Field::Phone), None);
        assert_eq!(user.get(Field::Language), None);
        assert_eq!((user.get(Field::Company), user.get(Field::Timezone)), (None, None));
        assert_eq!(user.list(Field::Roles), ["user", "admin"]);
        assert!(user.active && !user.account_owner);
        assert!(!format!("{user:?}").contains("secret"));
    }

    #[test]
    fn what_has_no_id_or_address_is_no_user() {
        for value in [
            json!({}),
            json!([]),
            json!({"id": "1"}),
            json!({"email": "a@b"}),
            json!({"id": "", "email": "a"}),
            json!({"id": "1", "email": "a@b", "active": "false"}),
        ] {
            assert_eq!(User::from_json(&value), None, "{value}");
        }
    }

    #[test]
    fn a_contact_is_an_inactive_person() {
        let contact = json!({"id": "c1", "email": "a@b.c", "blocked": false, "roles": ["user"]});
        let contact = User::from_contact_json(&contact).unwrap();
        assert!(contact.contact && !contact.active);
    }

    #[test]
    fn changes_are_seen_on_the_user() {
        let user = User::from_json(&json!({"id": "1", "email": "a@b.c", "phone": "1"})).unwrap();
        let changes = Fields::from([
            (Field::Phone, FieldValue::Text(String::new())),
            (Field::Active, FieldValue::Boolean(false)),
            (Field::Roles, FieldValue::List(vec!["user".into()])),
        ]);
        let after = user.with(&changes);
        assert_eq!(after.get(Field::Phone), None);
        assert!(!after.active);
        assert_eq!(after.list(Field::Roles), ["user"]);
    }
}
