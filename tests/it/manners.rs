//! HTTP as a rude or careful client speaks it: over a bare socket, byte by byte.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Bridge, TOKEN, encoded, person, ziflow};
use crate::wire::{PATIENCE, Wire};

async fn wire_to(bridge: &Bridge) -> Wire {
    Wire::to(bridge.address()).await
}

/// A request of somebody who may speak; `line` is `METHOD /target` below the base path.
fn request(line: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let (method, target) = line.split_once(' ').unwrap();
    let mut text =
        format!("{method} /scim/v2{target} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {TOKEN}\r\n");
    for header in headers {
        text.extend([header, "\r\n"]);
    }
    let body = body.as_ref();
    let framing = ["Transfer-Encoding:", "Content-Length:"];
    let framed = headers.iter().any(|header| framing.iter().any(|name| header.starts_with(name)));
    if !framed && !body.is_empty() {
        text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn chunked(body: &str, size: usize) -> String {
    let chunk = |part: &[u8]| format!("{:x};x=y\r\n{}\r\n", part.len(), str::from_utf8(part).unwrap());
    body.as_bytes().chunks(size).map(chunk).collect::<String>() + "0\r\nX-Trailer: 1\r\n\r\n"
}

/// All of them over one connection: none of these answers costs it.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_answered_in_scims_words_and_the_connection_stays() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let mut wire = wire_to(&bridge).await;
    for (line, allow) in [
        ("DELETE /Users", "GET, HEAD, POST"),
        ("PUT /Users", "GET, HEAD, POST"),
        ("OPTIONS /Users", "GET, HEAD, POST"),
        ("POST /Users/1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("BREW /Users/1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("TRACE /Users/1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("POST /Schemas", "GET, HEAD"),
        ("DELETE /ServiceProviderConfig", "GET, HEAD"),
        ("PATCH /ResourceTypes/User", "GET, HEAD"),
    ] {
        let heard = wire.ask(request(line, &[], "{}")).await;
        heard.refuses(405, allow);
        assert_eq!(heard.header("allow"), Some(allow), "{line}");
    }
    let long = format!("GET /Users?{}", "a=b&".repeat(5000));
    for (line, status, told) in [
        (&*long, 414, "server.max_target_bytes"),
        ("GET /Users/a%00b", 400, "%00"),
        ("GET /Users?x=%00", 400, "%00"),
        ("GET /Users/nobody", 404, "no such user"),
        ("DELETE /Users/nobody", 404, "no such user"),
        ("GET /Nothing", 404, "/scim/v2"),
        ("GET /Users/1/2/3", 404, "/scim/v2"),
    ] {
        wire.ask(request(line, &[], "")).await.refuses(status, told);
        // A body that nobody wants, in one piece, in many, and late.
        wire.ask(request(line, &[], "not json".repeat(2000))).await.refuses(status, told);
        wire.ask(request(line, &["Transfer-Encoding: chunked"], chunked(&"x".repeat(3000), 7)))
            .await
            .refuses(status, told);
    }
    let late = request("GET /Users/nobody", &["Content-Length: 5"], "");
    wire.say(late).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    wire.ask("12345").await.refuses(404, "no such user");
    for (hosts, told) in [("", "no Host"), ("Host: a\r\nHost: b\r\n", "several")] {
        let text = format!("GET /scim/v2/Schemas HTTP/1.1\r\n{hosts}Authorization: Bearer {TOKEN}\r\n\r\n");
        wire.ask(text).await.refuses(400, told);
    }
    let stranger = wire.ask("POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}").await;
    stranger.refuses(401, "Secret Token");
    assert_eq!(stranger.header("www-authenticate"), Some("Bearer realm=\"scim\""));
    wire.ask(request("GET /Schemas", &[], "")).await.is_scim(200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_change_nothing() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let mut wire = wire_to(&bridge).await;
    let good = person("jo@example.com").to_string();
    for said in ["text/plain", "application/x-www-form-urlencoded", "application/xml; a=+json", "application"]
    {
        let heard = wire.ask(request("POST /Users", &[&format!("Content-Type: {said}")], &good)).await;
        heard.refuses(415, "application/scim+json");
    }
    wire.ask(request("PUT /Users/1", &["Content-Encoding: gzip"], &good))
        .await
        .refuses(415, "Content-Encoding");
    let deep = format!(r#"{{"userName": {}1{}}}"#, "[".repeat(60_000), "]".repeat(60_000));
    let urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    for line in ["POST /Users", "PUT /Users/1", "PATCH /Users/1"] {
        let said = &["Content-Type: application/scim+json"];
        for (body, told) in [
            ("", "empty"),
            ("jo", "no JSON"),
            ("[]", "object"),
            ("\"jo\"", "object"),
            ("{\"userName\": \"jo\"", "line 1 column"),
            ("{} {}", "trailing"),
            (&deep, "nesting"),
            (r#"{"userName": "a", "active": true, "userName": "b"}"#, r#""userName" is given twice"#),
            (r#"{"name": {"givenName": "a", "givenName": "b"}}"#, r#""givenName" is given twice"#),
            (
                &format!(r#"{{"schemas": ["{urn}"], "Operations": [{{"op": "add", "op": "remove"}}]}}"#),
                r#""op""#,
            ),
            (r#"{"userName": "jo\u0000@example.com"}"#, r"\u0000"),
            (r#"{"userName": "jo\ud800"}"#, "escape"),
            (r#"{"userName": "jo\udfff"}"#, "surrogate"),
        ] {
            wire.ask(request(line, said, body)).await.refuses(400, told);
        }
        wire.ask(request(line, said, b"{\"userName\": \"jo\0\"}")).await.refuses(400, "control character");
        wire.ask(request(line, said, b"{\"userName\": \"jo\xff\"}")).await.refuses(400, "unicode");
    }
    assert!(ziflow.people().iter().all(|person| !person["email"].as_str().unwrap().starts_with("jo")));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_say_the_same_is_understood() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let mut wire = wire_to(&bridge).await;
    let one = |number: usize| person(&format!("jo{number}@example.com")).to_string();
    let said = [
        "",
        "Content-Type: application/json",
        "Content-Type: application/scim+json",
        "content-type: Application/SCIM+JSON ; charset=utf-8",
        "Content-Type: application/vnd.example+json",
        "Content-Type:",
    ];
    for (number, said) in said.iter().enumerate() {
        let headers: Vec<_> = Some(*said).filter(|said| !said.is_empty()).into_iter().collect();
        wire.ask(request("POST /Users", &headers, one(number))).await.is_scim(201);
    }
    for size in [1, 30, 10_000] {
        let body = chunked(&one(100 + size), size);
        wire.ask(request("POST /Users", &["Transfer-Encoding: chunked"], body)).await.is_scim(201);
    }
    for accept in
        ["*/*", "application/json", "application/scim+json", "text/html", "image/png;q=0", "nonsense"]
    {
        wire.ask(request("GET /Users", &[&format!("Accept: {accept}")], "")).await.is_scim(200);
    }
    let user = format!(
        "/Users/{}",
        encoded(
            bridge.find(r#"userName eq "jo1@example.com""#).await.body["Resources"][0]["id"]
                .as_str()
                .unwrap()
        )
    );
    for target in [
        format!("{user}/"),
        format!("//{user}"),
        user.replace("/Users/", "//users///"),
        format!("{user}?nonsense=1&&=&%20&aadOptscim062020"),
        "/Users/?unknown=%22".to_owned(),
        "/Schemas//".to_owned(),
        "/ServiceProviderConfig?x=y".to_owned(),
    ] {
        wire.ask(request(&format!("GET {target}"), &[], "")).await.is_scim(200);
    }
    let token = format!("Authorization: Bearer {TOKEN}");
    wire.ask(format!("GET http://b/scim/v2{user} HTTP/1.1\r\nHost: b\r\n{token}\r\n\r\n")).await.is_scim(200);
    wire.ask(format!("\r\nGET //scim//v2{user} HTTP/1.1\r\nhost:b\r\n{token}\r\n\r\n")).await.is_scim(200);
    wire.ask(format!("GET /scim/v2{user} HTTP/1.0\r\n{token}\r\n\r\n")).await.is_scim(200);
    wire.ends().await;
    bridge.stop().await;
}

/// RFC 9110 section 9.3.2: what GET would say, without its body.
#[tokio::test(flavor = "multi_thread")]
async fn head_says_how_long_the_answer_would_be() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let mut wire = wire_to(&bridge).await;
    let user = format!("/Users/{}", encoded(&id));
    for (target, status) in [(&*user, 200), ("/Users", 200), ("/Schemas", 200), ("/Users/nobody", 404)] {
        let got = wire.ask(request(&format!("GET {target}"), &[], "")).await;
        let head = {
            wire.say(request(&format!("HEAD {target}"), &[], "")).await;
            wire.head().await
        };
        assert!(!got.is_scim(status).body.is_empty());
        assert_eq!(head.is_scim(status).header("content-length"), got.header("content-length"), "{target}");
    }
    let gone = wire.ask(request(&format!("DELETE {user}"), &[], "")).await;
    assert_eq!((gone.status, gone.body.len()), (204, 0), "{gone:?}");
    wire.ask(request(&format!("GET {user}"), &[], "")).await.refuses(404, "");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_before_sending_is_told_at_once() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let body = person("jo@example.com").to_string();
    let announced = format!("Content-Length: {}", body.len());
    let mut wire = wire_to(&bridge).await;
    wire.say(request("POST /Users", &["Expect: 100-continue", &announced], "")).await;
    let told = wire.head().await;
    assert_eq!(told.status, 100);
    wire.ask(&body).await.is_scim(201);
    for (line, header, status) in [
        ("POST /Users", "Content-Type: text/plain", 415),
        ("POST /Users", "Content-Length: 5000000", 413),
        ("POST /Schemas", &announced, 405),
        ("POST /Nothing", &announced, 404),
    ] {
        let length = if header.starts_with("Content-Length") { "X: y" } else { &*announced };
        let mut wire = wire_to(&bridge).await;
        wire.ask(request(line, &["Expect: 100-continue", header, length], "")).await.is_scim(status);
        wire.ends().await;
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_one_breath_are_answered_in_their_order() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let mut wire = wire_to(&bridge).await;
    let mut breath = Vec::new();
    for number in 0..10 {
        breath.extend(request("POST /Users", &[], person(&format!("jo{number}@example.com")).to_string()));
        breath.extend(request(&format!("GET /Users/nobody{number}"), &[], "{}"));
    }
    wire.say(breath).await;
    for number in 0..10 {
        let made = wire.hear().await;
        assert_eq!(made.is_scim(201).json()["userName"], json!(format!("jo{number}@example.com")));
        wire.hear().await.refuses(404, "no such user");
    }
    bridge.stop().await;
}

/// The client is still sending when the answer is decided; a reset connection would lose it.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_learns_why() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let large = format!(r#"{{"userName": "{}"}}"#, "x".repeat(6_000_000));
    for body in [
        request("POST /Users", &[], &large),
        request("POST /Users", &["Transfer-Encoding: chunked"], chunked(&large, 50_000)),
    ] {
        let mut wire = wire_to(&bridge).await;
        wire.ask(body).await.refuses(413, "server.max_body_bytes");
        wire.ends().await;
    }
    let mut wire = wire_to(&bridge).await;
    let stranger =
        format!("POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nContent-Length: {}\r\n\r\n{large}", large.len());
    wire.ask(stranger).await.refuses(401, "");
    wire.ends().await;
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_parser_refuses_ends_the_connection() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let huge = format!("X: {}", "y".repeat(400_000));
    let many = "X: y\r\n".repeat(200);
    let token = format!("Host: b\r\nAuthorization: Bearer {TOKEN}");
    for (text, status) in [
        (String::from_utf8(request("GET /Users", &[&huge], "")).unwrap(), 431),
        (String::from_utf8(request("GET /Users", &[many.trim_end()], "")).unwrap(), 431),
        (format!("GET /{} HTTP/1.1\r\n{token}\r\n\r\n", "a".repeat(100_000)), 431),
        (format!("GET /scim/v2/Users HTTP/1.1\r\n{token}\r\nX : y\r\n\r\n"), 400),
        (format!("GET /scim/v2/Users HTTP/1.1\r\n{token}\r\nX: a\0b\r\n\r\n"), 400),
        (format!("GET /scim/v2/Users\0 HTTP/1.1\r\n{token}\r\n\r\n"), 400),
        (format!("GET /scim/v2/Users HTTP/3.0\r\n{token}\r\n\r\n"), 400),
        (format!("GET /scim/v2/Users\r\n{token}\r\n\r\n"), 400),
        (format!("POST /scim/v2/Users HTTP/1.1\r\n{token}\r\nContent-Length: -1\r\n\r\n"), 400),
        (
            format!(
                "POST /scim/v2/Users HTTP/1.1\r\n{token}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
            400,
        ),
        (format!("POST /scim/v2/Users HTTP/1.1\r\n{token}\r\nTransfer-Encoding: gzip\r\n\r\n{{}}"), 400),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let mut wire = wire_to(&bridge).await;
        let heard = wire.ask(&text).await;
        let start: String = text.chars().take(60).collect();
        assert_eq!((heard.status, heard.body.len()), (status, 0), "{start}: {heard:?}");
        assert_eq!(heard.header("content-type"), None, "{start}");
        wire.ends().await;
    }
    // A chunk of a size that is none arrives behind a head that is fine.
    let mut wire = wire_to(&bridge).await;
    wire.ask(request("POST /Users", &["Transfer-Encoding: chunked"], "zz\r\n{}\r\n0\r\n\r\n"))
        .await
        .refuses(400, "whole");
    wire.ends().await;
    // Somebody who hangs up in the middle of a body harms nobody.
    for half in ["", "{\"userName\": "] {
        let mut wire = wire_to(&bridge).await;
        wire.say(request("POST /Users", &["Content-Length: 100"], "")).await;
        wire.say(half).await;
        drop(wire);
    }
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_longer_than_was_said() {
    let ziflow = ziflow(&[]).await;
    let settings = [
        ("BRIDGE_SERVER__FIRST_BYTE_TIMEOUT_SECS", "1"),
        ("BRIDGE_SERVER__HEADER_TIMEOUT_SECS", "1"),
        ("BRIDGE_SERVER__IDLE_TIMEOUT_SECS", "1"),
        ("BRIDGE_SERVER__REQUEST_TIMEOUT_SECS", "2"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let start = Instant::now();
    let mut silent = wire_to(&bridge).await;
    let mut half = wire_to(&bridge).await;
    half.say("GET /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthor").await;
    let mut idle = wire_to(&bridge).await;
    idle.ask(request("GET /Schemas", &[], "")).await.is_scim(200);
    let mut slow = wire_to(&bridge).await;
    slow.say(request("POST /Users", &["Content-Length: 100"], "{\"userName\": ")).await;
    let mut unwanted = wire_to(&bridge).await;
    unwanted.say(request("GET /Users/nobody", &["Content-Length: 100"], "{")).await;
    for wire in [&mut silent, &mut half, &mut idle] {
        wire.ends().await;
    }
    assert!(start.elapsed() >= Duration::from_millis(900), "closed after {:?}", start.elapsed());
    slow.hear().await.refuses(408, "server.request_timeout_secs");
    slow.ends().await;
    unwanted.hear().await.refuses(404, "no such user");
    unwanted.ends().await;
    assert!(start.elapsed() < PATIENCE, "closed after {:?}", start.elapsed());
    bridge.stop().await;
}
