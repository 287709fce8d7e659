//! The status page and `explain` beside it, as a browser gets them: what they show, and that nothing of what others
//! write becomes more than text in them.

use std::time::Duration;

use http::Method;
use reqwest::header::{CONTENT_TYPE, ORIGIN};
use serde_json::json;
use ziflow_scim_bridge::simulator::Fault;

use crate::harness::{Bridge, Folder, command, person, ziflow};

/// Somebody with a browser.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

async fn page(bridge: &Bridge, target: &str) -> String {
    let response = browser().get(format!("{}{target}", bridge.admin)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let text = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "text/html; charset=utf-8");
    let policy = text("content-security-policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let page = response.text().await.unwrap();
    // What the policy would refuse is not there either.
    for word in ["<script", "<style", " style=", " onclick", "javascript:", "http-equiv=\"set"] {
        assert!(!page.contains(word), "{word} in {page}");
    }
    page
}

/// The part of the page about the requests of late.
fn requests(page: &str) -> &str {
    page.split("<ol class=\"requests\">").nth(1).unwrap().split("</ol>").next().unwrap()
}

fn counted(page: &str) -> usize {
    requests(page).matches("<details").count()
}

pub async fn explained(bridge: &Bridge, form: &[(&str, &str)], headers: &[(&str, &str)]) -> (u16, String) {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let mut request = browser().post(format!("{}/explain", bridge.admin)).body(body.finish());
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn an_operator_sees_what_was_asked_and_what_became_of_it() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let before = page(&bridge, "/").await;
    assert!(
        before.contains("Entra is served") && before.contains("Nobody with a right credential has asked")
    );

    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let refused =
        bridge.patch(&id, json!([{"op": "replace", "path": "active", "value": "x"}])).await.expect(400);
    let request_id = refused.header("request-id").unwrap().to_owned();
    bridge.create(json!({"userName": "lee@example.com"})).await.expect(400);

    let seen = page(&bridge, "/").await;
    let failed = seen.split("id=\"failed\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(failed.contains(&id) && failed.contains(&request_id), "{failed}");
    assert!(failed.contains("active must be a boolean") && failed.contains("somebody new"), "{failed}");
    assert!(!seen.contains("example.com"), "nobody is named: {seen}");

    let one = page(&bridge, &format!("/?q={request_id}")).await;
    assert_eq!(counted(&one), 1);
    assert!(requests(&one).contains("<details open"), "the one that was looked for is open");
    let made = page(&bridge, "/?operation=create-user&show=2").await;
    assert_eq!(counted(&made), 1);
    assert!(requests(&made).contains("POST /users<"), "{}", requests(&made));
    assert_eq!(counted(&page(&bridge, "/?show=failed").await), 2);
    assert_eq!(counted(&page(&bridge, "/?show=5").await), 0);

    bridge.patch(&id, json!([{"op": "replace", "path": "active", "value": false}])).await.expect(200);
    let healed = page(&bridge, "/").await;
    let failed = healed.split("id=\"failed\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(!failed.contains(&id), "{failed}");
    bridge.stop().await;
}

#[tokio::test]
async fn trouble_and_the_last_reload_are_told() {
    let ziflow = ziflow(&[]).await;
    let folder = Folder::new();
    let mapping = folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    let file = mapping.to_str().unwrap();
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_MAPPING__FILE", file)]).await;
    folder.file("mapping.yaml", "user:\n  email: { fron: userName }\n");
    bridge.hang_up();
    bridge.line("the reload is refused, and everything stays as it was").await;
    let seen = page(&bridge, "/").await;
    assert!(seen.contains("Entra is served; one thing wants a look."), "{seen}");
    assert!(seen.contains("mapping.yaml:2: user.email.fron: "), "{seen}");

    ziflow.stop().await;
    bridge.create(person("jo@example.com")).await;
    let seen = page(&bridge, "/").await;
    assert!(seen.contains("Entra is not served.") && seen.contains("<b>upstream</b>"), "{seen}");
    assert!(requests(&seen).contains("no connection"), "{}", requests(&seen));
    bridge.stop().await;
}

#[tokio::test]
async fn whatever_others_write_stays_text() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let nasty = [
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "'%20onmouseover='x",
        "%E2%80%AEgpj.exe",
        "%3C%2Ftitle%3E%3C!--",
    ];
    for id in nasty {
        bridge.ask_with(&format!("GET /Users/{id}"), &[("x-request-id", "<b>x</b>")], None).await;
    }
    bridge.ask("PATCH /Users/%3Cb%3E1", Some(json!({"<script>": ["</textarea><script>", "\u{0}"]}))).await;
    for target in ["/", "/?q=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&operation=%3Cb%3E&show=failed"] {
        let seen = page(&bridge, target).await;
        for word in ["<img src=x", "<b>x", "<b>1", "alert(1)<", "' onmouse"] {
            assert!(!seen.contains(word), "{word} in {seen}");
        }
    }
    assert!(page(&bridge, "/").await.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));

    let body = r#"{"userName": "</pre><script>alert(1)</script>", "name": {"givenName": "\"'<b>", "familyName": "\u0001"}}"#;
    let (status, seen) = explained(&bridge, &[("request", body)], &[]).await;
    assert_eq!(status, 200);
    assert!(!seen.contains("<script") && !seen.contains("<b>"), "{seen}");
    bridge.stop().await;
}

#[tokio::test]
async fn what_is_kept_and_shown_is_bounded() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ADMIN__OPERATIONS", "120")]).await;
    for _ in 0..130 {
        bridge.get("/ServiceProviderConfig").await.expect(200);
    }
    let first = page(&bridge, "/").await;
    assert_eq!(counted(&first), 100);
    assert!(first.contains("The last 120 requests"), "{first}");
    assert_eq!(counted(&page(&bridge, "/?page=1").await), 20);
    for _ in 0..25 {
        bridge.ask_as(Some("wrong"), "GET /Users", None).await.expect(401);
    }
    let seen = page(&bridge, "/?show=4").await;
    assert_eq!(counted(&seen), 20, "whoever has no right credential does not push out the others");
    bridge.stop().await;
}

#[tokio::test]
async fn a_request_is_explained_with_the_mapping_in_force() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let blank = page(&bridge, "/explain").await;
    assert!(blank.contains("<form method=\"post\" action=\"/explain\">"), "{blank}");

    let body = person("Jo.Lee@Example.com").to_string();
    let (status, seen) = explained(&bridge, &[("request", &body)], &[]).await;
    assert_eq!(status, 200);
    for word in
        ["POST /scim/v2/Users", "lowercase makes &quot;jo.lee@example.com&quot;", "POST /v1/users", ">201<"]
    {
        assert!(seen.contains(word), "{word} in {seen}");
    }
    let change = "PATCH /Users/{id}\n\n{\"Operations\": [{\"op\": \"replace\", \"path\": \"active\", \"value\": false}]}";
    let somebody = r#"{"email": "jo@example.com", "first_name": "Jo", "last_name": "Lee"}"#;
    let (status, seen) = explained(&bridge, &[("request", change), ("person", somebody)], &[]).await;
    assert!(status == 200 && seen.contains("active: true becomes false"), "{seen}");
    let (status, seen) = explained(&bridge, &[("request", change)], &[]).await;
    assert!(status == 422 && seen.contains("--user"), "{seen}");

    assert_eq!(ziflow.people().len(), 1, "the account is left alone: {:?}", ziflow.people());
    let log = bridge.stop().await;
    assert!(
        !log.iter().any(|line| line["message"] == "request"),
        "the service's log is left alone: {log:#?}"
    );
}

/// What is tried out changes nobody, whoever may connect to the service and wherever its changes are recorded.
#[tokio::test]
async fn what_is_tried_out_is_no_change_on_record() {
    let ziflow = ziflow(&[]).await;
    let folder = Folder::new();
    let record = folder.path().join("audit.log");
    let bridge = Bridge::with(
        &ziflow,
        &[
            ("BRIDGE_AUDIT__DESTINATION", record.to_str().unwrap()),
            ("BRIDGE_AUDIT__REQUIRED", "true"),
            ("BRIDGE_SERVER__ALLOW_NETWORKS", "[203.0.113.0/24]"),
        ],
    )
    .await;
    let body = person("jo@example.com").to_string();
    let (status, seen) = explained(&bridge, &[("request", &body)], &[]).await;
    assert!(status == 200 && seen.contains(">201<"), "{status} {seen}");
    bridge.stop().await;
    let recorded = std::fs::read_to_string(&record).unwrap();
    assert!(!recorded.contains("create-user"), "{recorded}");
}

#[tokio::test]
async fn a_question_comes_from_our_own_page_and_is_small() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let own = bridge.admin.clone();
    let form = [("request", "{}")];
    for (headers, status) in [
        (&[("origin", "https://evil.example")][..], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site"), ("origin", &own)], 403),
        (&[("origin", &own)], 200),
        (&[("sec-fetch-site", "same-origin"), ("origin", &own)], 200),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "multipart/form-data; boundary=x")], 415),
    ] {
        assert_eq!(explained(&bridge, &form, headers).await.0, status, "{headers:?}");
    }
    let large = "x".repeat(300_000);
    assert_eq!(explained(&bridge, &[("request", &large)], &[]).await.0, 413);
    for (method, target) in [("POST", "/"), ("PUT", "/explain"), ("DELETE", "/explain"), ("POST", "/metrics")]
    {
        let url = format!("{}{target}", bridge.admin);
        let request = browser().request(method.parse().unwrap(), url).header(ORIGIN, &own);
        assert_eq!(request.send().await.unwrap().status(), 405, "{method} {target}");
    }
    for (target, kind) in [("/style.css", "text/css; charset=utf-8"), ("/icon.svg", "image/svg+xml")] {
        let response = browser().get(format!("{own}{target}")).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
    }
    bridge.stop().await;
}

#[test]
fn the_number_of_requests_kept_has_bounds() {
    let check =
        command(&["check"], &[("BRIDGE_ADMIN__OPERATIONS", "10001"), ("BRIDGE_ZIFLOW__API_KEY", "k")]);
    let told = { check }.output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(text.contains("BRIDGE_ADMIN__OPERATIONS") && text.contains("10000"), "{text}");
}

/// `log.personal_data` decides whether people can be seen, and the page says which of the two holds.
#[tokio::test]
async fn values_are_seen_where_the_settings_say_so() {
    let ziflow = ziflow(&[]).await;
    for (personal, told) in [("false", "Values are hidden"), ("true", "values are shown")] {
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_LOG__PERSONAL_DATA", personal)]).await;
        let mut jo = person(&format!("jo-{personal}@example.com"));
        jo["title"] = json!("Chief Whisperer");
        jo["password"] = json!("Pa55word");
        let id = bridge.create(jo).await.expect(201).id();
        bridge
            .get("/Users?filter=userName%20eq%20%22jo@example.com%22&access_token=Pa55word")
            .await
            .expect(200);
        bridge
            .patch(&id, json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "x"}]))
            .await;
        bridge.create(json!({"userName": "lee@example.com"})).await.expect(400);
        let seen = page(&bridge, "/").await;
        assert!(seen.contains(told) && !seen.contains("Pa55word"), "{seen}");
        // What is asked for is seen in any case.
        for part in
            ["&quot;userName&quot;:", "emails[type eq \\&quot;work\\&quot;].value", "&quot;first_name&quot;:"]
        {
            assert!(seen.contains(part), "{part} is not in {seen}");
        }
        for part in
            ["Chief Whisperer", "jo-true@example.com", "GET /users/jo@example.com", "userName%20eq%20%22jo@"]
        {
            assert_eq!(seen.contains(part), personal == "true", "{part} in {seen}");
        }
        assert_eq!(seen.contains("userName eq &quot;…&quot;"), personal == "false", "{seen}");
        bridge.stop().await;
    }
}

/// What Entra counts as failed is each operation, in one request or alone.
#[tokio::test]
async fn each_operation_of_a_bulk_request_is_shown_and_counts() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let odd = json!({"Operations": [{"op": "replace", "path": "active", "value": "perhaps"}]});
    let disable = json!({"Operations": [{"op": "replace", "path": "active", "value": false}]});
    let patch =
        |path: String, data: &serde_json::Value| json!({"method": "PATCH", "path": path, "data": data});
    let mut operations = vec![
        json!({"method": "POST", "path": "/Users", "bulkId": "lee", "data": person("lee@example.com")}),
        json!({"method": "POST", "path": "/Users", "bulkId": "odd", "data": {"userName": "odd@example.com"}}),
        patch(format!("/Users/{id}"), &disable),
    ];
    // Refused before it is carried out, because of what it refers to.
    let refers = json!({"Operations": [{"op": "add", "path": "manager", "value": "bulkId:nobody"}]});
    operations.push(patch("/Users/nobody-9".to_owned(), &refers));
    operations.extend((0..5).map(|number| patch(format!("/Users/nobody-{number}"), &odd)));
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
    let answer = bridge.ask("POST /Bulk", Some(body)).await.expect(200);
    let request_id = answer.header("request-id").unwrap().to_owned();

    let seen = page(&bridge, &format!("/?q={request_id}")).await;
    assert_eq!(counted(&seen), 10, "the request and its operations: {seen}");
    assert!(seen.contains("operation 9 of a bulk request"), "{seen}");
    let disabled = page(&bridge, &format!("/?q={request_id}&operation=patch-user&show=2")).await;
    let (calls, shown) = (requests(&disabled).matches("/users/{id}<").count(), counted(&disabled));
    assert!(shown == 1 && calls > 0 && requests(&disabled).contains(&id), "its own calls: {disabled}");
    assert!(!requests(&disabled).contains("POST /users<"), "and no others: {disabled}");
    let failed = seen.split("id=\"failed\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(
        ["somebody new", "nobody-4", "nobody-9"].iter().all(|who| failed.contains(who))
            && !failed.contains(&id),
        "{failed}"
    );
    let ready = bridge.admin_text("/readyz").await;
    assert!(ready.contains("7 of the 9 people and groups"), "{ready}");
    bridge.stop().await;
}

/// What had been done when nobody waited any more, or could, is what an operator asks for then.
#[tokio::test]
async fn a_request_that_is_cut_off_shows_what_was_done_until_then() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    // The person is read, and the change of them takes longer than the client waits.
    ziflow.inject(Fault::slow(Duration::from_secs(5)).method(Method::PUT));
    let before = ziflow.total_calls();
    let change = json!([{"op": "replace", "path": "active", "value": false}]);
    let arrived = async {
        while !ziflow.calls_since(before).iter().any(|call| call.method == "PUT") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = bridge.patch(&id, change) => panic!("{answer:?}"),
        () = arrived => {}
    }
    bridge.line("the client went away before it was answered").await;
    let seen = page(&bridge, "/?operation=patch-user").await;
    let shown = requests(&seen);
    assert!(shown.contains(">gone<") && shown.contains("GET /users/{id}<"), "{shown}");
    assert!(!shown.contains("PUT /users/{id}<"), "it has not ended: {shown}");
    bridge.kill();
}
