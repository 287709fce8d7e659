//! Tokens that Entra issues itself: served when everything about them is right, refused with a reason for the operator and
//! none for the caller when anything is wrong, and Entra's keys kept, renewed and not asked for by anybody's whim.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Answer, Bridge, Folder, command, person, ziflow};
use crate::issuer::{Issuer, Mood, Signer, encoded, in_secs};

pub const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const KEYS_FAIL: &str = "the issuer's keys cannot be fetched: those that are known stay good, and it is tried again \
                         (auth.jwks_pause_secs)";

/// What Entra puts into a token for its provisioning service.
pub fn claims() -> Value {
    json!({
        "aud": "8adf8e6e-67b2-4cf2-a259-e3dc5476c621", "iss": format!("https://sts.windows.net/{TENANT}/"),
        "iat": in_secs(-10), "nbf": in_secs(-10), "exp": in_secs(3600), "aio": "x", "appidacr": "2",
        "appid": "00000014-0000-0000-c000-000000000000", "idp": format!("https://sts.windows.net/{TENANT}/"),
        "oid": "00000000-0000-0000-0000-000000000001", "sub": "00000000-0000-0000-0000-000000000001",
        "tid": TENANT, "ver": "1.0", "roles": ["x"],
    })
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// A bridge that knows only Entra's own tokens.
async fn bridge(ziflow: &Simulator, issuer: &Issuer, variables: &[(&str, &str)]) -> Bridge {
    let mut all = vec![
        ("BRIDGE_AUTH__TOKENS", "[]"),
        ("BRIDGE_AUTH__ENTRA__TENANT_ID", TENANT),
        ("BRIDGE_AUTH__ENTRA__JWKS_URL", issuer.url.as_str()),
        ("BRIDGE_AUTH__MAX_FAILURES_PER_MINUTE", "0"),
    ];
    all.extend_from_slice(variables);
    Bridge::with(ziflow, &all).await
}

pub async fn list(bridge: &Bridge, token: &str) -> Answer {
    bridge.ask_as(Some(token), "GET /Users", None).await
}

async fn part(bridge: &Bridge, status: u16) -> Value {
    bridge.admin("/readyz").await.expect(status).body["parts"]["issuer_keys"].clone()
}

/// Waits until the token is answered so.
async fn becomes(bridge: &Bridge, token: &str, status: u16) {
    let start = Instant::now();
    loop {
        let answer = list(bridge, token).await;
        if answer.status == status {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the answer says, without the id of the request.
fn detail(answer: &Answer) -> String {
    answer.text("/detail").split(" (request-id").next().unwrap().to_owned()
}

fn reason_of(log: &[Value], answer: &Answer) -> String {
    let id = answer.header("request-id").unwrap();
    let line = log.iter().find(|line| line["request_id"] == id).unwrap_or_else(|| panic!("no line {id}"));
    line["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_refused_and_only_the_log_says_what() {
    let (signer, stranger, ziflow) = (Signer::new("key-1"), Signer::new("key-1"), ziflow(&[]).await);
    let issuer = Issuer::new(Mood::Keys(vec![signer.jwk()])).await;
    let bridge = bridge(&ziflow, &issuer, &[]).await;
    let good = signer.sign(&claims());
    list(&bridge, &good).await.expect(200);
    bridge.ask_as(Some(&good), "POST /Users", Some(person("jo@example.com"))).await.expect(201);
    // Not exact to the second: two clocks differ.
    list(&bridge, &signer.sign(&with(&json!({"exp": in_secs(-30), "nbf": in_secs(30)})))).await.expect(200);

    let wrong = |changes: Value| signer.sign(&with(&changes));
    let header = |changes: Value| {
        let mut header = json!({"typ": "JWT", "alg": "RS256", "kid": "key-1"});
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        signer.sign_as(&header, &claims().to_string())
    };
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other_claims = wrong(json!({"appid": "x"})).split('.').nth(1).unwrap().to_owned();
    let twice = claims().to_string().replacen('{', "{\"aud\":\"x\",", 1);
    let plain = json!({"typ": "JWT", "alg": "RS256", "kid": "key-1"});
    let secret = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA256,
        signer.jwk()["n"].as_str().unwrap().as_bytes(),
    );
    let hs256 = format!(
        "{}.{}",
        encoded(json!({"alg": "HS256", "kid": "key-1"}).to_string()),
        encoded(claims().to_string())
    );
    let hs256 = format!("{hs256}.{}", encoded(aws_lc_rs::hmac::sign(&secret, hs256.as_bytes())));
    let cases = [
        (
            wrong(json!({"aud": "00000002-0000-0000-c000-000000000000"})),
            "its claim `aud` is wrong: it is `00000002-",
        ),
        (wrong(json!({"aud": null})), "its claim `aud` is wrong: it is missing"),
        (
            wrong(json!({"aud": ["8adf8e6e-67b2-4cf2-a259-e3dc5476c621"]})),
            "its claim `aud` is wrong: it is no text",
        ),
        (
            wrong(json!({"iss": format!("https://sts.windows.net/{TENANT}")})),
            "its claim `iss` is wrong: it is `https:",
        ),
        (
            wrong(json!({"iss": "https://sts.windows.net/00000000-4f89-41d3-9a0c-0305e82c3301/"})),
            "its claim `iss` is wrong",
        ),
        (wrong(json!({"tid": "00000000-4f89-41d3-9a0c-0305e82c3301"})), "its claim `tid` is wrong"),
        (wrong(json!({"tid": null})), "its claim `tid` is wrong: it is missing"),
        (wrong(json!({"appid": "11111111-0000-0000-c000-000000000000"})), "its claim `appid` is wrong"),
        (wrong(json!({"appid": {"a": 1}})), "its claim `appid` is wrong: it is no text"),
        (wrong(json!({"exp": null})), "its claim `exp` is wrong: it is missing"),
        (wrong(json!({"exp": in_secs(-70)})), "its claim `exp` is wrong: the token ended 7"),
        (wrong(json!({"exp": "2099-01-01"})), "its claim `exp` is wrong: it is no whole number"),
        (wrong(json!({"nbf": in_secs(3000)})), "its claim `nbf` is wrong: the token begins in"),
        (wrong(json!({"nbf": {}})), "its claim `nbf` is wrong: it is no whole number"),
        (header(json!({"alg": "none"})), "`alg` in its header is not RS256"),
        (header(json!({"alg": "rs256"})), "`alg` in its header is not RS256"),
        (hs256, "`alg` in its header is not RS256"),
        (header(json!({"kid": null})), "its header names no key (`kid`)"),
        (header(json!({"kid": "key-2"})), "the issuer has no key of the name in its `kid`"),
        (header(json!({"crit": ["exp"]})), "its header holds `crit` or `b64`"),
        (header(json!({"jku": issuer.url})), "its header brings a key of its own"),
        (header(json!({"jwk": stranger.jwk()})), "its header brings a key of its own"),
        (header(json!({"x5u": issuer.url})), "its header brings a key of its own"),
        (stranger.sign(&claims()), "its signature is not that of the key that it names"),
        (
            format!("{}.{other_claims}.{signature}", head.split('.').next().unwrap()),
            "its signature is not that of",
        ),
        (format!("{head}.{}", encoded([0; 256])), "its signature is not that of"),
        (format!("{head}."), "it has no signature"),
        (format!("{head}.{signature}="), "it has no signature"),
        (signer.sign_as(&plain, &twice), "its claims are no JSON object, or one stands there twice"),
        (signer.sign_as(&plain, "[]"), "its claims are no JSON object, or one stands there twice"),
        (wrong(json!({"more": "x".repeat(9000)})), "it is longer than any token of Entra"),
        ("a.b.c".to_owned(), "its header is no JSON object"),
    ];
    let mut answers = Vec::new();
    for (token, reason) in &cases {
        answers.push((token, *reason, list(&bridge, token).await));
    }
    let told = "the token that Entra has issued is refused; the bridge's log says why, under the request-id";
    for (token, reason, answer) in &answers {
        assert_eq!((answer.status, detail(answer).as_str()), (401, told), "{reason}: {token}");
    }
    list(&bridge, &good).await.expect(200);
    // Nobody else is let in, not even who has the key.
    for token in [ziflow.key(), "x", "", "eyJ.eyJ"] {
        list(&bridge, token).await.expect(401);
    }
    assert_eq!(issuer.asked(), 1, "a key that nobody has is looked for within the pause");
    let log = bridge.stop().await;
    for (_, reason, answer) in &answers {
        let logged = reason_of(&log, answer);
        assert!(logged.starts_with(&format!("token of Entra: {reason}")), "{logged}\nin place of {reason}");
    }
    let served = log.iter().find(|line| line["operation"] == "create-user").unwrap();
    assert_eq!(served["client"], "entra-issued");
    let text = format!("{log:?}");
    for (token, _) in &cases {
        let part = token.split('.').nth(1).unwrap();
        assert!(part.len() < 20 || !text.contains(part), "a token is in the log");
    }
    assert!(
        text.contains("whoever can set up an application with provisioning there can speak to the bridge")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_invented_keys_costs_one_question_and_holds_nobody_up() {
    let (signer, ziflow) = (Signer::new("key-1"), ziflow(&[]).await);
    let issuer = Issuer::new(Mood::Keys(vec![signer.jwk()])).await;
    let bridge = bridge(&ziflow, &issuer, &[("BRIDGE_AUTH__JWKS_PAUSE_SECS", "6")]).await;
    let good = signer.sign(&claims());
    list(&bridge, &good).await.expect(200);
    let invented = |number: u32| {
        let header = json!({"alg": "RS256", "kid": format!("invented-{number}")});
        signer.sign_as(&header, &claims().to_string())
    };
    tokio::time::sleep(Duration::from_secs(6)).await;
    // The next question takes its time, and the storm waits for it; whoever has a known key does not.
    issuer.turns(Mood::Slow(Duration::from_secs(4), vec![signer.jwk()]));
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let mut storm = JoinSet::new();
    for number in 0..60 {
        let request = http.get(format!("{}/Users", bridge.url)).bearer_auth(invented(number));
        storm.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    issuer.asked_times(2).await;
    for _ in 0..5 {
        list(&bridge, &good).await.expect(200);
    }
    // The question is still open.
    let fetched = "ziflow_scim_bridge_issuer_key_fetches_total";
    let fetched = bridge.metric(&format!("{fetched}{{url=\"{}\",result=\"ok\"}}", issuer.url)).await;
    assert_eq!(fetched, "1");
    let statuses = storm.join_all().await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(issuer.asked(), 2);
    list(&bridge, &good).await.expect(200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nothing_is_decided_and_the_bridge_heals_by_itself() {
    let (signer, ziflow) = (Signer::new("key-1"), ziflow(&[]).await);
    let issuer = Issuer::new(Mood::Status(500)).await;
    let bridge = bridge(&ziflow, &issuer, &[("BRIDGE_AUTH__JWKS_PAUSE_SECS", "1")]).await;
    assert_eq!(bridge.line(KEYS_FAIL).await["reason"], "the answer is 500");
    let good = signer.sign(&claims());
    // A 401 would be taken for bad credentials.
    let undecided = list(&bridge, &good).await.expect(503);
    assert_eq!(undecided.header("retry-after"), Some("30"));
    assert!(
        undecided.text("/detail").starts_with("whether the token is right cannot be decided"),
        "{undecided:?}"
    );
    // What could be right under no key is refused.
    list(&bridge, &signer.sign(&with(&json!({"aud": "x"})))).await.expect(401);
    let failing = part(&bridge, 503).await;
    assert_eq!(failing["state"], "failing");
    assert!(failing["detail"].as_str().unwrap().contains("the answer is 500"), "{failing}");

    for (mood, reason) in [
        (Mood::Redirect("https://example.com/".to_owned()), "the answer is 302"),
        (Mood::Text("<html>".to_owned()), "what is there is no JSON"),
        (Mood::Text("{\"keys\": []}".to_owned()), "there is no RSA key for signatures in it"),
        (
            Mood::Text(format!("{{\"keys\": [\"{}\"]}}", "x".repeat(600_000))),
            "the answer is larger than 524288 bytes",
        ),
    ] {
        issuer.turns(mood);
        let start = Instant::now();
        while part(&bridge, 503).await["detail"].as_str().is_none_or(|detail| !detail.contains(reason)) {
            assert!(start.elapsed() < Duration::from_secs(20), "{reason}: {}", part(&bridge, 503).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    issuer.turns(Mood::Keys(vec![signer.jwk()]));
    becomes(&bridge, &good, 200).await;
    assert_eq!(part(&bridge, 200).await["state"], "ok");
    assert_eq!(
        bridge.metric(&format!("ziflow_scim_bridge_issuer_keys{{url=\"{}\"}}", issuer.url)).await,
        "1"
    );
    let log = bridge.stop().await;
    assert!(log.iter().any(|line| line["message"] == "the issuer's keys have been fetched"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_renewed_and_withdrawn() {
    let (old, new, ziflow) = (Signer::new("old"), Signer::new("new"), ziflow(&[]).await);
    let issuer = Issuer::new(Mood::Keys(vec![old.jwk()])).await;
    let pace = [("BRIDGE_AUTH__JWKS_PAUSE_SECS", "1"), ("BRIDGE_AUTH__JWKS_REFRESH_SECS", "2")];
    let bridge = bridge(&ziflow, &issuer, &pace).await;
    let (by_old, by_new) = (old.sign(&claims()), new.sign(&claims()));
    list(&bridge, &by_old).await.expect(200);
    list(&bridge, &by_new).await.expect(401);
    // Another key comes, and is found because somebody uses it.
    issuer.turns(Mood::Keys(vec![old.jwk(), new.jwk()]));
    becomes(&bridge, &by_new, 200).await;
    list(&bridge, &by_old).await.expect(200);
    // While the address is out of reach, both stay.
    issuer.turns(Mood::Status(503));
    bridge.line(KEYS_FAIL).await;
    for token in [&by_old, &by_new] {
        list(&bridge, token).await.expect(200);
    }
    assert_eq!(part(&bridge, 200).await["state"], "stale");
    // A reload forgets nothing either.
    bridge.hang_up();
    bridge.line("reloaded").await;
    list(&bridge, &by_old).await.expect(200);
    // The old one is withdrawn, and nobody has to ask for that.
    issuer.turns(Mood::Keys(vec![new.jwk()]));
    becomes(&bridge, &by_old, 401).await;
    list(&bridge, &by_new).await.expect(200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_comes_and_goes_by_a_reload() {
    let (signer, ziflow, folder) = (Signer::new("key-1"), ziflow(&[]).await, Folder::new());
    let issuer = Issuer::new(Mood::Keys(vec![signer.jwk()])).await;
    folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    folder.file("key", ziflow.key());
    let auth = |auth: &str| {
        let text = format!(
            "server: {{ listen: 127.0.0.1:0 }}\nadmin: {{ listen: 127.0.0.1:0 }}\nauth: {{ {auth} }}\n\
             ziflow: {{ base_url: '{}', api_key_file: key, key_user_email: key@example.com }}\n\
             store: {{ url: 'memory:' }}\n",
            ziflow.base_url()
        );
        folder.file("bridge.yaml", &text)
    };
    let bridge = Bridge::configured(&auth("")).await;
    let good = signer.sign(&claims());
    list(&bridge, ziflow.key()).await.expect(200);
    list(&bridge, &good).await.expect(401);
    // Which somebody may not know.
    let warned = |line: &Value| line["key"] == "auth" && line["level"] == "WARN";
    assert!(bridge.log().iter().any(warned), "{:#?}", bridge.log());
    let parts = bridge.admin("/readyz").await.expect(200).body["parts"].clone();
    assert!(
        parts["tokens"]["detail"].as_str().unwrap().starts_with("the Ziflow API key is the token"),
        "{parts}"
    );
    let reloaded = async |number, text: &str| {
        auth(text);
        bridge.hang_up();
        bridge.nth_line("reloaded", number).await["changed"].as_str().unwrap().to_owned()
    };
    let entra = format!("entra: {{ tenant_id: {TENANT}, jwks_url: '{}' }}", issuer.url);
    assert_eq!(reloaded(1, &entra).await, "tokens removed: ziflow-api-key; auth.entra");
    list(&bridge, &good).await.expect(200);
    list(&bridge, ziflow.key()).await.expect(401);
    let parts = bridge.admin("/readyz").await.expect(200).body["parts"].clone();
    assert_eq!(parts["tokens"]["detail"], "none is configured; others get in by other means");
    // Others of the tenant, by its number in capitals; and the audience of old jobs.
    let old = "00000002-0000-0000-c000-000000000000";
    let upper = TENANT.to_uppercase();
    let entra = format!("entra: {{ tenant_id: {upper}, audience: {old}, jwks_url: '{}' }}", issuer.url);
    assert_eq!(reloaded(2, &entra).await, "auth.entra");
    list(&bridge, &good).await.expect(401);
    list(&bridge, &signer.sign(&with(&json!({"aud": old})))).await.expect(200);
    assert_eq!(reloaded(3, "tokens: [{name: a, token: a-token}]").await, "tokens added: a; auth.entra");
    list(&bridge, &signer.sign(&with(&json!({"aud": old})))).await.expect(401);
    list(&bridge, "a-token").await.expect(200);
    let log = bridge.stop().await;
    let unset = "it is formed like a token that Entra issues itself, and auth.entra.tenant_id is not set";
    assert!(log.iter().filter(|line| line["reason"] == unset).count() == 2, "{log:#?}");
}

#[test]
fn check_tells_what_cannot_be_and_who_could_speak() {
    let check = |variables: &[(&str, &str)]| {
        let base = [("BRIDGE_ZIFLOW__API_KEY", "k"), ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", "a@example.com")];
        let output = command(&["check"], &[&base[..], variables].concat()).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let tenant = ("BRIDGE_AUTH__ENTRA__TENANT_ID", TENANT);
    for (variables, told, code) in [
        (&[tenant][..], "whoever can set up an application with provisioning there", 0),
        (&[("BRIDGE_AUTH__ENTRA__TENANT_ID", "example.com")], "`example.com` is no tenant id", 78),
        (&[("BRIDGE_AUTH__ENTRA__AUDIENCE", "x")], "it does nothing without auth.entra.tenant_id", 78),
        (
            &[tenant, ("BRIDGE_AUTH__ENTRA__JWKS_URL", "http://login.example/keys")],
            "no address that begins with https://",
            78,
        ),
        (
            &[tenant, ("BRIDGE_AUTH__ENTRA__JWKS_URL", "https://a:b@login.example/keys")],
            "holds more than an address",
            78,
        ),
        (
            &[tenant, ("BRIDGE_AUTH__TOKENS", "[{name: entra-issued, token: x}]")],
            "what the log calls Entra",
            78,
        ),
        (&[tenant, ("BRIDGE_AUTH__ENTRA__TENANT", "x")], "unknown variable", 78),
    ] {
        let (said, found) = check(variables);
        assert!(found == Some(code) && said.contains(told), "`{told}` not in: {said}");
    }
}
