//! A Ziflow in which the texts of `group` are ids of groups that there are.

use std::time::Duration;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Bridge, Folder, in_ziflow, person, ziflow};

const GROUPS: &str = "
groups:
  Brand Reviewers: { roles: [manager], group: [grp-1] }
  Print Reviewers: { roles: [billing], group: [Print Reviewers] }
";

struct Place {
    ziflow: Simulator,
    bridge: Bridge,
    _mapping: Folder,
}

impl Place {
    async fn new() -> Self {
        let (ziflow, folder) = (ziflow(&[("group_strings", "ids")]).await, Folder::new());
        let text = include_str!("../../config/mapping.yaml");
        let mapping = folder.file("mapping.yaml", &format!("{text}\n{GROUPS}")).display().to_string();
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_MAPPING__FILE", mapping.as_str())]).await;
        Self { ziflow, bridge, _mapping: folder }
    }

    /// Makes a person who belongs to this group alone.
    async fn member(&self, name: &str, group: &str) {
        let id = self.bridge.create(person(&format!("{name}@example.com"))).await.expect(201).id();
        let group = json!({"displayName": group, "members": [{"value": id}]});
        self.bridge.ask("POST /Groups", Some(group)).await.expect(201);
    }

    fn held(&self, name: &str) -> Value {
        let there = in_ziflow(&self.ziflow, &format!("{name}@example.com"));
        json!([there["roles"], there["group"]])
    }

    /// Waits until the queue of grants is like this.
    async fn grants(&self, state: &str, detail: &str) {
        for _ in 0..400 {
            let ready = self.bridge.admin("/readyz").await;
            if ready.text("/parts/grants/state") == state
                && ready.text("/parts/grants/detail").contains(detail)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{:?}", self.bridge.admin("/readyz").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_the_mapping_are_taken() {
    let place = Place::new().await;
    place.member("a", "Brand Reviewers").await;
    place.grants("ok", "nobody is waiting").await;
    assert_eq!(place.held("a"), json!([["user", "manager"], ["grp-1"]]));
    place.bridge.stop().await;
}

/// A name where an id is wanted: the roles are there all the same, and an operator sees what is refused and for whom.
#[tokio::test(flavor = "multi_thread")]
async fn names_fail_visibly_and_keep_nobody_from_their_roles() {
    let place = Place::new().await;
    place.member("b", "Print Reviewers").await;
    place.grants("stale", "1 of them failed, the last one: ").await;
    place.grants("stale", "Print Reviewers").await;
    assert_eq!(place.held("b"), json!([["user", "billing"], []]));
    let told = place.bridge.line("what this person's groups grant could not be applied").await;
    assert_eq!((&told["level"], &told["status"]), (&json!("WARN"), &json!(400)));
    assert_eq!(place.bridge.metric("ziflow_scim_bridge_grants_failing").await, "1");
    // It holds up nobody else.
    place.member("a", "Brand Reviewers").await;
    place.grants("stale", "1 waiting").await;
    assert_eq!(place.held("a"), json!([["user", "manager"], ["grp-1"]]));
    place.bridge.stop().await;
}
