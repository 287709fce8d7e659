//! A bridge whose mapping speaks of groups, and somebody who keeps them as Entra does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Answer, Bridge, Folder, in_ziflow, person, ziflow};

pub const MANAGERS: &str = "6f0d1c9e-0000-4000-8000-2b7d5e3a9c11";
pub const ADMINS: &str = "6f0d1c9e-0000-4000-8000-2b7d5e3a9c22";

/// The shipped mapping with these groups.
pub const GROUPS: &str = "
groups:
  6f0d1c9e-0000-4000-8000-2b7d5e3a9c11: { roles: [manager] }
  6f0d1c9e-0000-4000-8000-2b7d5e3a9c22: { roles: [admin], group: [Admins] }
  Producers: { roles: [manager, billing] }
  Brand Reviewers: { group: [Brand Reviewers] }
";

pub struct Place {
    pub folder: Folder,
    pub ziflow: Simulator,
}

impl Place {
    pub async fn new(quirks: &[(&str, &str)]) -> Self {
        let place = Self { folder: Folder::new(), ziflow: ziflow(quirks).await };
        place.mapping(GROUPS);
        place
    }

    pub fn mapping(&self, groups: &str) {
        let text = include_str!("../../config/mapping.yaml");
        self.folder.file("mapping.yaml", &format!("{text}\n{groups}"));
    }

    pub async fn bridge(&self) -> Bridge {
        self.bridge_with(&[]).await
    }

    pub async fn bridge_with(&self, more: &[(&str, &str)]) -> Bridge {
        let mapping = self.folder.path().join("mapping.yaml").display().to_string();
        let store = format!("sqlite:{}", self.folder.path().join("store.db").display());
        let mut all = vec![("BRIDGE_MAPPING__FILE", mapping.as_str()), ("BRIDGE_STORE__URL", &store)];
        all.extend_from_slice(more);
        Bridge::with(&self.ziflow, &all).await
    }

    pub fn roles(&self, name: &str) -> Vec<String> {
        texts(&in_ziflow(&self.ziflow, &format!("{name}@example.com"))["roles"])
    }

    pub fn group_texts(&self, name: &str) -> Vec<String> {
        texts(&in_ziflow(&self.ziflow, &format!("{name}@example.com"))["group"])
    }
}

pub fn texts(list: &Value) -> Vec<String> {
    let mut texts: Vec<String> =
        list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

pub async fn create(bridge: &Bridge, name: &str) -> String {
    bridge.create(person(&format!("{name}@example.com"))).await.expect(201).id()
}

pub fn group(name: &str, external_id: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group",
                    "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": external_id, "displayName": name, "members": [], "meta": {"resourceType": "Group"},
    })
}

pub async fn make(bridge: &Bridge, name: &str, external_id: &str) -> String {
    let made = bridge.ask("POST /Groups", Some(group(name, external_id))).await.expect(201);
    assert_eq!(made.body["members"], json!([]));
    assert_eq!(made.header("location"), Some(made.text("/meta/location")));
    made.id()
}

pub async fn change(bridge: &Bridge, id: &str, operations: Value) -> Answer {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
    });
    bridge.ask(&format!("PATCH /Groups/{id}"), Some(body)).await
}

pub async fn add(bridge: &Bridge, group: &str, ids: &[&str]) {
    let value: Vec<_> = ids.iter().map(|id| json!({"$ref": null, "value": id})).collect();
    change(bridge, group, json!([{"op": "Add", "path": "members", "value": value}])).await.expect(204);
}

pub async fn remove(bridge: &Bridge, group: &str, ids: &[&str]) {
    let value: Vec<_> = ids.iter().map(|id| json!({"value": id})).collect();
    change(bridge, group, json!([{"op": "Remove", "path": "members", "value": value}])).await.expect(204);
}

pub async fn members(bridge: &Bridge, group: &str) -> Vec<String> {
    let found = bridge.get(&format!("/Groups/{group}")).await.expect(200);
    let mut ids: Vec<_> = found.body["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["value"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

pub async fn find(bridge: &Bridge, query: &str) -> Vec<String> {
    let found = bridge.get(&format!("/Groups?{query}")).await.expect(200);
    let mut names: Vec<_> = found.body["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["displayName"].as_str().unwrap_or("?").to_owned())
        .collect();
    names.sort();
    names
}

/// Waits until nobody waits for what their groups grant.
pub async fn settled(bridge: &Bridge) {
    settled_within(bridge, Duration::from_secs(20)).await;
}

pub async fn settled_within(bridge: &Bridge, patience: Duration) {
    let start = Instant::now();
    while bridge.admin("/readyz").await.text("/parts/grants/detail") != "nobody is waiting" {
        assert!(start.elapsed() < patience, "{:?}", bridge.admin("/readyz").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An object id of Entra for a group, by number.
pub fn object_id(number: usize) -> String {
    format!("6f0d1c9e-0000-4000-8000-{number:012x}")
}
