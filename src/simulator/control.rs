//! The handles for tests and curious people: what was called, what goes wrong, who is there.
//! They need no key, are not in the log, and never fail by a fault.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::faults::Fault;
use super::fields;
use super::world::World;

/// Answers a request to `/__{name}` or `/__{name}/{id}`.
pub(super) fn answer(
    world: &mut World,
    method: &Method,
    name: &str,
    id: Option<&str>,
    body: Option<Value>,
    now: Instant,
) -> Answer {
    let outcome = match (method.as_str(), name, id) {
        ("GET", "calls", None) => Ok(world.calls.to_json()),
        ("DELETE", "calls", None) => {
            world.calls.reset();
            Ok(done())
        }
        ("POST", "faults", None) => parsed(body).and_then(|fault| {
            world.faults.inject(Fault::from_json(&fault)?);
            Ok(done())
        }),
        ("DELETE", "faults", None) => {
            world.faults.clear();
            Ok(done())
        }
        ("POST", "set", None) => parsed(body).and_then(|quirks| set(world, &quirks, now)),
        ("POST", "key", None) => parsed(body).and_then(|key| {
            let key = key
                .as_str()
                .filter(|key| !key.is_empty())
                .ok_or("the body has to be the new key, a JSON text")?;
            key.clone_into(&mut world.key);
            Ok(done())
        }),
        ("GET", "people", None) => Ok(world.people.everybody().map(fields::full).collect()),
        ("POST", "people", None) => parsed(body).and_then(|person| {
            let id = world.people.add_by_hand(person, now, &world.quirks);
            shown(world, &id)
        }),
        ("PATCH", "people", Some(id)) => parsed(body).and_then(|given| {
            world.people.change_by_hand(id, given, now);
            shown(world, id)
        }),
        ("DELETE", "people", Some(id)) => {
            let found = world.people.remove(id, now, Duration::ZERO);
            found.then(done).ok_or_else(|| NOBODY.into())
        }
        _ => Err(NONE_SUCH.into()),
    };
    match outcome {
        Ok(body) => Answer::json(StatusCode::OK, &body),
        Err(error) => Answer::json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    }
}

const NONE_SUCH: &str = "there are: GET and DELETE /__calls, POST and DELETE /__faults, POST /__set, \
                         POST /__key, GET and POST /__people, PATCH and DELETE /__people/{id}";

const NOBODY: &str = "there is no person with this id";

fn parsed(body: Option<Value>) -> Result<Value, String> {
    body.filter(|body| !body.is_null()).ok_or_else(|| "the body has to be JSON".into())
}

/// All or none: a list with a mistake in it changes nothing.
fn set(world: &mut World, quirks: &Value, now: Instant) -> Result<Value, String> {
    let quirks = quirks.as_object().ok_or("the body has to be an object of quirks and values")?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut trial = world.quirks;
    for (name, value) in quirks {
        trial.set(name, &text(value))?;
    }
    for (name, value) in quirks {
        world.set(name, &text(value), now)?;
    }
    Ok(done())
}

fn shown(world: &World, id: &str) -> Result<Value, String> {
    world.people.with_id(id).map(fields::full).ok_or_else(|| NOBODY.into())
}

fn done() -> Value {
    json!({ "done": true })
}
