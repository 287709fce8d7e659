//! A path is refused, or it is the same when it is written out and read again, and what it names can be looked
//! up, set and removed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ziflow_scim_bridge::scim::path::Path;
use ziflow_scim_bridge::scim::resource::Resource;
use ziflow_scim_bridge::scim::schema::USER_TYPE;

const PERSON: &str = include_str!("../person.json");

fuzz_target!(|text: &str| {
    let Ok(path) = Path::parse(text, &USER_TYPE) else { return };
    let written = path.to_string();
    let again = Path::parse(&written, &USER_TYPE);
    let again = again.unwrap_or_else(|error| panic!("{text:?} is written {written:?}: {error}"));
    assert_eq!(again.to_string(), written);
    let mut person = Resource::from_part(serde_json::from_str(PERSON).unwrap(), &USER_TYPE).unwrap().0;
    assert_eq!(person.values(&path), person.values(&again));
    if person.remove(&path) {
        assert_eq!(person.first(&path), None, "{written}");
    }
    assert!(!person.remove(&path), "{written}");
});
