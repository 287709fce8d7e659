//! A filter is refused, or it can be matched and means the same when it is written out and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ziflow_scim_bridge::scim::filter::{Filter, Limits};
use ziflow_scim_bridge::scim::resource::Resource;
use ziflow_scim_bridge::scim::schema::USER_TYPE;

const PERSON: &str = include_str!("../person.json");

fuzz_target!(|text: &str| {
    let Ok(filter) = Filter::parse(text, &USER_TYPE, &Limits::default()) else { return };
    let written = filter.to_string();
    let again = Filter::parse(
        &written,
        &USER_TYPE,
        &Limits { max_chars: usize::MAX, max_depth: 64, max_terms: usize::MAX, ..Limits::default() },
    );
    let again = again.unwrap_or_else(|error| panic!("{text:?} is written {written:?}: {error}"));
    assert_eq!(again.to_string(), written);
    let person = Resource::from_part(serde_json::from_str(PERSON).unwrap(), &USER_TYPE).unwrap().0;
    assert_eq!(again.matches(&person), filter.matches(&person));
});
