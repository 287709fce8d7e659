//! `/oauth2/token`, as RFC 6749 and RFC 7523 want it, and what becomes of the tokens: they outlive the process, are good at
//! every instance that has the key, and die with their client and their secret.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::auth_stage::Place;
use crate::harness::{Answer, Bridge, Folder, command, person};
use crate::issuer::{Issuer, Mood, Signer, in_secs};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
const GRANT: &str = "grant_type=client_credentials";
const JWT_BEARER: &str =
    "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

fn sha256(secret: &str) -> String {
    digest(&SHA256, secret.as_bytes())
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// A place where these are the clients.
async fn place(clients: &str) -> Place {
    let place = Place::new().await;
    place.folder.file("signing-key", &format!("{KEY}\n"));
    register(&place, clients);
    place
}

fn register(place: &Place, clients: &str) -> PathBuf {
    place.auth(&format!("clients: [{clients}], signing_key_file: signing-key, max_failures_per_minute: 0"))
}

/// An entry with these secrets.
fn client(id: &str, secrets: &[&str]) -> String {
    let digests: Vec<_> = secrets.iter().map(|secret| format!("'{}'", sha256(secret))).collect();
    format!("{{id: {id}, secrets: [{}]}}", digests.join(", "))
}

async fn send(bridge: &Bridge, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let url = bridge.url.replace("/scim/v2", "/oauth2/token");
    let mut builder = http.request(method.parse().unwrap(), url).body(body.to_owned());
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let response = builder.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    assert_eq!(headers["content-type"], "application/json;charset=UTF-8", "{text}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["pragma"], "no-cache");
    assert!(headers.contains_key("request-id"));
    let body = if method == "HEAD" { Value::Null } else { serde_json::from_str(&text).unwrap() };
    Answer { status, headers, body }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn post(bridge: &Bridge, body: &str) -> Answer {
    send(bridge, "POST", &[FORM], body).await
}

async fn with_basic(bridge: &Bridge, credentials: &str, body: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(credentials));
    send(bridge, "POST", &[FORM, ("authorization", &basic)], body).await
}

/// The token, once everything around it is as it must be.
#[track_caller]
fn token(answer: Answer) -> String {
    let answer = answer.expect(200);
    let body = answer.body.as_object().unwrap();
    assert_eq!(body.len(), 3, "{body:?}");
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    let token = body["access_token"].as_str().unwrap();
    assert!(token.starts_with("zsa_") && token.len() < 200, "{token}");
    token.to_owned()
}

async fn by_secret(bridge: &Bridge, id: &str, secret: &str) -> Answer {
    post(bridge, &format!("{GRANT}&client_id={id}&client_secret={secret}")).await
}

async fn list(bridge: &Bridge, token: &str) -> Answer {
    bridge.ask_as(Some(token), "GET /Users", None).await
}

async fn reload(bridge: &Bridge, number: usize) -> String {
    bridge.hang_up();
    bridge.nth_line("reloaded", number).await["changed"].as_str().unwrap().to_owned()
}

fn reason_of(log: &[Value], answer: &Answer) -> String {
    let id = answer.header("request-id").unwrap();
    let line = log.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| panic!("no line {id}"));
    assert_eq!(line["operation"], "token");
    line["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_a_token_in_each_way_that_the_rfc_knows_and_uses_it() {
    let clients = [
        client("entra", &["s3cret"]),
        client("odd", &["a b+c:d%41&e"]),
        client("audit", &["looks"]).replace('}', ", read_only: true}"),
    ];
    let place = place(&clients.join(", ")).await;
    let bridge = place.bridge().await;
    let in_form = token(by_secret(&bridge, "entra", "s3cret").await);
    let in_header = token(with_basic(&bridge, "entra:s3cret", GRANT).await);
    for token in [&in_form, &in_header] {
        list(&bridge, token).await.expect(200);
    }
    bridge.ask_as(Some(&in_form), "POST /Users", Some(person("jo@example.com"))).await.expect(201);
    // Encoded as the RFC has it, and as many clients have it; with what nobody needs beside it.
    for credentials in ["odd:a+b%2Bc%3Ad%2541%26e", "odd:a b+c:d%41&e"] {
        token(
            with_basic(&bridge, credentials, &format!("{GRANT}&scope=scim&baseAddress=https%3A%2F%2Fx"))
                .await,
        );
    }
    token(
        post(&bridge, &format!("{GRANT}&client_id=odd&client_secret=a%20b%2Bc%3Ad%2541%26e&scope=&x=")).await,
    );
    token(with_basic(&bridge, "entra:s3cret", &format!("client_id=entra&{GRANT}")).await);
    let audit = token(by_secret(&bridge, "audit", "looks").await);
    list(&bridge, &audit).await.expect(200);
    bridge.ask_as(Some(&audit), "POST /Users", Some(person("al@example.com"))).await.expect(403);
    // A secret opens nothing by itself, nor does the key, nor a token that was touched.
    let (cut, longer) = (in_form.get(..in_form.len() - 1).unwrap(), format!("{in_form}A"));
    for wrong in ["s3cret", place.ziflow.key(), KEY, cut, &longer, &in_form.to_uppercase()] {
        list(&bridge, wrong).await.expect(401);
    }
    assert_eq!(bridge.metric("ziflow_scim_bridge_access_tokens_total").await, "7");
    let log = bridge.stop().await;
    let granted: Vec<_> = log.iter().filter(|line| line["operation"] == "token").collect();
    assert_eq!(
        (granted.len(), &granted[0]["client"], &granted[0]["status"]),
        (7, &json!("entra"), &json!(200))
    );
    let created =
        log.iter().find(|line| line["operation"] == "create-user" && line["status"] == 201).unwrap();
    assert_eq!(created["client"], "entra");
    let text = format!("{log:?}");
    for secret in ["s3cret", "looks", &in_form, KEY, &sha256("s3cret")] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_answered_in_the_words_of_the_rfc() {
    let place = place(&client("entra", &["s3cret"])).await;
    let bridge = place.bridge().await;
    let good = "client_id=entra&client_secret=s3cret";
    for (body, status, error) in [
        (String::new(), 400, "invalid_request"),
        (good.to_owned(), 400, "invalid_request"),
        (format!("grant_type=&{good}"), 400, "invalid_request"),
        (format!("grant_type=password&{good}"), 400, "unsupported_grant_type"),
        (format!("grant_type=authorization_code&{good}&code=x"), 400, "unsupported_grant_type"),
        (format!("{GRANT}&{GRANT}&{good}"), 400, "invalid_request"),
        (format!("{GRANT}&{good}&client_secret=s3cret"), 400, "invalid_request"),
        (format!("{GRANT}&{good}&x=1&x=2"), 400, "invalid_request"),
        (format!("{GRANT}&{good}&scope=a%22"), 400, "invalid_scope"),
        (format!("{GRANT}&{good}&client_assertion=x&{JWT_BEARER}"), 400, "invalid_request"),
        (format!("{GRANT}&client_secret=s3cret"), 400, "invalid_request"),
        (format!("{GRANT}&client_assertion=x"), 400, "invalid_request"),
        (format!("{GRANT}&{JWT_BEARER}"), 400, "invalid_request"),
        (format!("{GRANT}&{good}&{}", "x".repeat(20_000)), 400, "invalid_request"),
        (
            (0..40).fold(format!("{GRANT}&{good}"), |form, number| format!("{form}&p{number}=1")),
            400,
            "invalid_request",
        ),
        (GRANT.to_owned(), 401, "invalid_client"),
        (format!("{GRANT}&client_id=entra"), 401, "invalid_client"),
        (format!("{GRANT}&client_id=entra&client_secret="), 401, "invalid_client"),
        (format!("{GRANT}&client_id=entra&client_secret=wrong"), 401, "invalid_client"),
        (format!("{GRANT}&client_id=other&client_secret=s3cret"), 401, "invalid_client"),
        (format!("{GRANT}&client_id=entra&client_secret={}", sha256("s3cret")), 401, "invalid_client"),
        (format!("{GRANT}&{JWT_BEARER}&client_assertion=a.b.c"), 401, "invalid_client"),
    ] {
        let answer = post(&bridge, &body).await;
        assert_eq!((answer.status, answer.text("/error")), (status, error), "{body}: {answer:?}");
        assert!(
            answer
                .text("/error_description")
                .bytes()
                .all(|b| (0x20..0x7f).contains(&b) && !b"\"\\".contains(&b))
        );
        assert_eq!(answer.header("www-authenticate"), None, "{body}");
    }
    let basic = |credentials: &str| format!("Basic {}", STANDARD.encode(credentials));
    for (authorization, body, status, error) in [
        (basic("entra:wrong"), GRANT, 401, "invalid_client"),
        (basic("entra"), GRANT, 401, "invalid_client"),
        (basic("other:s3cret"), GRANT, 401, "invalid_client"),
        ("Basic !".to_owned(), GRANT, 401, "invalid_client"),
        ("Basic".to_owned(), GRANT, 401, "invalid_client"),
        ("Bearer x".to_owned(), GRANT, 401, "invalid_client"),
        (
            basic("entra:s3cret"),
            "grant_type=client_credentials&client_secret=s3cret&client_id=entra",
            400,
            "invalid_request",
        ),
        (basic("entra:s3cret"), "grant_type=client_credentials&client_id=other", 400, "invalid_request"),
    ] {
        let answer = send(&bridge, "POST", &[FORM, ("authorization", &authorization)], body).await;
        assert_eq!((answer.status, answer.text("/error")), (status, error), "{authorization}: {answer:?}");
        let challenge = (status == 401).then_some("Basic realm=\"oauth2\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{authorization}");
    }
    // No form, no POST, no body that is what it says.
    let form = format!("{GRANT}&{good}");
    for headers in [&[][..], &[("content-type", "application/json")], &[FORM, ("content-encoding", "gzip")]] {
        let answer = send(&bridge, "POST", headers, &form).await;
        assert_eq!((answer.status, answer.text("/error")), (400, "invalid_request"), "{headers:?}");
    }
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        let answer = send(&bridge, method, &[FORM], "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    token(
        send(&bridge, "POST", &[("content-type", "Application/X-WWW-Form-URLencoded; charset=UTF-8")], &form)
            .await,
    );
    // Its place is the root, and whoever has put it below the Tenant URL is told so.
    let below = bridge.ask_as(None, "POST /oauth2/token", None).await.expect(404);
    assert!(below.text("/error_description").contains("right behind the host"), "{:?}", below.body);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_outlives_the_process_and_is_good_wherever_the_key_is() {
    let place = place(&client("entra", &["s3cret"])).await;
    let (one, two) = (place.bridge().await, place.bridge().await);
    let held = token(by_secret(&one, "entra", "s3cret").await);
    list(&two, &held).await.expect(200);
    one.stop().await;
    let one = place.bridge().await;
    list(&one, &held).await.expect(200);
    // A new key comes first and signs; the old one is still believed, until it is taken away.
    place.folder.file("signing-key", &format!("{OTHER_KEY}\n{KEY}\n"));
    assert_eq!(reload(&one, 1).await, "auth.signing_key");
    let newer = token(by_secret(&one, "entra", "s3cret").await);
    for token in [&held, &newer] {
        list(&one, token).await.expect(200);
    }
    list(&two, &newer).await.expect(401);
    assert_eq!(reload(&two, 1).await, "auth.signing_key");
    list(&two, &newer).await.expect(200);
    place.folder.file("signing-key", OTHER_KEY);
    assert_eq!(reload(&two, 2).await, "auth.signing_key");
    list(&two, &newer).await.expect(200);
    list(&two, &held).await.expect(401);
    list(&one, &held).await.expect(200);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_secret_takes_over_from_another_and_a_token_dies_with_its_own() {
    let place = place(&client("entra", &["old"])).await;
    let bridge = place.bridge().await;
    let by_old = token(by_secret(&bridge, "entra", "old").await);
    by_secret(&bridge, "entra", "new").await.expect(401);
    register(&place, &client("entra", &["new", "old"]));
    assert_eq!(reload(&bridge, 1).await, "clients changed: entra");
    let by_new = token(by_secret(&bridge, "entra", "new").await);
    token(by_secret(&bridge, "entra", "old").await);
    for token in [&by_old, &by_new] {
        list(&bridge, token).await.expect(200);
    }
    register(&place, &client("entra", &["new"]));
    assert_eq!(reload(&bridge, 2).await, "clients changed: entra");
    list(&bridge, &by_new).await.expect(200);
    let dead = list(&bridge, &by_old).await.expect(401);
    assert!(dead.text("/detail").starts_with("the access token is refused"), "{dead:?}");
    // Rights are those of this moment.
    register(&place, &client("entra", &["new"]).replace('}', ", read_only: true}"));
    assert_eq!(reload(&bridge, 3).await, "clients changed: entra");
    bridge.ask_as(Some(&by_new), "POST /Users", Some(person("jo@example.com"))).await.expect(403);
    register(&place, &client("other", &["new"]));
    assert_eq!(reload(&bridge, 4).await, "clients added: other; clients removed: entra");
    list(&bridge, &by_new).await.expect(401);
    by_secret(&bridge, "entra", "new").await.expect(401);
    token(by_secret(&bridge, "other", "new").await);
    // Without anybody the key would be the token, which nobody has asked for.
    place.auth("max_failures_per_minute: 0");
    bridge.hang_up();
    bridge.line("the reload is refused, and everything stays as it was").await;
    let told = bridge.admin("/readyz").await.expect(200);
    assert!(told.text("/parts/mapping/detail").contains("the Ziflow API key would be the token"), "{told:?}");
    token(by_secret(&bridge, "other", "new").await);
    list(&bridge, place.ziflow.key()).await.expect(401);
    let log = bridge.stop().await;
    let reasons: Vec<_> = log.iter().filter_map(|line| line["reason"].as_str()).collect();
    for reason in [
        "access token: client `entra` got it with a secret, or a federation, that is no longer in auth.clients",
        "access token: client `entra` is no longer in auth.clients",
        "client `entra` showed a secret that is none of its secrets",
        "the client_id is none of auth.clients",
    ] {
        assert!(reasons.contains(&reason), "{reason} not in {reasons:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_is_braked_and_a_right_secret_is_served_all_the_while() {
    let place = place("").await;
    place.auth(&format!(
        "clients: [{}], signing_key_file: signing-key, max_failures_per_minute: 5",
        client("entra", &["s3cret"])
    ));
    let bridge = place.bridge().await;
    for number in 0..5 {
        by_secret(&bridge, "entra", &format!("guess-{number}")).await.expect(401);
    }
    for number in 5..40 {
        let braked = by_secret(&bridge, "entra", &format!("guess-{number}")).await.expect(429);
        assert_eq!(braked.text("/error"), "invalid_client");
        let wait: u64 = braked.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=61).contains(&wait), "{braked:?}");
        if number % 10 == 0 {
            token(by_secret(&bridge, "entra", "s3cret").await);
        }
    }
    // It is one brake with that of SCIM.
    list(&bridge, "guess").await.expect(429);
    let held = token(by_secret(&bridge, "entra", "s3cret").await);
    list(&bridge, &held).await.expect(200);
    let log = bridge.stop().await;
    assert_eq!(log.iter().filter(|line| line["operation"] == "token" && line["status"] == 401).count(), 5);
    assert!(!log.iter().any(|line| line["status"] == 429));
    assert!(!format!("{log:?}").contains("guess-"));
}

/// What Entra puts into an assertion.
fn claims() -> Value {
    json!({
        "iss": "https://issuer.example/", "aud": "api://11111111-2222-3333-4444-555555555555",
        "sub": "66666666-7777-8888-9999-000000000000", "oid": "66666666-7777-8888-9999-000000000000",
        "iat": in_secs(-10), "nbf": in_secs(-10), "exp": in_secs(3600), "ver": "2.0", "jti": "1",
    })
}

fn federated(id: &str, issuer: &Issuer, subject: &str) -> String {
    format!(
        "{{id: {id}, issuer: 'https://issuer.example/', audience: 'api://11111111-2222-3333-4444-555555555555', \
         subject: {subject}, jwks_url: '{}'}}",
        issuer.url
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_issuer_stands_in_for_a_secret() {
    let signer = Signer::new("k1");
    let issuer = Issuer::new(Mood::Keys(vec![signer.jwk()])).await;
    let subject = "66666666-7777-8888-9999-000000000000";
    let both = [
        federated("entra", &issuer, subject),
        federated("second", &issuer, "other-subject"),
        client("secret", &["s3cret"]),
    ];
    let place = place(&both.join(", ")).await;
    let bridge = place.bridge().await;
    let assert_with = async |claims: &Value, further: &str| {
        let assertion = signer.sign(claims);
        post(&bridge, &format!("{GRANT}&{JWT_BEARER}&client_assertion={assertion}{further}")).await
    };
    // As Entra sends it, and as its validator does; shown again, as a retry would.
    let held = token(assert_with(&claims(), "&client_id=entra&scope=scim").await);
    list(&bridge, &held).await.expect(200);
    token(assert_with(&claims(), "&baseAddress=https%3A%2F%2Fscim.example.com&scope=scim").await);
    token(assert_with(&claims(), "").await);
    let second = json!({"sub": "other-subject"});
    let with = |changes: &Value| {
        let mut claims = claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    };
    token(assert_with(&with(&second), "&client_id=second").await);
    token(assert_with(&with(&second), "").await);

    let mut answers = Vec::new();
    for (changes, further, reason) in [
        (
            json!({"iss": "https://issuer.example"}),
            "&client_id=entra",
            "its claim `iss` is wrong: it is `https://issuer.example`",
        ),
        (
            json!({"aud": "api://11111111-2222-3333-4444-555555555555/.default"}),
            "&client_id=entra",
            "its claim `aud` is wrong",
        ),
        (
            json!({"aud": ["api://11111111-2222-3333-4444-555555555555"]}),
            "&client_id=entra",
            "its claim `aud` is wrong: it is no text",
        ),
        (json!({"sub": "someone-else"}), "&client_id=entra", "its claim `sub` is wrong"),
        (json!({"sub": null}), "&client_id=entra", "its claim `sub` is wrong: it is missing"),
        (json!({"exp": in_secs(-100)}), "&client_id=entra", "its claim `exp` is wrong"),
        (json!({"exp": null}), "&client_id=entra", "its claim `exp` is wrong: it is missing"),
        (json!({"nbf": in_secs(100)}), "&client_id=entra", "its claim `nbf` is wrong"),
        (second.clone(), "&client_id=entra", "its claim `sub` is wrong: it is `other-subject`"),
        (json!({}), "&client_id=second", "its claim `sub` is wrong"),
        (json!({}), "&client_id=secret", "the client_id is none of auth.clients with an issuer"),
        (json!({}), "&client_id=nobody", "the client_id is none of auth.clients with an issuer"),
        (json!({"sub": "someone-else"}), "", "its claim `sub` is wrong"),
    ] {
        let answer = assert_with(&with(&changes), further).await;
        assert_eq!((answer.status, answer.text("/error")), (401, "invalid_client"), "{changes} {further}");
        answers.push((answer, reason));
    }
    let stranger = Signer::new("k1").sign(&claims());
    let unsigned = post(&bridge, &format!("{GRANT}&{JWT_BEARER}&client_assertion={stranger}")).await;
    answers.push((unsigned.expect(401), "its signature is not that of the key that it names"));
    // A secret is none of this client's, and an assertion is no bearer token.
    by_secret(&bridge, "entra", "s3cret").await.expect(401);
    list(&bridge, &signer.sign(&claims())).await.expect(401);

    // It dies with what it was got by.
    register(&place, &federated("entra", &issuer, "someone-else"));
    assert_eq!(reload(&bridge, 1).await, "clients removed: second, secret; clients changed: entra");
    list(&bridge, &held).await.expect(401);
    token(assert_with(&with(&json!({"sub": "someone-else"})), "").await);
    let log = bridge.stop().await;
    for (answer, reason) in &answers {
        let logged = reason_of(&log, answer);
        assert!(logged.contains(reason), "{logged}\nin place of {reason}");
    }
    assert!(!format!("{log:?}").contains("eyJ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_is_out_of_reach_a_client_is_told_to_come_again() {
    let signer = Signer::new("k1");
    let issuer = Issuer::new(Mood::Status(500)).await;
    let place = place("").await;
    place.auth(&format!(
        "clients: [{}], signing_key_file: signing-key, jwks_pause_secs: 1, max_failures_per_minute: 0",
        federated("entra", &issuer, "66666666-7777-8888-9999-000000000000")
    ));
    let bridge = place.bridge().await;
    let ask = async || {
        let body = format!("{GRANT}&{JWT_BEARER}&client_assertion={}", signer.sign(&claims()));
        post(&bridge, &body).await
    };
    let undecided = ask().await.expect(503);
    assert_eq!(undecided.text("/error"), "temporarily_unavailable");
    assert_eq!(undecided.header("retry-after"), Some("30"));
    issuer.turns(Mood::Keys(vec![signer.jwk()]));
    let start = std::time::Instant::now();
    let held = loop {
        let answer = ask().await;
        if answer.status == 200 {
            break token(answer);
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // The token needs nobody any more.
    issuer.turns(Mood::Status(500));
    list(&bridge, &held).await.expect(200);
    bridge.stop().await;
}

#[test]
fn check_tells_what_cannot_be_a_client() {
    let folder = Folder::new();
    folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    folder.file("signing-key", KEY);
    folder.file("short-key", "abc");
    folder.file_with_mode("open-key", KEY, 0o644);
    folder.file_with_mode("loose-key", KEY, 0o666);
    let check = |auth: &str| {
        let variables = [("BRIDGE_ZIFLOW__API_KEY", "k"), ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", "a@example.com")];
        let file = folder.file("bridge.yaml", &format!("auth:\n  {auth}\n"));
        let output = command(&["check", "--config", file.to_str().unwrap()], &variables).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let key = "signing_key_file: signing-key";
    let entra = "issuer: https://login.microsoftonline.com/3f2504e0-4f89-41d3-9a0c-0305e82c3301/v2.0";
    let (one, two, three) =
        (client("a", &["one"]), client("a", &["one", "two"]), client("a", &["1", "2", "3"]));
    let empty = client("a", &[""]);
    for (clients, further, told, code) in [
        (one.clone(), key, "are fine", 0),
        (two, key, "are fine", 0),
        (format!("{{id: a, {entra}, audience: x, subject: y}}"), key, "are fine", 0),
        (one.clone(), "max_failures_per_minute: 1", "and there is no key for it", 78),
        (one.clone(), "signing_key_file: nowhere", "nowhere` cannot be read", 78),
        (one.clone(), "signing_key_file: short-key", "a key of 64 hexadecimal digits", 78),
        (one.clone(), "signing_key_file: open-key", "everybody on this machine can read the secret", 0),
        (one.clone(), "signing_key_file: loose-key", "everybody on this machine can change", 78),
        (String::new(), key, "nothing is signed with it while auth.clients is empty", 0),
        (three, key, "one secret or 2 are expected, found 3", 78),
        (client("a", &[]), key, "one secret or 2 are expected, found 0", 78),
        (client("a", &["one", "one"]), key, "both secrets are the same", 78),
        (client("a", &["k"]), key, "the secret is the Ziflow API key", 0),
        (
            one.clone(),
            "signing_key_file: signing-key\n  tokens: [{name: t, token: one}]",
            "a secret of `a` is the token `t` of auth.tokens as well",
            0,
        ),
        (
            format!("{}, {}", client("a", &["one", "two"]), client("b", &["two"])),
            key,
            "a secret of `b` is a secret of `a` as well",
            0,
        ),
        (format!("{{id: a, {entra}, audience: 'api://x/.default', subject: y}}"), key, "write `api://x`", 0),
        (
            "{id: a, issuer: 'https://x.example/', audience: 'api://x/.default', subject: y, \
             jwks_url: 'https://x.example/'}"
                .to_owned(),
            key,
            "are fine",
            0,
        ),
        (empty, key, "the digest of an empty text", 78),
        ("{id: a, secrets: [plain-secret]}".to_owned(), key, "64 hexadecimal digits", 78),
        ("{id: a}".to_owned(), key, "found neither", 78),
        (one.replace('}', ", issuer: x}"), key, "found both", 78),
        (one.replace("id: a", "id: 'a:b'"), key, "it must be letters, digits", 78),
        (one.replace("id: a", "name: a"), key, "unknown key `name`", 78),
        (format!("{{id: a, {entra}, subject: y}}"), key, "`audience` is missing", 78),
        (
            "{id: a, issuer: 'https://x.example/', audience: x, subject: y}".to_owned(),
            key,
            "is not known",
            78,
        ),
        (
            "{id: a, issuer: 'https://x.example/', audience: x, subject: y, jwks_url: 'http://x.example/'}"
                .to_owned(),
            key,
            "begins with https://",
            78,
        ),
        (format!("{one}, {one}"), key, "the name of another client, or of a token", 78),
        (
            format!(
                "{{id: a, {entra}, audience: x, subject: y}}, {{id: b, {entra}, audience: x, subject: y}}"
            ),
            key,
            "another client has the same issuer, audience and subject",
            78,
        ),
        (
            one.clone(),
            "signing_key_file: signing-key\n  tokens: [{name: a, token: x}]",
            "the name of another client",
            78,
        ),
        (one.replace('}', ", read_only: true}"), key, "are fine", 0),
    ] {
        let (said, found) = check(&format!("clients: [{clients}]\n  {further}"));
        assert!(found == Some(code) && said.contains(told), "{clients}, {further}: `{told}` not in: {said}");
        assert!(told != "are fine" || !said.contains("warning"), "{clients}: {said}");
        assert!(!said.contains(KEY), "{said}");
    }
}
