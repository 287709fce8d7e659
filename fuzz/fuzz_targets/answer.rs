//! What Ziflow answers, whatever it is: nobody, or people without API keys who can be shown in SCIM and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;
use tokio::time::Instant;
use ziflow_scim_bridge::config::MAPPING_YAML;
use ziflow_scim_bridge::mapping::Mapping;
use ziflow_scim_bridge::mapping::memory::Memory;
use ziflow_scim_bridge::scim::resource::{Meta, Resource};
use ziflow_scim_bridge::scim::schema::USER_TYPE;
use ziflow_scim_bridge::ziflow::answer::page;
use ziflow_scim_bridge::ziflow::model::User;

const KEY: &str = "somebodys-api-key";

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| Mapping::compile(MAPPING_YAML).unwrap().0);

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut body) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Some(object) = body.as_object_mut() {
        object.insert("api_key".to_owned(), KEY.into());
    }
    let alone = [User::from_json(&body), User::from_contact_json(&body)].into_iter().flatten();
    let listed = page(&body, Instant::now()).map(|page| page.users).unwrap_or_default();
    for user in alone.chain(listed) {
        assert!(!user.id.is_empty() && !format!("{user:?}").contains(KEY));
        // Nobody can be shown without a name, and Ziflow knows people by their address.
        if user.email.trim().is_empty() {
            continue;
        }
        let shown = MAPPING.merge(None, &Memory::default(), &user);
        let read = Resource::from_body(shown.clone().into_json(), &USER_TYPE);
        let read = read.unwrap_or_else(|error| panic!("{:?}: {error}", shown.as_map())).0;
        drop(MAPPING.update(&shown, &read));
        let text = shown.representation(&USER_TYPE, &Meta::default()).into_json().to_string();
        assert!(!text.contains(KEY));
    }
});
