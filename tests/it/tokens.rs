//! Tokens, as their owners and others use them: expired, read-only, changed over, guessed at, and newly made.

use std::process::Output;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::auth_stage::Place;
use crate::harness::{Answer, Bridge, Folder, TOKEN, command, encoded, person, ziflow};

const UNKNOWN: &str = "the bearer token is not one of the bridge's";
const STILL_IN_USE: &str = "an expired token is still in use";
const BRAKED: &str = "too many missing or wrong credentials from one address";

/// A place where these are the tokens.
async fn place(tokens: &str) -> Place {
    let place = Place::new().await;
    place.auth(&format!("tokens: {tokens}"));
    place
}

fn check(place: &Place) -> (Value, Option<i32>) {
    let file = place.file().display().to_string();
    let output = command(&["check", "--config", &file, "--format", "json"], &[]).output().unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

async fn reload(bridge: &Bridge, number: usize) -> String {
    bridge.hang_up();
    bridge.nth_line("reloaded", number).await["changed"].as_str().unwrap().to_owned()
}

async fn part(bridge: &Bridge, status: u16) -> Value {
    bridge.admin("/readyz").await.expect(status).body["parts"]["tokens"].clone()
}

async fn list(bridge: &Bridge, token: &str) -> Answer {
    bridge.ask_as(Some(token), "GET /Users", None).await
}

fn lines<'a>(log: &'a [Value], beginning: &str) -> Vec<&'a Value> {
    let begins = |line: &&Value| line["message"].as_str().is_some_and(|text| text.starts_with(beginning));
    log.iter().filter(begins).collect()
}

/// A time so many seconds from now, as RFC 3339 has it.
fn in_secs(secs: i64) -> String {
    format!("{:.0}", Timestamp::now() + SignedDuration::from_secs(secs))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_no_right_token_is_told_so_in_scims_words() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    for (token, told) in
        [(None, "no bearer token"), (Some("wrong"), UNKNOWN), (Some("x".repeat(4000).as_str()), UNKNOWN)]
    {
        for request in ["GET /Users", "POST /Users", "DELETE /Users/1", "GET /Nowhere"] {
            let answer = bridge.ask_as(token, request, None).await.expect(401);
            assert!(answer.text("/detail").starts_with(told), "{answer:?}");
            assert_eq!(answer.text("/status"), "401");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"scim\""));
        }
    }
    let log = bridge.stop().await;
    let refused: Vec<_> = log.iter().filter(|line| line["status"] == 401).collect();
    assert_eq!(refused.len(), 12);
    for line in refused {
        assert_eq!((line["source"].as_str(), &line["client"]), (Some("127.0.0.1"), &Value::Null), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_while_the_service_runs() {
    let end = in_secs(9);
    let tokens =
        format!("[{{name: entra, token: {TOKEN}}}, {{name: old, token: old-token, expires: '{end}'}}]");
    let place = place(&tokens).await;
    let bridge = place.bridge().await;
    let soon = part(&bridge, 200).await;
    assert_eq!(soon["state"], "stale");
    assert!(soon["detail"].as_str().unwrap().contains("`old` expires at"), "{soon}");
    list(&bridge, "old-token").await.expect(200);
    let stamp: Timestamp = end.parse().unwrap();
    let sample = "ziflow_scim_bridge_token_expiry_timestamp_seconds{name=\"old\"}";
    assert_eq!(bridge.metric(sample).await, stamp.as_second().to_string());

    let announced = format!("token `old` expired at {end} and is refused");
    let line = bridge.line(&announced).await;
    assert_eq!(line["level"], "WARN");
    assert!(line["hint"].as_str().unwrap().contains("token new"), "{line}");
    let unknown = list(&bridge, "never-was").await.expect(401);
    for _ in 0..5 {
        let expired = list(&bridge, "old-token").await.expect(401);
        let detail =
            |answer: &Answer| answer.text("/detail").split(" (request-id").next().unwrap().to_owned();
        assert_eq!(detail(&expired), detail(&unknown));
    }
    list(&bridge, TOKEN).await.expect(200);
    assert_eq!(part(&bridge, 200).await["detail"], announced.as_str());

    let log = bridge.stop().await;
    let told = lines(&log, STILL_IN_USE);
    let [told] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!((told["token"].as_str(), told["level"].as_str()), (Some("old"), Some("WARN")), "{told}");
    assert_eq!(told["source"], "127.0.0.1");
    // At the start as one that expires soon, later as one that has.
    assert!(lines(&log, "token `old` expires at")[0]["key"] == "auth.tokens[1].expires", "{log:#?}");
    assert_eq!(lines(&log, "token `old` expired at").len(), 1);
    assert!(!format!("{log:?}").contains("old-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_the_bridge_is_not_ready_and_another_one_mends_it() {
    let place = place(&format!("[{{name: old, token: old-token, expires: '{}'}}]", in_secs(6))).await;
    let bridge = place.bridge().await;
    bridge.admin("/readyz").await.expect(200);
    let start = Instant::now();
    while bridge.admin("/readyz").await.status == 200 {
        assert!(start.elapsed() < Duration::from_secs(20), "ready without a valid token");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let failing = part(&bridge, 503).await;
    assert_eq!(failing["state"], "failing");
    assert!(failing["detail"].as_str().unwrap().starts_with("no token is valid"), "{failing}");
    // Nothing is wrong with the files, so commands and the start go on, and say it.
    let (checked, code) = check(&place);
    assert_eq!((&checked["usable"], &checked["problems"][0]["severity"]), (&json!(true), &json!("warning")));
    assert_eq!(code, Some(0));
    assert_eq!(reload(&bridge, 1).await, "nothing");
    bridge.stop().await;
    let bridge = place.bridge().await;
    part(&bridge, 503).await;
    let nobody = "nobody is let in: every token has expired. The bridge runs so that another token and a reload mend it \
                  (auth.tokens)";
    assert_eq!(bridge.line(nobody).await["level"], "ERROR");
    list(&bridge, "old-token").await.expect(401);

    place.auth(&format!("tokens: [{{name: entra, token: {TOKEN}}}]"));
    assert_eq!(reload(&bridge, 1).await, "tokens added: entra; tokens removed: old");
    list(&bridge, TOKEN).await.expect(200);
    let fine = part(&bridge, 200).await;
    assert_eq!(
        (fine["state"].as_str(), fine["detail"].as_str()),
        (Some("ok"), Some("1 token; none expires"))
    );
    // What would shut out whoever is served now is a mistake.
    place.auth("tokens: [{name: entra, token: other-token, expires: 2020-01-01}]");
    bridge.hang_up();
    bridge.line("the reload is refused, and everything stays as it was").await;
    list(&bridge, TOKEN).await.expect(200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_token_reads_and_changes_nothing() {
    let tokens =
        format!("[{{name: entra, token: {TOKEN}}}, {{name: audit, token: audit-token, read_only: true}}]");
    let place = place(&tokens).await;
    let bridge = place.bridge().await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let user = format!("/Users/{}", encoded(&id));
    let ask = |request: String, body| {
        let bridge = &bridge;
        async move { bridge.ask_as(Some("audit-token"), &request, body).await }
    };
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    for (request, body) in [
        (format!("GET {user}"), None),
        (format!("HEAD {user}"), None),
        ("GET /Users".to_owned(), None),
        ("GET /ServiceProviderConfig".to_owned(), None),
        ("POST /Users/.search".to_owned(), Some(search.clone())),
        ("POST /.search".to_owned(), Some(search.clone())),
        ("POST //Groups//.search/".to_owned(), Some(search)),
    ] {
        assert_eq!(ask(request.clone(), body).await.status, 200, "{request}");
    }
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}],
    });
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "DELETE", "path": user}],
    });
    let written = place.ziflow.calls().iter().filter(|call| call.method != "GET").count();
    for (request, body) in [
        ("POST /Users".to_owned(), person("al@example.com")),
        (format!("PUT {user}"), person("jo@example.com")),
        (format!("PATCH {user}"), patch),
        (format!("DELETE {user}"), Value::Null),
        ("POST /Groups".to_owned(), json!({"displayName": "g"})),
        ("POST /Bulk".to_owned(), bulk),
        ("POST /Me".to_owned(), Value::Null),
        ("DELETE /Nowhere".to_owned(), Value::Null),
        ("BREW /Users".to_owned(), Value::Null),
        ("POST /Users/.search/x".to_owned(), Value::Null),
        ("PUT /Users/.search".to_owned(), Value::Null),
    ] {
        let refused = ask(request.clone(), Some(body)).await;
        assert_eq!(refused.status, 403, "{request}: {refused:?}");
        assert!(refused.text("/detail").starts_with("the token `audit` is read-only"), "{refused:?}");
        assert_eq!(refused.text("/schemas/0"), "urn:ietf:params:scim:api:messages:2.0:Error");
    }
    assert_eq!(place.ziflow.calls().iter().filter(|call| call.method != "GET").count(), written);
    bridge.read(&id).await.expect(200);
    let log = bridge.stop().await;
    let refused =
        log.iter().find(|line| line["status"] == 403 && line["operation"] == "create-user").unwrap();
    assert_eq!(refused["client"], "audit");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_takes_over_from_another_without_a_gap() {
    let old = |further: &str| format!("{{name: entra-2026, token: {TOKEN}{further}}}");
    let new = "{name: entra-2027, token: second-token}";
    let place = place(&format!("[{}]", old(""))).await;
    let bridge = place.bridge().await;
    list(&bridge, TOKEN).await.expect(200);
    list(&bridge, "second-token").await.expect(401);

    place.auth(&format!("tokens: [{}, {new}]", old("")));
    assert_eq!(reload(&bridge, 1).await, "tokens added: entra-2027");
    for token in [TOKEN, "second-token"] {
        list(&bridge, token).await.expect(200);
    }
    // Its end, its rights and the bound of the brake are taken over as well.
    place.auth(&format!("tokens: [{}, {new}]", old(", read_only: true")));
    assert_eq!(reload(&bridge, 2).await, "tokens changed: entra-2026");
    bridge.create(person("jo@example.com")).await.expect(403);
    place.auth(&format!("tokens: [{}, {new}]", old(&format!(", expires: '{}'", in_secs(5000)))));
    assert_eq!(reload(&bridge, 3).await, "tokens changed: entra-2026");
    assert_eq!(part(&bridge, 200).await["state"], "stale");
    bridge.create(person("jo@example.com")).await.expect(201);
    place.auth(&format!("tokens: [{}, {new}], max_failures_per_minute: 1", old(", expires: 2020-01-01")));
    assert_eq!(reload(&bridge, 4).await, "tokens changed: entra-2026; auth.max_failures_per_minute");
    list(&bridge, TOKEN).await.expect(429);
    list(&bridge, "second-token").await.expect(200);

    place.auth(&format!("tokens: [{new}]"));
    let changed = reload(&bridge, 5).await;
    assert_eq!(changed, "tokens removed: entra-2026; auth.max_failures_per_minute");
    list(&bridge, TOKEN).await.expect(401);
    list(&bridge, "second-token").await.expect(200);
    assert_eq!(part(&bridge, 200).await["state"], "ok");
    let log = bridge.stop().await;
    assert!(lines(&log, "changed settings need a restart").is_empty());
    assert_eq!(lines(&log, "token `entra-2026` expires at").len(), 1, "at the reload");
    assert!(!format!("{log:?}").contains("second-token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_of_tokens_that_end_and_of_those_that_may_not_write() {
    let place = place("[]").await;
    let told = |tokens: &str| {
        place.auth(&format!("tokens: [{tokens}]"));
        let (checked, code) = check(&place);
        let problem = |problem: &Value| {
            let text = |key: &str| problem[key].as_str().unwrap().to_owned();
            (text("severity"), text("key"), text("message"))
        };
        let problems: Vec<_> = checked["problems"].as_array().unwrap().iter().map(problem).collect();
        (problems, code)
    };
    let tomorrow = in_secs(30 * 60 * 60);
    let (good, soon, far) = (
        "{name: a, token: aa}",
        format!("{{name: b, token: bb, expires: '{tomorrow}'}}"),
        format!("{{name: c, token: cc, expires: '{}'}}", in_secs(31 * 24 * 60 * 60)),
    );
    let (over, reads) =
        ("{name: d, token: dd, expires: 2020-01-01}", "{name: e, token: ee, read_only: true}");
    let warning = |key: &str, message: &str| ("warning".to_owned(), key.to_owned(), message.to_owned());
    let is_soon = format!("token `b` expires at {tomorrow}, in 1 day");
    let is_over = "token `d` expired at 2020-01-01T23:59:59Z and is refused";
    let only_reads = "every valid token is read-only, so Entra can change nothing";
    assert_eq!(told(&format!("{good}, {far}")), (vec![], Some(0)));
    assert_eq!(told(&soon), (vec![warning("auth.tokens[0].expires", &is_soon)], Some(0)));
    assert_eq!(told(&format!("{good}, {over}")), (vec![warning("auth.tokens[1].expires", is_over)], Some(0)));
    assert_eq!(told(reads), (vec![warning("auth.tokens[0].read_only", only_reads)], Some(0)));
    assert_eq!(told(&format!("{good}, {reads}")), (vec![], Some(0)));
    let both =
        vec![warning("auth.tokens[0].expires", is_over), warning("auth.tokens[1].read_only", only_reads)];
    assert_eq!(told(&format!("{over}, {reads}")), (both, Some(0)));
    let (problems, code) = told(over);
    assert_eq!(code, Some(0));
    let message = format!("every token has expired, so nobody can speak to the bridge: {is_over}");
    assert_eq!(problems, vec![warning("auth.tokens", &message)]);
}

/// The heart of it: Entra and a guesser may sit behind the same address.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_is_served_in_the_middle_of_a_storm_of_wrong_ones() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUTH__MAX_FAILURES_PER_MINUTE", "5")]).await;
    let guess = |number: u32| {
        let bridge = &bridge;
        async move {
            let token = format!("guess-{number}");
            bridge
                .ask_as((!number.is_multiple_of(3)).then_some(&*token), "POST /Users", Some(json!({})))
                .await
        }
    };
    for number in 0..5 {
        guess(number).await.expect(401);
    }
    for number in 0..60 {
        let braked = guess(number).await.expect(429);
        let wait: u64 = braked.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=61).contains(&wait), "{braked:?}");
        assert!(braked.text("/detail").starts_with("too many wrong credentials"), "{braked:?}");
        if number % 10 == 0 {
            bridge.get("/Users").await.expect(200);
            bridge.create(person(&format!("jo{number}@example.com"))).await.expect(201);
        }
    }
    let failed =
        |status: &str| format!("ziflow_scim_bridge_failed_authentications_total{{status=\"{status}\"}}");
    assert_eq!(bridge.metric(&failed("401")).await, "5");
    assert_eq!(bridge.metric(&failed("429")).await, "60");
    let log = bridge.stop().await;
    let told = lines(&log, BRAKED);
    let [told] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!((told["source"].as_str(), told["most"].as_u64()), (Some("127.0.0.1"), Some(5)));
    // Nothing else of it is in the log, and no guess.
    assert!(!log.iter().any(|line| line["status"] == 429));
    assert!(!format!("{log:?}").contains("guess-"));
}

fn token_new(arguments: &[&str]) -> Output {
    command(&[&["token", "new"], arguments].concat(), &[]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_opens_by_its_digest_alone() {
    let output = token_new(&["--name", "entra: \"2027\"", "--expires", "2098-03-01", "--format", "json"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("zsb_") && token.len() < 100, "{token}");
    assert_eq!((&made["name"], &made["expires"]), (&json!("entra: \"2027\""), &json!("2098-03-01")));
    assert_eq!(made["sha256"].as_str().unwrap().len(), 64);

    // As text, and for somebody else; this one goes into the settings as it is printed.
    let text = String::from_utf8(token_new(&[]).stdout).unwrap();
    let second = text.lines().next().unwrap().to_owned();
    assert!(second.starts_with("zsb_") && second != token && text.matches(&second).count() == 1, "{text}");
    assert!(text.contains("Secret Token") && text.contains("this once"), "{text}");
    let entries = text.split("auth:\n  tokens:\n").nth(1).unwrap().split("Then").next().unwrap();

    let place = place("[]").await;
    let settings = std::fs::read_to_string(place.auth("")).unwrap();
    let both = format!("auth:\n  tokens:\n{entries}{}", made["entry"].as_str().unwrap());
    place.folder.file("bridge.yaml", &settings.replace("auth: {  }\n", &both));
    assert_eq!(check(&place), (json!({"usable": true, "problems": []}), Some(0)));
    let bridge = place.bridge().await;
    list(&bridge, token).await.expect(200);
    list(&bridge, &second).await.expect(200);
    list(&bridge, token.get(..75).unwrap()).await.expect(401);
    let detail = part(&bridge, 200).await["detail"].clone();
    assert_eq!(detail, "2 tokens; the first to expire is `entra: \"2027\"` at 2098-03-01T23:59:59Z");
    let metrics = "ziflow_scim_bridge_token_expiry_timestamp_seconds{name=\"entra: \\\"2027\\\"\"}";
    assert_eq!(bridge.metric(metrics).await, "4044556799");
    let log = format!("{:?}", bridge.stop().await);
    assert!(!log.contains("zsb_"), "{log}");
    assert!(log.contains("client"), "{log}");
}

#[test]
fn what_a_new_token_cannot_be_is_said() {
    for (arguments, told) in [
        (&["--expires", "2020-01-01"][..], "expired already"),
        (&["--expires", "soon"], "2027-03-01"),
        (&["--name", " "], "whose token it is"),
        (&["--name", "a\nb"], "whose token it is"),
    ] {
        let output = token_new(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(64) && said.contains(told), "{said}");
        assert!(output.stdout.is_empty());
    }
}

/// A token that was cut while it was copied, and one in a place whose content is shown.
#[test]
fn a_token_in_the_wrong_place_or_cut_is_told_and_not_shown() {
    let text = String::from_utf8(token_new(&[]).stdout).unwrap();
    let token = text.lines().next().unwrap();
    let cut = token.get(..70).unwrap();
    let check = |entry: &str| {
        let variables = [("BRIDGE_ZIFLOW__API_KEY", "k"), ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", "a@example.com")];
        let folder = Folder::new();
        folder.file("token", cut);
        folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
        let file = folder.file("bridge.yaml", &format!("auth:\n  tokens:\n    - {entry}\n"));
        let output = command(&["check", "--config", file.to_str().unwrap()], &variables).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    for (entry, told) in [
        ("{ name: a, token_file: token }".to_owned(), "not whole any more"),
        (format!("{{ name: a, token: {cut} }}"), "not whole any more"),
        (format!("{{ name: {token}, token: abc }}"), "names are written into the log"),
        (format!("{{ name: a, sha256: {token} }}"), "this is a token itself"),
    ] {
        let (said, code) = check(&entry);
        assert!(
            code == Some(78) && said.contains(told) && !said.contains(token.get(..20).unwrap()),
            "{said}"
        );
    }
    let (said, code) = check(&format!("{{ name: a, token: {token} }}"));
    assert!(code == Some(0) && said.contains("are fine"), "{said}");
}
