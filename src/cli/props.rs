//! What `explain` puts in place before a request comes: the person and the group that were given, and whom and what a
//! request about a group takes for granted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::entra::Entra;
use crate::cli::granted::GroupSeen;
use crate::cli::request::{EXAMPLE_ID, Request};
use crate::cli::stage::Stage;
use crate::scim::error::Error;
use crate::scim::members::{self, Membership};
use crate::scim::patch::Patch;
use crate::scim::resource::Resource;
use crate::scim::schema::GROUP_TYPE;
use crate::scim::version::Conditions;

/// Nobody else wants the simulated Ziflow.
const PATIENCE: Duration = Duration::from_secs(600);

/// What stands around a request about a group.
#[derive(Debug, Default)]
pub(super) struct Props {
    pub(super) group: Option<Group>,
    /// The ids of people who were made up, since somebody names them.
    pub(super) people: Vec<String>,
}

/// The group that is there before the request.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) seen: GroupSeen,
    pub(super) members: Vec<String>,
    /// Whether `--group` gave it.
    pub(super) given: bool,
}

/// So many ids are named in a sentence.
const NAMED: usize = 5;

impl Props {
    pub(super) fn to_json(&self) -> Value {
        let group = self.group.as_ref().map(|group| {
            json!({
                "id": group.id,
                "displayName": group.seen.name,
                "externalId": group.seen.external_id,
                "members": group.members,
                "madeUp": !group.given,
            })
        });
        json!({ "group": group, "peopleMadeUp": self.people })
    }

    /// What is there, in words.
    pub(super) fn lines(&self) -> Vec<String> {
        let group = self.group.as_ref().map(Group::text);
        let people = (!self.people.is_empty()).then(|| {
            let named: Vec<&str> = self.people.iter().take(NAMED).map(String::as_str).collect();
            let more = match self.people.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("Made up, since they are named: {}{more}.", named.join(", "))
        });
        group.into_iter().chain(people).collect()
    }
}

impl Group {
    fn text(&self) -> String {
        let members = match self.members.len() {
            0 => "without members".to_owned(),
            1 => "with 1 member".to_owned(),
            more => format!("with {more} members"),
        };
        let name = &self.seen.name;
        if self.given {
            return format!("There is the group `{name}` {members}.");
        }
        format!("There is a group `{name}` {members}, made up for this request; --group gives another.")
    }
}

pub(super) fn id_of(resource: &Value) -> Option<&str> {
    resource.get("id").and_then(Value::as_str)
}

/// Makes the person of `--user` exist, and says their id. A SCIM user is created through the bridge, so that it
/// remembers what Entra wrote and which roles it gave; a Ziflow user was made by hand.
pub(super) async fn person(stage: &Stage, entra: &Entra, mut user: Value) -> Result<String, String> {
    if user.get("userName").is_none() && user.get("schemas").is_none() {
        if user.get("email").and_then(Value::as_str).is_none_or(|email| !email.contains('@')) {
            return Err(
                "--user is neither a Ziflow user, which has an `email`, nor a SCIM user, which has a \
                        `userName`"
                    .to_owned(),
            );
        }
        // What is not said of the person is not there: the simulated Ziflow would fill in its own.
        if let Some(fields) = user.as_object_mut() {
            for name in ["company", "phone", "language", "timezone"] {
                fields.entry(name).or_insert_with(|| json!(""));
            }
        }
        return Ok(stage.ziflow.add_person(user));
    }
    let id = id_of(&user).map(str::to_owned);
    created(stage, entra, &user, id).await?.map_err(|detail| {
        format!(
            "the person of --user cannot be made with this mapping: {detail}\nWho was there before it can be given as \
             Ziflow's API shows them: {{\"id\": …, \"email\": …, \"first_name\": …}}"
        )
    })
}

/// Makes somebody exist of whom only a part is known, and says their id. Where the mapping refuses such a person, they are
/// made by hand.
pub(super) async fn somebody(stage: &Stage, entra: &Entra, user: &Value) -> Result<String, String> {
    let id = id_of(user).map(str::to_owned);
    if let Ok(id) = created(stage, entra, user, id).await? {
        return Ok(id);
    }
    let text = |pointer: &str| user.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut made = json!({
        "email": text("/userName").to_lowercase(), "first_name": text("/name/givenName"),
        "last_name": text("/name/familyName"), "company": "", "phone": "", "language": "", "timezone": "",
    });
    if let (Some(id), Some(fields)) = (id_of(user), made.as_object_mut()) {
        fields.insert("id".to_owned(), id.into());
    }
    Ok(stage.ziflow.add_person(made))
}

/// Creates somebody through the bridge, with this id if one is given; or says why that is refused.
async fn created(
    stage: &Stage,
    entra: &Entra,
    user: &Value,
    id: Option<String>,
) -> Result<Result<String, String>, String> {
    if let Some(id) = id {
        stage.ziflow.next_id(id);
    }
    let (status, answer) =
        entra.ask("POST", &format!("{}/Users", stage.url), &[], Some(user.to_string())).await?;
    if let (201, Some(id)) = (status, id_of(&answer)) {
        return Ok(Ok(id.to_owned()));
    }
    let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("no reason was given");
    Ok(Err(detail.to_owned()))
}

/// Puts in place what a request about a group takes for granted: the group, and everybody who is named.
pub(super) async fn around(
    stage: &Stage,
    entra: &Entra,
    request: &Request,
    given: Option<Value>,
) -> Result<Props, String> {
    let Named { mentioned, leaving } = Named::by(request);
    let is_given = given.is_some();
    let group = match (given, request.group_id()) {
        (Some(group), named) => {
            let id = id_of(&group).map(str::to_owned).or(named);
            Some((id.unwrap_or_else(|| EXAMPLE_ID.to_owned()), group))
        }
        (None, Some(id)) => Some((id, made_up(request, &leaving))),
        (None, None) => None,
    };
    let members = match &group {
        Some((_, group)) => members::in_body(group).map_err(|error| refused(&error))?.unwrap_or_default(),
        None => Vec::new(),
    };
    let people = people(stage, entra, members.iter().chain(&mentioned)).await?;
    let Some((id, group)) = group else { return Ok(Props { group: None, people }) };
    let (resource, _) = Resource::from_body(group, &GROUP_TYPE).map_err(|error| refused(&error))?;
    let users = stage.bridge.users(Instant::now() + PATIENCE, Conditions::default());
    let made = users
        .groups()
        .create_as(id.clone(), resource, Some(members.clone()))
        .await
        .map_err(|error| refused(&error))?;
    let text = |name: &str| made.as_map().get(name).and_then(Value::as_str);
    let mapping = stage.bridge.mapping_in_force();
    let name = text("displayName").unwrap_or_default();
    let seen = GroupSeen::new(&mapping.mapping, name, text("externalId"));
    Ok(Props { group: Some(Group { id, seen, members, given: is_given }), people })
}

fn refused(error: &Error) -> String {
    format!("the group of --group cannot be made: {}", error.detail)
}

/// A group that such a request can be about: whoever is to leave is in it.
fn made_up(request: &Request, leaving: &[String]) -> Value {
    let name = match request.method.as_str() {
        "PUT" => body_of(request).and_then(|body| Some(body.get("displayName")?.as_str()?.to_owned())),
        _ => None,
    };
    let members: Vec<Value> = leaving.iter().map(|id| json!({ "value": id })).collect();
    json!({ "displayName": name.unwrap_or_else(|| "Example".to_owned()), "members": members })
}

/// The people whom a request about a group names.
#[derive(Debug, Default)]
struct Named {
    mentioned: Vec<String>,
    /// Those of them who are taken out of the group.
    leaving: Vec<String>,
}

impl Named {
    /// What cannot be read names nobody: the bridge says why it refuses that.
    fn by(request: &Request) -> Self {
        let Some(body) = body_of(request).filter(|_| request.is_about_groups()) else {
            return Self::default();
        };
        if request.method != "PATCH" {
            let mentioned = members::in_body(&body).ok().flatten().unwrap_or_default();
            return Self { mentioned, leaving: Vec::new() };
        }
        let memberships = Patch::parse(body, &GROUP_TYPE).and_then(Patch::split_members);
        let mut named = Self::default();
        for membership in memberships.map(|(_, memberships)| memberships).unwrap_or_default() {
            match membership {
                Membership::Add(ids) | Membership::Replace(ids) => named.mentioned.extend(ids),
                Membership::Remove(ids) => {
                    named.mentioned.extend(ids.iter().cloned());
                    named.leaving.extend(ids);
                }
                Membership::RemoveSelected(filter) => {
                    let pins = filter.pins();
                    let ids = pins.iter().filter_map(|(_, value)| value.as_str().map(str::to_owned));
                    let ids: Vec<String> = ids.collect();
                    named.mentioned.extend(ids.iter().cloned());
                    named.leaving.extend(ids);
                }
            }
        }
        named
    }
}

fn body_of(request: &Request) -> Option<Value> {
    serde_json::from_str(request.body.as_deref()?).ok()
}

/// Makes up everybody who is not there yet, and says who that was. They are created through the bridge, as members are
/// in Entra's cycle; where the mapping refuses such people, they are made by hand.
async fn people(
    stage: &Stage,
    entra: &Entra,
    ids: impl Iterator<Item = &String>,
) -> Result<Vec<String>, String> {
    let there: BTreeSet<String> = stage.ziflow.people().iter().filter_map(id_of).map(str::to_owned).collect();
    let mut made: Vec<String> = Vec::new();
    for id in ids {
        if there.contains(id) || made.contains(id) {
            continue;
        }
        let number = made.len() + 1;
        let email = format!("member-{number}@example.com");
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "externalId": format!("member-{number}"), "userName": email, "active": true,
            "displayName": format!("Member {number}"),
            "name": {"givenName": "Member", "familyName": number.to_string()},
            "emails": [{"type": "work", "primary": true, "value": email}],
        });
        if created(stage, entra, &user, Some(id.clone())).await?.is_err() {
            let last_name = number.to_string();
            stage.ziflow.add_person(
                json!({"id": id, "email": email, "first_name": "Member", "last_name": last_name}),
            );
        }
        made.push(id.clone());
    }
    Ok(made)
}
