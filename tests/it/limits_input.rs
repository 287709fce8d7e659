//! How much one request may ask for: each bound holds, what is beyond is refused by its name, and costs little.

use serde_json::{Value, json};

use crate::harness::{Answer, Bridge, TOKEN, encoded, person, ziflow};
use crate::wire::Wire;

/// Refused with this status, by the name of the setting.
#[track_caller]
fn beyond(answer: Answer, status: u16, setting: &str) {
    let answer = answer.expect(status);
    assert!(answer.text("/detail").contains(setting), "{setting} not in {answer:?}");
}

fn lists(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

fn with(user_name: &str, name: &str, value: Value) -> Value {
    let mut body = person(user_name);
    body[name] = value;
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_so_deep_and_of_so_many_values() {
    let ziflow = ziflow(&[]).await;
    let settings = [("BRIDGE_SERVER__MAX_JSON_DEPTH", "12"), ("BRIDGE_SERVER__MAX_JSON_VALUES", "100")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    bridge.create(with("a@example.com", "x", lists(11))).await.expect(201);
    beyond(bridge.create(with("b@example.com", "x", lists(12))).await, 400, "server.max_json_depth");
    // Of which the person alone has eight, and the list is one.
    bridge.create(with("c@example.com", "x", json!(vec![0; 91]))).await.expect(201);
    beyond(
        bridge.create(with("d@example.com", "x", json!(vec![0; 92]))).await,
        400,
        "server.max_json_values",
    );
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_has_so_many_operations_and_its_paths_are_so_long() {
    let ziflow = ziflow(&[]).await;
    let settings = [("BRIDGE_SERVER__MAX_PATCH_OPERATIONS", "3"), ("BRIDGE_SERVER__MAX_FILTER_CHARS", "64")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let id = bridge.create(person("a@example.com")).await.expect(201).id();
    let operations =
        |count: usize| json!(vec![json!({"op": "replace", "path": "title", "value": "Lead"}); count]);
    bridge.patch(&id, operations(3)).await.expect(200);
    beyond(bridge.patch(&id, operations(4)).await, 413, "server.max_patch_operations");
    let path = |length: usize| {
        let path = r#"emails[type eq "work" and display eq ""].value"#;
        path.replace("\"\"", &format!("\"{}\"", "x".repeat(length - path.len())))
    };
    let operation = |length| json!([{"op": "remove", "path": path(length)}]);
    bridge.patch(&id, operation(64)).await.expect(200);
    beyond(bridge.patch(&id, operation(65)).await, 400, "server.max_filter_chars");
    // A bulk request is no way around.
    let job = |operations: Value| {
        let data =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [{"method": "PATCH", "path": format!("/Users/{}", encoded(&id)), "data": data}],
        })
    };
    bridge.ask("POST /Bulk", Some(job(operations(3)))).await.expect(200);
    bridge.ask("POST /Bulk", Some(job(operations(4)))).await.expect(413);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_so_many_members() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_MEMBERS", "2")]).await;
    let mut people = Vec::new();
    for name in ["a@example.com", "b@example.com", "c@example.com"] {
        people.push(json!({"value": bridge.create(person(name)).await.expect(201).id()}));
    }
    let group = |count: usize| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": format!("Of {count}"), "Members": people[..count],
        })
    };
    let id = bridge.ask("POST /Groups", Some(group(2))).await.expect(201).id();
    beyond(bridge.ask("POST /Groups", Some(group(3))).await, 413, "server.max_members");
    let target = format!("/Groups/{}", encoded(&id));
    beyond(bridge.ask(&format!("PUT {target}"), Some(group(3))).await, 413, "server.max_members");
    let patch = |operations: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "operations": operations});
    let one = |member: &Value| json!({"op": "Add", "path": "members", "value": [member]});
    for (operations, status) in [
        (json!([{"op": "Add", "path": "members", "value": people[1..]}]), 204),
        (json!([one(&people[0]), one(&people[1])]), 204),
        (json!([{"op": "Add", "path": "members", "value": people}]), 413),
        (json!([one(&people[0]), one(&people[1]), one(&people[2])]), 413),
        (json!([{"op": "Add", "value": {"Members": people}}]), 413),
    ] {
        bridge.ask(&format!("PATCH {target}"), Some(patch(operations.clone()))).await.expect(status);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_attributes_are_named() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_ATTRIBUTES", "3")]).await;
    let id = encoded(&bridge.create(person("a@example.com")).await.expect(201).id());
    for target in [format!("/Users/{id}"), "/Users".to_owned(), "/Groups".to_owned()] {
        for name in ["attributes", "excludedAttributes"] {
            bridge.get(&format!("{target}?{name}=title,nickName,x")).await.expect(200);
            beyond(
                bridge.get(&format!("{target}?{name}=title,,nickName,x")).await,
                400,
                "server.max_attributes",
            );
        }
    }
    let search = |names: &[&str]| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": names});
    bridge.ask("POST /Users/.search", Some(search(&["title", "nickName", "x"]))).await.expect(200);
    let four = search(&["title", "nickName", "x", "y"]);
    for target in ["/Users/.search", "/.search"] {
        beyond(bridge.ask(&format!("POST {target}"), Some(four.clone())).await, 400, "server.max_attributes");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_so_many_headers() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_HEADERS", "16")]).await;
    let status = async |headers: usize| {
        let further: String = (3..headers).flat_map(|_| ["x: y", "\r\n"]).collect();
        let request = format!(
            "GET /scim/v2/Schemas HTTP/1.1\r\nHost: b\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n{further}\r\n"
        );
        Wire::to(bridge.address()).await.last(request).await.status
    };
    assert_eq!([status(16).await, status(17).await], [200, 431]);
    bridge.stop().await;
}

/// The most memory that the bridge has ever had, in MB.
fn most_memory(bridge: &Bridge) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Bodies as large as may be, each made to become much more in memory than it is on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn absurd_bodies_cost_little_and_keep_nobody_waiting() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let before = most_memory(&bridge);
    let size = 4_000_000;
    let member = |number: usize| format!("\"{number}\":0,");
    let absurd = [
        "[".repeat(size),
        "{\"a\":".repeat(size / 5),
        format!("{{\"x\":[{}0]}}", "{},".repeat(size / 3)),
        format!("{{\"x\":[{}0]}}", "0,".repeat(size / 2)),
        format!("{{{}\"x\":0}}", (0..300_000).map(member).collect::<String>()),
    ];
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let ask = |body: String| {
        let request = http.post(format!("{}/Users", bridge.url)).bearer_auth(TOKEN).body(body);
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.text().await.unwrap())
        }
    };
    for body in absurd {
        let ((status, text), (other, _), served) =
            tokio::join!(ask(body.clone()), ask(body.clone()), bridge.create(person("a@example.com")));
        assert_eq!((status, other), (400, 400), "{text}");
        assert!(text.contains("server.max_json_"), "{text}");
        assert!([201, 409].contains(&served.status), "{served:?}");
    }
    let grown = most_memory(&bridge) - before;
    assert!(grown < 150, "{grown} MB more than {before}");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_so_many_members() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_GROUP_MEMBERS", "2")]).await;
    let mut people = Vec::new();
    for name in ["a@example.com", "b@example.com", "c@example.com"] {
        people.push(json!({"value": bridge.create(person(name)).await.expect(201).id()}));
    }
    let group = |name: &str, members: &[Value]| {
        let schemas = ["urn:ietf:params:scim:schemas:core:2.0:Group"];
        Some(json!({"schemas": schemas, "displayName": name, "members": members}))
    };
    let id = bridge.ask("POST /Groups", group("One", &people[..2])).await.expect(201).id();
    let target = format!("/Groups/{}", encoded(&id));
    let change = async |op: &str, member: &Value| {
        let operations = json!([{"op": op, "path": "members", "value": [member]}]);
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        bridge.ask(&format!("PATCH {target}"), Some(body)).await
    };
    beyond(change("Add", &people[2]).await, 400, "server.max_group_members");
    beyond(bridge.ask("POST /Groups", group("Two", &people)).await, 400, "server.max_group_members");
    beyond(
        bridge.ask(&format!("PUT {target}"), group("One", &people)).await,
        400,
        "server.max_group_members",
    );
    let shown = bridge.get(&target).await.expect(200).body["members"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 2, "nothing was changed");
    change("Add", &people[0]).await.expect(204);
    change("Remove", &people[0]).await.expect(204);
    change("Add", &people[2]).await.expect(204);

    // Together, an answer shows no more of them either.
    bridge.ask("POST /Groups", group("Two", &people[..1])).await.expect(201);
    beyond(bridge.get("/Groups").await, 400, "server.max_group_members");
    let page = bridge.get("/Groups?excludedAttributes=members").await.expect(200).body;
    assert_eq!(page["totalResults"], 2);
    bridge.get("/Groups?count=1").await.expect(200);
    let of_b = encoded(&format!("members.value eq {}", people[1]["value"]));
    bridge.get(&format!("/Groups?filter={of_b}")).await.expect(200);
    bridge.stop().await;
}
