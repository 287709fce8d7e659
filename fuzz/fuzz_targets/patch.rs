//! A PATCH body is refused, or what it makes of a person is a resource that reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use ziflow_scim_bridge::scim::patch::Patch;
use ziflow_scim_bridge::scim::resource::Resource;
use ziflow_scim_bridge::scim::schema::USER_TYPE;
use ziflow_scim_bridge::server::json;

const PERSON: &str = include_str!("../person.json");

fuzz_target!(|bytes: &[u8]| {
    let Ok(patch) = json::parse(bytes, 32, 100_000).and_then(|body| Patch::parse(body, &USER_TYPE)) else {
        return;
    };
    let person = Resource::from_part(serde_json::from_str(PERSON).unwrap(), &USER_TYPE).unwrap().0;
    let Ok((patched, _)) = patch.apply(&person) else { return };
    let read = Resource::from_part(patched.clone().into_json(), &USER_TYPE);
    let read = read.unwrap_or_else(|error| panic!("{:?}: {error}", patched.as_map())).0;
    assert_eq!(core(&read), core(&patched));
});

/// Without extensions: under a schema that nobody declared, the parts of a name have no fixed meaning.
fn core(resource: &Resource) -> Vec<(&String, &Value)> {
    let plain =
        |(name, _): &(&String, &Value)| !name.to_ascii_lowercase().starts_with("urn:") && *name != "schemas";
    resource.as_map().iter().filter(plain).collect()
}
