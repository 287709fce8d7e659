//! The schemas that editors read: committed as the program prints them.

use crate::harness::command;

const FILES: &[(&str, &str, &str)] = &[
    ("bridge", "config/bridge.schema.json", include_str!("../../config/bridge.schema.json")),
    ("mapping", "config/mapping.schema.json", include_str!("../../config/mapping.schema.json")),
];

#[test]
fn the_committed_schemas_are_those_of_the_program() {
    for (name, file, committed) in FILES {
        let output = command(&["schema", name], &[]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            printed == *committed,
            "{file} is stale; renew it with: cargo run --quiet -- schema {name} >{file}"
        );
    }
}
