//! A whole request, `METHOD target` in the first line and the body behind it: refused, or an operation whose body
//! is read to a resource that can be shown and read again.
#![no_main]

use http::{Method, StatusCode, Uri};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use ziflow_scim_bridge::scim::bulk::{Action, Done, Job};
use ziflow_scim_bridge::scim::error::Error;
use ziflow_scim_bridge::scim::filter::Limits;
use ziflow_scim_bridge::scim::members;
use ziflow_scim_bridge::scim::patch::Patch;
use ziflow_scim_bridge::scim::query::Query;
use ziflow_scim_bridge::scim::resource::{Meta, Resource};
use ziflow_scim_bridge::scim::schema::{GROUP_TYPE, USER_TYPE};
use ziflow_scim_bridge::server::json as strict;
use ziflow_scim_bridge::server::route::{Kind, Operation, route};

const PERSON: &str = include_str!("../person.json");

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let line = str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let Some((method, target)) = line.split_once(' ') else { return };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), target.parse::<Uri>()) else {
        return;
    };
    let Ok(operation) = route(&method, "/scim/v2", uri.path(), uri.query(), &Limits::default()) else {
        return;
    };
    assert!(!operation.name().is_empty());
    let Ok(body) = strict::parse(lines.next().unwrap_or_default(), 32, 100_000) else { return };
    match operation {
        Operation::Create(kind, projection) | Operation::Replace { kind, projection, .. } => {
            let rt = kind.resource_type();
            // What names the members of a group is read before the rest, and both must agree that it can be read.
            let members = members::in_body(&body);
            let Ok((resource, _)) = Resource::from_body(body, rt) else { return };
            if let (Kind::Group, Ok(Some(members))) = (kind, members) {
                assert!(members.iter().all(|id| !id.is_empty()));
            }
            let read = Resource::from_body(resource.clone().into_json(), rt);
            let read = read.unwrap_or_else(|error| panic!("{:?}: {error}", resource.as_map())).0;
            assert_eq!(core(&read), core(&resource));
            let shown = resource.representation(rt, &Meta::default());
            assert!(projection.apply(shown, rt).is_object());
        }
        Operation::Patch { kind: Kind::User, .. } => {
            let Ok(patch) = Patch::parse(body, &USER_TYPE) else { return };
            let person = Resource::from_part(serde_json::from_str(PERSON).unwrap(), &USER_TYPE).unwrap().0;
            drop(patch.apply(&person));
        }
        Operation::Patch { kind: Kind::Group, .. } => {
            let Ok(patch) = Patch::parse(body, &GROUP_TYPE) else { return };
            let Ok((rest, _members)) = patch.split_members() else { return };
            let group = json!({"displayName": "Design", "externalId": "1"});
            drop(rest.apply(&Resource::from_part(group, &GROUP_TYPE).unwrap().0));
        }
        Operation::Bulk => {
            let Ok(mut job) = Job::parse(body, 50) else { return };
            let mut turns = 0;
            while let Some((place, asked)) = job.turn() {
                turns += 1;
                drop(job.conditions(place));
                let done = asked.and_then(|action| match action {
                    Action::Create(data) => {
                        Resource::from_body(data, job.resource_type(place))?;
                        Ok(Done { status: StatusCode::CREATED, id: format!("made{place}"), version: None })
                    }
                    _ => Err(Error::not_found("nobody")),
                });
                job.settle(place, done);
            }
            let answer = job.into_json(|rt, id| format!("{}/{id}", rt.id), "0");
            assert_eq!(answer["Operations"].as_array().map(Vec::len), Some(turns));
        }
        Operation::Search(kind) => {
            let rt = kind.unwrap_or(Kind::User).resource_type();
            let Ok(query) = Query::from_search(body, rt, &Limits::default()) else { return };
            assert_eq!(query.digest(), query.digest());
        }
        _ => {}
    }
});

/// Without extensions: under a schema that nobody declared, the parts of a name have no fixed meaning.
fn core(resource: &Resource) -> Vec<(&String, &Value)> {
    let plain =
        |(name, _): &(&String, &Value)| !name.to_ascii_lowercase().starts_with("urn:") && *name != "schemas";
    resource.as_map().iter().filter(plain).collect()
}
