//! What groups grant by the mapping, and who gains or loses what by it, put together for `explain`.

use serde_json::{Map, Value, json};

use crate::bridge::record::Event;
use crate::cli::outcome::{Explained, Planned};
use crate::mapping::Mapping;
use crate::mapping::groups::{DeclaredBy, Grants};
use crate::simulator::Call;

/// A group as the mapping sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupSeen {
    pub(super) name: String,
    pub(super) external_id: Option<String>,
    pub(super) declared_by: Option<DeclaredBy>,
    pub(super) grants: Grants,
}

/// Somebody for whom what their groups grant was applied, or was not.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) active: bool,
    /// What all their groups grant now.
    pub(super) grants: Grants,
    /// The lists that groups have, or had, a word in.
    pub(super) fields: Vec<Explained>,
    /// Whether it was decided what is written.
    pub(super) decided: bool,
}

impl GroupSeen {
    pub(super) fn new(mapping: &Mapping, name: &str, external_id: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            external_id: external_id.map(str::to_owned),
            declared_by: mapping.declared_by(name, external_id),
            grants: mapping.grants(name, external_id),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "displayName": self.name,
            "externalId": self.external_id,
            "declaredBy": self.declared_by,
            "grants": self.grants,
        })
    }

    /// What it grants, a line each, and why.
    pub(super) fn lines(&self) -> Vec<String> {
        let lists = [("roles", &self.grants.roles), ("group", &self.grants.group)];
        let lists = lists.into_iter().filter(|(_, items)| !items.is_empty());
        let mut lines: Vec<String> =
            lists.map(|(field, items)| format!("{field}: {}", json!(items))).collect();
        let why = match self.declared_by {
            Some(DeclaredBy::ObjectId) => "it is declared by its object id, the externalId",
            Some(DeclaredBy::Name) => "it is declared by its name",
            Some(DeclaredBy::Star) => "it has no declaration of its own, so that of `*` holds",
            None => "it is declared neither by its object id nor by its name, and there is no `*`",
        };
        if lines.is_empty() {
            return vec![format!("nothing: {why}")];
        }
        lines.push(why.to_owned());
        lines
    }
}

/// The groups that were made or changed.
pub(super) fn groups(events: &[Event]) -> Vec<GroupSeen> {
    let group = |event: &Event| match event {
        Event::Group { mapping, name, external_id } => {
            Some(GroupSeen::new(mapping, name, external_id.as_deref()))
        }
        _ => None,
    };
    events.iter().filter_map(group).collect()
}

/// Everybody who had their turn, in order.
pub(super) fn turns(events: &[Event], calls: &[Call]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for event in events {
        match (event, turns.last_mut()) {
            (Event::Turn { user, grants }, _) => turns.push(Turn {
                id: user.id.clone(),
                email: user.email.clone(),
                active: user.active,
                grants: grants.clone(),
                fields: Vec::new(),
                decided: false,
            }),
            (Event::Planned { user, wanted, fields, notes }, Some(turn))
                if turn.id == user.id && !turn.decided =>
            {
                turn.decided = true;
                let planned = Planned { user, wanted, fields, notes };
                let explained =
                    |field| Explained::of_turn(field, &planned, is_written(calls, &user.id, field.name()));
                turn.fields = wanted.keys().copied().map(explained).collect();
            }
            _ => {}
        }
    }
    turns
}

/// Whether an update of this person's field went well.
fn is_written(calls: &[Call], id: &str, field: &str) -> bool {
    let path = format!("/{}", percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC));
    calls.iter().any(|call| {
        call.method == "PUT"
            && call.path.ends_with(&path)
            && call.body.get(field).is_some()
            && call.status.is_some_and(|status| (200..300).contains(&status))
    })
}

impl Turn {
    pub(super) fn to_json(&self) -> Value {
        let fields: Vec<Value> = self.fields.iter().map(|field| without_steps(field.to_json())).collect();
        json!({
            "id": self.id,
            "email": self.email,
            "active": self.active,
            "grants": self.grants,
            "fields": fields,
        })
    }

    /// What becomes of the person, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        if !self.active {
            return vec!["is disabled, and gets what their groups grant on their return".to_owned()];
        }
        if !self.decided {
            return vec!["is left as they are; the log says why".to_owned()];
        }
        if self.fields.is_empty() {
            return vec!["no group grants them anything, or has done so".to_owned()];
        }
        self.fields.iter().map(Explained::headline).collect()
    }
}

/// The mapping is asked for the lists that it gave; how it came to them is not told here.
fn without_steps(field: Value) -> Value {
    match field {
        Value::Object(field) => {
            Value::Object(field.into_iter().filter(|(name, _)| name != "steps").collect::<Map<_, _>>())
        }
        other => other,
    }
}
