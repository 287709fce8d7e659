//! Drift: people whose state in Ziflow differs from what Entra last wrote, because somebody changed them there by hand,
//! Ziflow did so itself, or what their groups grant is still to be applied. Nothing is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::bridge::find::{AT_ONCE, USER_NAME, ZIFLOW_EMAIL, key};
use crate::bridge::{Bridge, State};
use crate::mapping::Mapping;
use crate::scim::error::Error;
use crate::scim::resource::Resource;
use crate::store::Person;
use crate::ziflow::error::Error as Upstream;
use crate::ziflow::everyone::Known;
use crate::ziflow::model::{Field, User};
use crate::ziflow::snapshot::Snapshot;
use crate::ziflow::transport::Call;

/// What a report finds.
#[derive(Debug, Default)]
pub struct Drift {
    /// How many people Entra has written.
    pub compared: usize,
    pub people: Vec<Drifted>,
}

/// Somebody who differs.
#[derive(Debug)]
pub struct Drifted {
    pub id: String,
    pub user_name: String,
    pub differences: Vec<Difference>,
}

/// One thing in which they do.
#[derive(Debug)]
pub struct Difference {
    /// The Ziflow field; `user` when Ziflow has no such person any more, `grants` while what their groups grant waits.
    pub field: &'static str,
    /// What follows from what Entra wrote.
    pub entra: Value,
    pub ziflow: Value,
}

impl Bridge {
    /// Compares everybody whom Entra has written with Ziflow. `deadline` is for the walk over all of Ziflow's pages.
    pub async fn drift(&self, deadline: Instant) -> Result<Drift, Error> {
        if let Some(reason) = self.another_account(&Call::until(deadline)).await? {
            return Err(Error::new(http::StatusCode::BAD_GATEWAY, reason));
        }
        let known: Vec<_> = self.store.everybody(ZIFLOW_EMAIL).await?;
        let ids: Vec<String> = known.iter().map(|(id, _)| id.clone()).collect();
        let known = known.into_iter().map(|(id, email)| Known { id, email }).collect();
        let snapshot = self.walked(known, deadline).await?;
        let mapping = self.mapping_in_force();
        let mut waiting: BTreeMap<_, _> = self.store.grants_waiting().await?.into_iter().collect();
        let mut drift = Drift { compared: ids.len(), people: Vec::new() };
        for ids in ids.chunks(AT_ONCE) {
            for row in self.store.people(ids.to_vec()).await? {
                let mut person = drifted(&mapping.mapping, &row, &snapshot);
                person.differences.extend(waiting.remove(&row.id).map(not_applied));
                drift.people.extend(Some(person).filter(|person| !person.differences.is_empty()));
            }
        }
        // Members whom Entra has never written themselves.
        drift.people.extend(waiting.into_iter().map(|(id, error)| {
            let user = snapshot.person_with(&id);
            let user_name = user.map(|user| user.email).unwrap_or_default();
            Drifted { id, user_name, differences: vec![not_applied(error)] }
        }));
        Ok(drift)
    }

    /// How many of Ziflow's people have been read for it so far; none before and after.
    pub fn read_so_far(&self) -> Option<usize> {
        self.directory.read_so_far()
    }

    async fn walked(
        &self,
        known: Vec<Known>,
        deadline: Instant,
    ) -> Result<std::sync::Arc<Snapshot>, Upstream> {
        loop {
            match self.directory.everyone(&Call::until(deadline), Some(known.clone())).await? {
                Some(snapshot) => return Ok(snapshot),
                None => sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// What somebody's groups grant and Ziflow does not have yet.
fn not_applied(error: Option<String>) -> Difference {
    let why = error.unwrap_or_else(|| "not applied yet".to_owned());
    Difference { field: "grants", entra: json!("waiting"), ziflow: json!(why) }
}

fn drifted(mapping: &Mapping, row: &Person, snapshot: &Snapshot) -> Drifted {
    let stored = Resource::from_stored(row.resource.clone());
    let user = snapshot.person_with(&row.id);
    let differences = match &user {
        Some(user) => differences(mapping, row, &stored, user),
        None => vec![Difference { field: "user", entra: json!("exists"), ziflow: json!("gone") }],
    };
    let user_name = stored.as_map().get("userName").and_then(Value::as_str).map(str::to_owned);
    let user_name = user_name.or_else(|| key(row, USER_NAME)).unwrap_or_default();
    Drifted { id: row.id.clone(), user_name, differences }
}

fn differences(mapping: &Mapping, row: &Person, stored: &Resource, user: &User) -> Vec<Difference> {
    let state = State::of(Some(row));
    let mut found: Vec<_> = mapping
        .drift(stored, &state.memory, user)
        .into_iter()
        .map(|one| Difference {
            field: one.field.name(),
            entra: one.wanted.to_json(),
            ziflow: one.got.map_or(Value::Null, |got| got.to_json()),
        })
        .collect();
    let lists = Field::ALL.iter().filter(|field| field.is_list());
    found.extend(lists.filter_map(|field| list_difference(mapping, &state, stored, user, *field)));
    found
}

/// Of a list, what the bridge has granted can be missing; where it owns the list, more is too much as well.
fn list_difference(
    mapping: &Mapping,
    state: &State,
    stored: &Resource,
    user: &User,
    field: Field,
) -> Option<Difference> {
    let got = user.list(field);
    let mut expected = state.granted.get(field).to_vec();
    if mapping.owns(field) {
        expected = mapping.wanted_list(stored, field).unwrap_or(expected);
    }
    let by_groups = state.granted_by_groups.get(field);
    expected.extend(by_groups.iter().filter(|item| !expected.contains(item)).cloned().collect::<Vec<_>>());
    let missing = expected.iter().any(|item| !got.contains(item));
    let too_many = mapping.owns(field) && got.iter().any(|item| !expected.contains(item));
    (missing || too_many).then(|| Difference {
        field: field.name(),
        entra: json!(expected),
        ziflow: json!(got),
    })
}
