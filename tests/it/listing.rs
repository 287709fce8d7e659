//! Lists: sorted, paged by index and by cursor, searched by body.

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Answer, Bridge, person, ziflow};

/// A Ziflow with people p00 to p21 beside the account owner.
async fn crowd() -> Simulator {
    let ziflow = ziflow(&[]).await;
    for number in 0..22 {
        ziflow.add_person(json!({
            "email": format!("p{number:02}@example.com"), "first_name": "P", "last_name": format!("L{}", number % 4),
        }));
    }
    ziflow
}

fn names(answer: &Answer) -> Vec<String> {
    let people = answer.body["Resources"].as_array().unwrap();
    people.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted_and_searched() {
    let ziflow = crowd().await;
    let bridge = Bridge::start(&ziflow).await;
    let down = bridge.get("/Users?sortBy=userName&sortOrder=descending&count=3").await.expect(200);
    assert_eq!(names(&down), ["p21@example.com", "p20@example.com", "p19@example.com"]);
    assert_eq!(down.body["totalResults"], 23);
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "name.familyName eq \"L3\" and userName sw \"p\"", "sortBy": "userName", "startIndex": 2, "count": 2,
        "attributes": ["userName"],
    });
    for target in ["POST /.search", "POST /Users/.search"] {
        let found = bridge.ask(target, Some(search.clone())).await.expect(200);
        assert_eq!(names(&found), ["p07@example.com", "p11@example.com"]);
        assert_eq!((&found.body["totalResults"], &found.body["startIndex"]), (&json!(5), &json!(2)));
        assert_eq!(found.body["Resources"][0]["name"], Value::Null, "only what was asked for");
        assert!(found.body["Resources"][0]["id"].is_string());
    }
    for (target, scim_type) in
        [("/Users?sortBy=nothing", "invalidValue"), ("/Users?filter=userName+xx+1", "invalidFilter")]
    {
        assert_eq!(bridge.get(target).await.expect(400).body["scimType"], scim_type, "{target}");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_leads_through_the_whole_list_and_back() {
    let ziflow = crowd().await;
    let bridge = Bridge::start(&ziflow).await;
    for query in ["", "&sortBy=userName", "&filter=userName+sw+%22p%22"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        let mut pages: Vec<Vec<String>> = Vec::new();
        let mut back = Value::Null;
        loop {
            let page = bridge.get(&format!("/Users?cursor={cursor}&count=5{query}")).await.expect(200);
            assert_eq!(page.body.get("startIndex"), None);
            seen.extend(names(&page));
            pages.push(names(&page));
            back = if pages.len() > 1 { page.body["previousCursor"].clone() } else { back };
            match page.body.get("nextCursor") {
                Some(next) => next.as_str().unwrap().clone_into(&mut cursor),
                None => break,
            }
        }
        let total = if query.contains("filter") { 22 } else { 23 };
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len(), pages.len()), (total, total, 5), "{query}");
        let before =
            bridge.get(&format!("/Users?cursor={}&count=5{query}", back.as_str().unwrap())).await.expect(200);
        assert_eq!(names(&before), pages[3], "{query}");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_passed_over_when_somebody_leaves_between_two_pages() {
    let ziflow = crowd().await;
    let settings =
        [("BRIDGE_POLICY__ON_DELETE", "delete"), ("BRIDGE_POLICY__DELETE_WITHOUT_NEW_OWNER", "true")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let all = bridge.get("/Users?sortBy=userName&filter=userName+sw+%22p%22").await.expect(200);
    let page =
        |cursor: String| format!("/Users?cursor={cursor}&count=5&sortBy=userName&filter=userName+sw+%22p%22");
    let first = bridge.get(&page(String::new())).await.expect(200);
    // One who was shown already, and the very one who was shown last.
    for index in [1, 4] {
        bridge.delete(all.body["Resources"][index]["id"].as_str().unwrap()).await.expect(204);
    }
    bridge.create(person("p99@example.com")).await.expect(201);
    let second = bridge.get(&page(first.text("/nextCursor").to_owned())).await.expect(200);
    assert_eq!(names(&second), names(&all)[5..10], "the page goes on where the first one ended");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_refused_where_it_means_nothing() {
    let ziflow = crowd().await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", "1")]).await;
    let first = bridge.get("/Users?cursor=&count=5").await.expect(200);
    let next = first.text("/nextCursor").to_owned();
    for (target, scim_type) in [
        ("/Users?cursor=abc".to_owned(), "invalidCursor"),
        (format!("/Users?cursor={next}0"), "invalidCursor"),
        (format!("/Users?cursor={next}&sortBy=userName"), "invalidCursor"),
        (format!("/Users?cursor={next}&startIndex=1"), "invalidValue"),
        (format!("/Users?cursor={next}&count=-1"), "invalidCount"),
    ] {
        assert_eq!(bridge.get(&target).await.expect(400).body["scimType"], scim_type, "{target}");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let expired = bridge.get(&format!("/Users?cursor={next}&count=5")).await.expect(400);
    assert_eq!(expired.body["scimType"], "expiredCursor");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_frozen_while_somebody_pages_through_it() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        let mut body = person(&format!("p{number}@example.com"));
        body["title"] = json!(format!("t{number}"));
        ids.push(bridge.create(body).await.expect(201).id());
    }
    let page = |cursor: &str| format!("/Users?cursor={cursor}&count=2&sortBy=title&filter=title+pr");
    let first = bridge.get(&page("")).await.expect(200);
    // Who was shown last moves to the end of the order.
    bridge.patch(&ids[1], json!([{"op": "replace", "path": "title", "value": "z"}])).await.expect(200);
    let second = bridge.get(&page(first.text("/nextCursor"))).await.expect(200);
    let third = bridge.get(&page(second.text("/nextCursor"))).await.expect(200);
    let seen = [names(&first), names(&second), names(&third)].concat();
    let all: Vec<_> = (0..6).map(|number| format!("p{number}@example.com")).collect();
    assert_eq!(seen, all);
    assert_eq!(third.body.get("nextCursor"), None);
    let back = bridge.get(&page(second.text("/previousCursor"))).await.expect(200);
    assert_eq!(names(&back), names(&first), "back at the beginning it is still the same list");
    let other = bridge.get(&page(first.text("/nextCursor")).replace("count=2", "count=3")).await.expect(400);
    assert_eq!(other.body["scimType"], "invalidCount");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_reader_misses_nobody_when_somebody_shown_is_deleted() {
    let ziflow = crowd().await;
    let bridge = Bridge::start(&ziflow).await;
    let first = bridge.get("/Users?startIndex=1&count=5").await.expect(200);
    let mut seen = names(&first);
    bridge.delete(first.body["Resources"][1]["id"].as_str().unwrap()).await.expect(204);
    let mut start = 6;
    loop {
        let page = bridge.get(&format!("/Users?startIndex={start}&count=5")).await.expect(200);
        seen.extend(names(&page));
        start += names(&page).len();
        if start > usize::try_from(page.body["totalResults"].as_u64().unwrap()).unwrap() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (23, 23));
    assert_eq!(
        bridge.get("/Users?count=1").await.expect(200).body["totalResults"],
        22,
        "begun anew, it is exact"
    );
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_people_are_listed_also_when_nothing_is_kept() {
    let ziflow = ziflow(&[("inactive", "contacts_only")]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", "0")]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": "False"}])).await.expect(200);
    let list = bridge.get("/Users").await.expect(200);
    assert_eq!(list.body["totalResults"], 2, "with the account owner: {}", list.body);
    assert_eq!(bridge.get("/ServiceProviderConfig").await.body["pagination"]["cursor"], false);
    let refused = bridge.get("/Users?cursor=").await.expect(400);
    assert!(refused.text("/detail").contains("startIndex"), "{}", refused.body);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pins_people_is_sorted_as_well() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    for name in ["b@example.com", "a@example.com", "c@example.com"] {
        let mut body = person(name);
        body["externalId"] = json!("shared");
        bridge.create(body).await.expect(201);
    }
    let target = "/Users?filter=externalId+eq+%22shared%22&sortBy=userName&sortOrder=descending";
    let found = bridge.get(target).await.expect(200);
    assert_eq!(names(&found), ["c@example.com", "b@example.com", "a@example.com"]);
    bridge.stop().await;
}

/// A search at the root finds people and groups, people first; whom a filter cannot mean it does not find.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_at_the_root_is_about_everything() {
    let ziflow = crowd().await;
    let bridge = Bridge::start(&ziflow).await;
    for number in 0..3 {
        bridge.ask("POST /Groups", Some(json!({"displayName": format!("G{number}")}))).await.expect(201);
    }
    let search = |more: Value| {
        let mut body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let kinds = |answer: &Answer| -> String {
        let found = answer.body["Resources"].as_array().unwrap().iter();
        found.map(|one| one["meta"]["resourceType"].as_str().unwrap().chars().next().unwrap()).collect()
    };
    for (more, total, expected) in [
        (json!({"startIndex": 22, "count": 3}), 26, "UUG"),
        (json!({"startIndex": 24, "count": 9}), 26, "GGG"),
        (json!({"startIndex": 26}), 26, "G"),
        (json!({"count": 2}), 26, "UU"),
        (json!({"count": 0}), 26, ""),
        (json!({"filter": "displayName sw \"G\""}), 3, "GGG"),
        (json!({"filter": "userName eq \"p01@example.com\""}), 1, "U"),
        (json!({"filter": "members pr"}), 0, ""),
    ] {
        let found = bridge.ask("POST /.search", Some(search(more.clone()))).await.expect(200);
        assert_eq!(
            (&found.body["totalResults"], kinds(&found).as_str()),
            (&json!(total), expected),
            "{more}"
        );
    }
    bridge.ask("POST /.search", Some(search(json!({"filter": "nothing eq 1"})))).await.expect(400);
    bridge.ask("POST /.search", Some(search(json!({"sortBy": "displayName"})))).await.expect(400);
    bridge.stop().await;
}
