//! Big groups: cost grows with the change, and every answer comes within the request's time.

use serde_json::{Value, json};

use crate::group_stage::{MANAGERS, Place, add, change, create, find, make, members};
use crate::harness::{Bridge, encoded};

const PEOPLE: usize = 10_000;
const AT_ONCE: usize = 1000;

/// Everybody whom the simulated Ziflow was given before the bridge began.
fn by_hand(place: &Place, people: usize) -> Vec<String> {
    let one = |number: usize| {
        place.ziflow.add_person(json!({"email": format!("p{number}@example.com"), "roles": ["user"]}))
    };
    (0..people).map(one).collect()
}

fn names(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

async fn list(bridge: &Bridge, query: &str) -> Value {
    bridge.get(&format!("/Users?{query}")).await.expect(200).body
}

/// A request that takes longer than its deadline is answered otherwise than 204.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_members_a_thousand_at_once() {
    let place = Place::new(&[]).await;
    let ids = by_hand(&place, PEOPLE);
    let bridge = place.bridge_with(&[("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", "600")]).await;
    // Entra knows nobody whom it has not looked up or made: the walk is not the group's cost.
    while bridge.get("/Users?count=1").await.status != 200 {}
    let id = make(&bridge, "Everybody", "ext").await;
    for some in ids.chunks(AT_ONCE) {
        add(&bridge, &id, &names(some)).await;
    }
    assert_eq!(members(&bridge, &id).await.len(), PEOPLE);
    let a = create(&bridge, "newcomer").await;
    let calls = place.ziflow.total_calls();
    add(&bridge, &id, &[&a]).await;
    for some in [&ids[..10], &ids[..AT_ONCE]] {
        add(&bridge, &id, &names(some)).await;
    }
    let listed: Vec<_> = ids[..AT_ONCE].iter().map(|id| json!({ "value": id })).collect();
    change(&bridge, &id, json!([{"op": "Remove", "path": "members", "value": listed}])).await.expect(204);
    let selected = |id: &String| json!({"op": "remove", "path": format!("members[value eq {}]", json!(id))});
    let selected: Vec<_> = ids[AT_ONCE..AT_ONCE * 2].iter().map(selected).collect();
    change(&bridge, &id, json!(selected)).await.expect(204);
    let mixed =
        ids[..AT_ONCE].iter().map(|id| json!({"op": "Add", "path": "members", "value": [{"value": id}]}));
    change(&bridge, &id, mixed.collect()).await.expect(204);
    bridge.get(&format!("/Groups/{id}?excludedAttributes=members")).await.expect(200);
    let of_a = format!("filter={}&excludedAttributes=members", encoded(&format!("members.value eq \"{a}\"")));
    assert_eq!(find(&bridge, &of_a).await, ["Everybody"]);
    assert_eq!(place.ziflow.total_calls(), calls, "members cost no call");
    assert_eq!(members(&bridge, &id).await.len(), PEOPLE + 1 - AT_ONCE);
    // What it grants, it grants to all of them; and they are not waited for.
    let becomes = json!([{"op": "Replace", "path": "externalId", "value": MANAGERS}]);
    change(&bridge, &id, becomes).await.expect(204);
    change(&bridge, &id, json!([{"op": "Replace", "path": "members", "value": []}])).await.expect(204);
    bridge.ask(&format!("DELETE /Groups/{id}"), None).await.expect(204);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_five_hundred_groups() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(create(&bridge, &format!("p{number}")).await);
    }
    for number in 0..500 {
        let body = json!({
            "displayName": format!("Group {number:03}"),
            "members": ids.iter().map(|id| json!({ "value": id })).collect::<Vec<_>>(),
        });
        bridge.ask("POST /Groups", Some(body)).await.expect(201);
    }
    let shown = bridge.read(&ids[0]).await.expect(200).body;
    assert_eq!(shown["groups"].as_array().unwrap().len(), 500);
    assert_eq!(list(&bridge, "attributes=groups.display&count=1").await["itemsPerPage"], 1);
    let all = list(&bridge, "count=1000").await;
    let people = all["Resources"].as_array().unwrap().iter().filter(|one| one["groups"].is_array());
    assert_eq!(people.map(|one| one["groups"].as_array().unwrap().len()).collect::<Vec<_>>(), [500; 20]);
    let in_one = list(&bridge, &format!("filter={}", encoded("groups.display eq \"group 007\""))).await;
    assert_eq!(in_one["totalResults"], 20);
    let page = bridge.get("/Groups?count=1000&excludedAttributes=members").await.expect(200).body;
    assert_eq!(page["Resources"].as_array().unwrap().len(), 500);
    bridge.stop().await;
}
