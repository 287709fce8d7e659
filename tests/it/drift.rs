//! `report drift`: what differs between Ziflow and what Entra last wrote, found beside the running service.

use std::process::Output;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Bridge, Folder, command, person, ziflow};

fn report(ziflow: &Simulator, store: &str, format: &str) -> Output {
    let base_url = ziflow.base_url();
    let variables = [
        ("BRIDGE_ZIFLOW__BASE_URL", base_url.as_str()),
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
        ("BRIDGE_STORE__URL", store),
        ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "500"),
    ];
    command(&["report", "drift", "--format", format], &variables).output().unwrap()
}

fn differences(output: &Output) -> Vec<(String, Vec<Value>)> {
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |one: &Value| json!([one["field"], one["entra"], one["ziflow"]]);
    let mut people: Vec<_> = told["people"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let rows = one["differences"].as_array().unwrap().iter().map(row).collect();
            (one["userName"].as_str().unwrap().to_owned(), rows)
        })
        .collect();
    people.sort_by(|a, b| a.0.cmp(&b.0));
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_in_ziflow_is_listed_and_nothing_is_changed() {
    for quirks in
        [&[][..], &[("inactive", "contacts_only"), ("texts", "trimmed"), ("roles_case", "role_prefix")]]
    {
        let (ziflow, folder) = (ziflow(quirks).await, Folder::new());
        let store = format!("sqlite:{}", folder.path().join("store.db").display());
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_STORE__URL", &store)]).await;
        let mut ids = Vec::new();
        for name in ["disabled", "enabled", "gone", "named", "roles", "same", "renamed"] {
            let mut body = person(&format!("{name}@example.com"));
            body["phoneNumbers"] = json!([{"type": "work", "value": "+44 20 7946 0001"}]);
            body["roles"] = json!([{"value": "Ziflow Manager", "primary": true}]);
            ids.push(bridge.create(body).await.expect(201).id());
        }
        let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
        bridge.patch(&ids[1], off).await.expect(200);
        let rename = json!([{"op": "Replace", "path": "userName", "value": "other@example.com"}]);
        bridge.patch(&ids[6], rename).await.expect(200);
        assert_eq!(differences(&report(&ziflow, &store, "json")), []);
        let told = report(&ziflow, &store, "text");
        assert_eq!(
            String::from_utf8_lossy(&told.stdout),
            "no drift: all 7 people are in Ziflow as Entra wrote them\n"
        );

        ziflow.change_person(&ids[0], json!({"active": false}));
        ziflow.change_person(&ids[1], json!({"active": true}));
        ziflow.remove_person(&ids[2]);
        ziflow.change_person(&ids[3], json!({"first_name": "Joanna", "phone": ""}));
        ziflow.change_person(&ids[4], json!({"roles": ["user"]}));
        // What Entra never wrote, and what was given by hand, is no drift.
        ziflow.change_person(&ids[5], json!({"company": "Example", "roles": ["user", "manager", "admin"]}));
        let before = (ziflow.people(), std::fs::read(folder.path().join("store.db")).unwrap());
        assert_eq!(
            differences(&report(&ziflow, &store, "json")),
            [
                ("disabled@example.com".to_owned(), vec![json!(["active", true, false])]),
                ("enabled@example.com".to_owned(), vec![json!(["active", false, true])]),
                ("gone@example.com".to_owned(), vec![json!(["user", "exists", "gone"])]),
                (
                    "named@example.com".to_owned(),
                    vec![json!(["first_name", "Jo", "Joanna"]), json!(["phone", "+44 20 7946 0001", null])]
                ),
                ("roles@example.com".to_owned(), vec![json!(["roles", ["user", "manager"], ["user"]])]),
            ],
            "{quirks:?}"
        );
        let text = report(&ziflow, &store, "text");
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        assert!(text.starts_with("5 of 7 people differ from what Entra last wrote\n\nPERSON "), "{text}");
        assert_eq!(before, (ziflow.people(), std::fs::read(folder.path().join("store.db")).unwrap()));
        bridge.read(&ids[0]).await.expect(200);
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_made_says_why() {
    let (simulator, folder) = (ziflow(&[]).await, Folder::new());
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let says = |output: &Output, words: &str| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(words), "{told}");
    };
    says(&report(&simulator, &store, "text"), "there is no such file");
    let bridge = Bridge::with(&simulator, &[("BRIDGE_STORE__URL", &store)]).await;
    simulator.change_key("another");
    says(&report(&simulator, &store, "text"), "refuses the bridge's API key");
    bridge.stop().await;
}
