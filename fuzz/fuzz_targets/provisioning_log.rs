//! Entra's provisioning log as it is pasted: refused with a remedy, or entries of which a request is made that is JSON and
//! finds somebody.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ziflow_scim_bridge::cli::provisioning_log::{Log, MOST_ENTRIES, Sent};

fuzz_target!(|text: &str| {
    let Some(read) = Log::read(text) else { return };
    let log = match read {
        Ok(log) => log,
        Err(remedy) => return assert!(!remedy.is_empty()),
    };
    assert!(log.entries.len() <= MOST_ENTRIES && (log.further == 0 || log.entries.len() == MOST_ENTRIES));
    for entry in log.entries {
        for group_is_given in [false, true] {
            let reading = entry.reading(group_is_given);
            assert!(!reading.title.is_empty());
            let changes = matches!(reading.sent, Sent::Patch(_) | Sent::Delete);
            assert_eq!(reading.before.is_some(), changes);
            match reading.sent {
                Sent::Nothing(why) => assert!(!why.is_empty()),
                Sent::Create(body) => assert!(body["schemas"].is_array()),
                Sent::Patch(body) => {
                    assert!(body["Operations"].as_array().is_some_and(|list| !list.is_empty()))
                }
                Sent::Delete => {}
            }
        }
    }
});
