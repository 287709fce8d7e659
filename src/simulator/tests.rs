//! The simulator over real HTTP: its contract, and that each quirk and each fault makes the difference it promises.

use std::error::Error;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::*;

struct Rig {
    simulator: Simulator,
    client: reqwest::Client,
}

/// What a caller gets to see.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
    json: Value,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A simulator with the owner, and Jo who has something in every field that a PUT could take away.
async fn rig(quirks: &[(&str, &str)]) -> Rig {
    let quirks = quirks.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let simulator = started(Settings { quirks, ..Settings::default() }).await;
    simulator.add_person(json!({
        "email": "jo@example.com", "first_name": "Jo", "last_name": "Lee", "phone": "1", "group": ["A"],
    }));
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_millis(700))
        .build()
        .unwrap();
    Rig { simulator, client }
}

async fn started(settings: Settings) -> Simulator {
    start("127.0.0.1:0".parse().unwrap(), settings).await.unwrap()
}

impl Rig {
    fn id(&self, email: &str) -> String {
        let people = self.simulator.people();
        let person = people.iter().find(|person| person["email"] == email);
        person.unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn jo(&self) -> Value {
        let people = self.simulator.people();
        people.into_iter().find(|person| person["email"] == "jo@example.com").unwrap()
    }

    /// Plays `METHOD PATH [BODY]`; `{jo}` and `{owner}` stand for their ids, `!METHOD` comes with a wrong key.
    async fn play(&self, step: &str) -> reqwest::Result<Seen> {
        let mut parts = step.splitn(3, ' ');
        let method = parts.next().unwrap();
        let path = parts.next().unwrap();
        let mut path = path.to_owned();
        for (name, email) in [("{jo}", "jo@example.com"), ("{owner}", OWNER_EMAIL)] {
            if path.contains(name) {
                path = path.replace(name, &encoded(&self.id(email)));
            }
        }
        let base = if path.starts_with("/__") { "" } else { "/v1" };
        let url = format!("http://{}{base}{path}", self.simulator.address());
        let key = if method.starts_with('!') { "wrong" } else { self.simulator.key() };
        let method = method.trim_start_matches('!').parse().unwrap();
        let mut request = self.client.request(method, url).header("apikey", key);
        if let Some(body) = parts.next() {
            request = request.header("content-type", "application/json; charset=utf-8").body(body.to_owned());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Seen { status, headers, text, json })
    }

    async fn play_all(&self, steps: &[&str]) -> Seen {
        let mut seen = None;
        for step in steps {
            seen = Some(self.play(step).await.unwrap());
        }
        seen.unwrap()
    }
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

#[tokio::test]
async fn a_person_comes_changes_and_goes() {
    let rig = rig(&[]).await;
    let made = rig
        .play(r#"POST /users {"email":"Ann.Ode@Example.com","first_name":"Ann","password":"Passw0rd"}"#)
        .await
        .unwrap();
    let id = made.json["id"].as_str().unwrap();
    assert!(id.starts_with("auth0|") && id.len() == 30, "{id}");
    let expected = json!({
        "email": "ann.ode@example.com", "first_name": "Ann", "last_name": "", "company": "Simulated Agency",
        "phone": "", "language": "en", "roles": ["user"], "group": [], "active": true, "verified": false,
        "account_owner": false,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&made.json[name], value, "{name}");
    }
    assert_eq!(made.json["accounts"], rig.jo()["accounts"]);
    assert!(made.json.get("password").is_none());
    assert_eq!(rig.play("GET /users/ANN.ODE%40example.com").await.unwrap().json, made.json);

    let encoded = encoded(id);
    let changed = rig
        .play(&format!(r#"PUT /users/{encoded} {{"active":false,"proofing_defaults":{{"share":true}}}}"#))
        .await
        .unwrap();
    assert_eq!((&changed.json["active"], &changed.json["first_name"]), (&json!(false), &json!("Ann")));
    assert_eq!(changed.json["proofing_defaults"]["comment"], true);
    assert_eq!(rig.play(&format!("DELETE /users/{encoded}")).await.unwrap().status, 200);
    assert_eq!(rig.play(&format!("GET /users/{encoded}")).await.unwrap().status, 404);
    assert_eq!(rig.play("GET /contacts/ann.ode%40example.com").await.unwrap().status, 404);
}

#[tokio::test]
async fn pages_hold_everybody_once() {
    let rig = rig(&[]).await;
    for _ in 0..119 {
        rig.simulator.add_person(json!({}));
    }
    for (query, shown, has_more) in [
        ("", 50, true),
        ("?page=3", 21, false),
        ("?count=100&page=2", 21, false),
        ("?count=1&page=121", 1, false),
    ] {
        let seen = rig.play(&format!("GET /users{query}")).await.unwrap().json;
        assert_eq!(seen["users"].as_array().unwrap().len(), shown, "{query}");
        assert_eq!((&seen["count"], &seen["has_more"]), (&json!(shown), &json!(has_more)), "{query}");
    }
    for query in ["count=0", "count=101", "count=x", "page=0"] {
        assert_eq!(rig.play(&format!("GET /users?{query}")).await.unwrap().status, 400, "{query}");
    }
}

#[tokio::test]
async fn guests_are_contacts_and_no_users() {
    let rig = rig(&[]).await;
    let made = rig.play(r#"POST /guests {"email":"g@example.com","first_name":"G"}"#).await.unwrap();
    let id = encoded(made.json["id"].as_str().unwrap());
    let cases = [
        ("GET /users/{g}", 404),
        ("PUT /users/{g} {}", 404),
        ("DELETE /users/{g}", 404),
        ("GET /users/g@example.com", 404),
        ("GET /contacts/{g}", 200),
        ("GET /contacts/g%40example.com", 200),
        ("GET /guests", 405),
        (r#"PUT /guests/{g} {"phone":"2"}"#, 200),
        ("PUT /guests/{jo} {}", 404),
        ("DELETE /guests/{jo}", 404),
        (r#"POST /guests {"email":"jo@example.com"}"#, 409),
        (r#"POST /guests {"email":"g@example.com"}"#, 409),
        ("DELETE /users/{jo}?newOwner={g}", 400),
        ("DELETE /guests/{g}", 200),
        ("GET /contacts/{g}", 404),
    ];
    rig.simulator.add_person(json!({"email": "lite@example.com", "roles": ["lite_user"]}));
    rig.simulator.add_person(json!({"email": "former@example.com", "active": false}));
    let contacts = rig.play("GET /contacts").await.unwrap().json;
    let kinds: Vec<_> = contacts["contacts"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(kinds, ["user", "user", "guest", "lite_user", "guest"]);
    assert!(contacts["contacts"][1].get("api_key").is_none() && contacts["contacts"][1]["blocked"] == false);
    rig.simulator.set("put", "replace").unwrap();
    let replaced = rig.play(&format!(r#"PUT /guests/{id} {{"phone":"1"}}"#)).await.unwrap().json;
    assert_eq!((&replaced["first_name"], &replaced["roles"]), (&json!(""), &json!([])));
    for (step, status) in cases {
        assert_eq!(rig.play(&step.replace("{g}", &id)).await.unwrap().status, status, "{step}");
    }
}

#[tokio::test]
async fn what_the_contract_does_not_know_is_refused() {
    let cases = [
        (r#"POST /users {"email":"a@example.com","active":true}"#, 400),
        (r#"POST /users {"email":"a@example.com","verified":true}"#, 400),
        (r#"POST /users {"email":"a@example.com","verified":true,"password":"Passw0rd"}"#, 200),
        (r#"PUT /users/{jo} {"verified":true}"#, 400),
        (r#"PUT /users/{owner} {"verified":false}"#, 400),
        ("POST /users {", 400),
        ("POST /users", 415),
        ("PUT /users/jo@example.com {}", 404),
        ("PATCH /users/{jo} {}", 405),
        ("DELETE /users/jo@example.com", 404),
        ("DELETE /users/{jo}?newOwner={owner}", 200),
        ("DELETE /users/{jo}?newOwner={jo}", 400),
        ("DELETE /users/{jo}?newOwner=owner@ziflow.example", 400),
        ("DELETE /users/{jo}?newOwner=nobody", 400),
        ("GET /users/", 404),
        ("GET /groups", 404),
        ("!GET /users", 401),
        ("DELETE /users/{owner}?newOwner={jo}", 200),
    ];
    for (step, status) in cases {
        assert_eq!(rig(&[]).await.play(step).await.unwrap().status, status, "{step}");
    }
}

#[tokio::test]
async fn ids_have_to_be_encoded() {
    let rig = rig(&[("ids", "nasty")]).await;
    assert!(["|", "/", "?", "#", "%", " ", "+"].iter().all(|sign| rig.id("jo@example.com").contains(sign)));
    assert_eq!(rig.play("GET /users/{jo}").await.unwrap().json["email"], "jo@example.com");
    assert_eq!(rig.play("GET /users/n%7Ca/s").await.unwrap().status, 404);
    let log = rig.simulator.calls();
    assert_eq!((&*log[0].route, &*log[1].route), ("/users/{id}", "other"));
    assert_eq!(log[1].path, "/v1/users/n%7Ca/s");
}

#[tokio::test]
async fn the_heir_of_proofs_is_an_active_user() {
    let rig = rig(&[]).await;
    let heir = rig.simulator.add_person(json!({"email": "heir@example.com", "active": false}));
    let step = format!("DELETE /users/{{jo}}?newOwner={}", encoded(&heir));
    assert_eq!(rig.play(&step).await.unwrap().status, 400);
    rig.simulator.change_person(&heir, json!({"active": true}));
    assert_eq!(rig.play(&step).await.unwrap().status, 200);
}

/// Steps whose last answer looks one way by default and another way under the quirk.
struct Row {
    quirk: &'static str,
    value: &'static str,
    steps: &'static [&'static str],
    look: fn(&Seen) -> Value,
    by_default: Value,
    changed: Value,
}

#[rustfmt::skip] // a table, row by row
fn rows() -> Vec<Row> {
    let status: fn(&Seen) -> Value = |seen| seen.status.into();
    let text: fn(&Seen) -> Value = |seen| seen.text.clone().into();
    let retry_after: fn(&Seen) -> Value = |seen| seen.header("retry-after").into();
    let row = |quirk, value, steps, look, by_default, changed| Row {
        quirk,
        value,
        steps,
        look,
        by_default,
        changed,
    };
    let taken: &[&str] = &[r#"POST /users {"email":"JO@example.com"}"#];
    let nobody: &[&str] = &["GET /users/nobody"];
    let create: &[&str] = &[r#"POST /users {"email":"ann@example.com","first_name":"Ann"}"#];
    let no_seat: &[&str] = &[r#"POST /__set {"seats":2}"#, r#"POST /users {"email":"ann@example.com"}"#];
    let call_one_too_many: &[&str] = &[r#"POST /__set {"rate_limit":1}"#, "GET /users", "GET /users"];
    let list: &[&str] = &["GET /users"];
    let there_is_none = "there is no such person";
    vec![
        row("put", "replace", &[r#"PUT /users/{jo} {"phone":"2"}"#], |it| it.json["first_name"].clone(), json!("Jo"), json!("")),
        row("put", "replace", &[r#"PUT /users/{jo} {"active":false}"#, "PUT /users/{jo} {}"], |it| it.json["active"].clone(), json!(false), json!(true)),
        row("put", "replace", &[r#"PUT /users/{jo} {"phone":"2"}"#], |it| json!([it.json["email"], it.json["phone"]]), json!(["jo@example.com", "2"]), json!(["jo@example.com", "2"])),
        row("put_arrays", "add", &[r#"PUT /users/{jo} {"group":["B","A"]}"#], |it| it.json["group"].clone(), json!(["B", "A"]), json!(["A", "B"])),
        row("duplicate_status", "400", taken, status, json!(409), json!(400)),
        row("duplicate_status", "422", taken, status, json!(409), json!(422)),
        row("unknown_status", "400", nobody, status, json!(404), json!(400)),
        row("unknown_status", "200_empty", &["PUT /users/nobody {}"], |it| json!([it.status, it.text.len()]), json!([404, 37]), json!([200, 0])),
        row("bad_key_status", "403", &["!GET /users"], status, json!(401), json!(403)),
        row("error_body", "error_object", nobody, |it| it.json["error"]["message"].clone(), json!(null), json!(there_is_none)),
        row("error_body", "error_object", nobody, |it| it.json["error"]["code"].clone(), json!(null), json!(404)),
        row("error_body", "errors_list", nobody, |it| it.json["errors"][0]["message"].clone(), json!(null), json!(there_is_none)),
        row("error_body", "text", nobody, text, json!(format!("{{\"message\":\"{there_is_none}\"}}")), json!(there_is_none)),
        row("error_body", "html", nobody, |it| it.header("content-type").contains("html").into(), json!(false), json!(true)),
        row("error_body", "empty", nobody, |it| it.text.len().into(), json!(37), json!(0)),
        row("write_body", "empty", create, |it| it.text.is_empty().into(), json!(false), json!(true)),
        row("write_body", "id_only", create, |it| json!([it.json["id"].is_string(), it.json["email"]]), json!([true, "ann@example.com"]), json!([true, null])),
        row("create_status", "201", create, status, json!(200), json!(201)),
        row("update_status", "204", &["PUT /users/{jo} {}"], status, json!(200), json!(204)),
        row("delete_status", "202", &["DELETE /users/{jo}"], status, json!(200), json!(202)),
        row("delete_status", "204", &["DELETE /users/{jo}"], status, json!(200), json!(204)),
        row("has_more", "missing", list, |it| it.json.get("has_more").is_some().into(), json!(true), json!(false)),
        row("has_more", "always_true", list, |it| it.json["has_more"].clone(), json!(false), json!(true)),
        row("past_the_end", "404", &["GET /users?page=2"], status, json!(200), json!(404)),
        row("past_the_end", "404", &["GET /users?page=1"], status, json!(200), json!(200)),
        row("count_means", "asked", &["GET /users?count=7"], |it| it.json["count"].clone(), json!(2), json!(7)),
        row("ids", "uuid", &["GET /users/jo@example.com"], |it| it.json["id"].as_str().unwrap().len().into(), json!(30), json!(36)),
        row("ids", "nasty", &["GET /users/jo@example.com"], |it| it.json["id"].as_str().unwrap().contains('/').into(), json!(false), json!(true)),
        row("email_on_put", "refused", &[r#"PUT /users/{jo} {"email":"x@example.com"}"#], status, json!(200), json!(400)),
        row("unknown_fields", "ignored", &[r#"PUT /users/{jo} {"nickname":"J"}"#], status, json!(400), json!(200)),
        row("unknown_fields", "ignored", &[r#"POST /users {"email":"a@example.com","active":true}"#], status, json!(400), json!(400)),
        row("empty_fields", "null", &["GET /users/{owner}"], |it| it.json["phone"].clone(), json!(""), json!(null)),
        row("empty_fields", "left_out", &["GET /users/{owner}"], |it| it.json.get("group").is_some().into(), json!(true), json!(false)),
        row("inactive", "contacts_only", &[r#"PUT /users/{jo} {"active":false}"#, "GET /users/{jo}"], status, json!(200), json!(404)),
        row("inactive", "contacts_only", &[r#"PUT /users/{jo} {"active":false}"#, "GET /users"], |it| it.json["count"].clone(), json!(2), json!(1)),
        row("inactive", "contacts_only", &[r#"PUT /users/{jo} {"active":false}"#, "GET /contacts/{jo}"], |it| it.json["blocked"].clone(), json!(true), json!(true)),
        row("inactive", "contacts_only", &[r#"PUT /users/{jo} {"active":false}"#, r#"PUT /users/{jo} {"active":true}"#], status, json!(200), json!(200)),
        row("api_keys", "hidden", list, |it| it.json["users"][1]["api_key"].is_string().into(), json!(true), json!(false)),
        row("seats", "2", create, status, json!(200), json!(403)),
        row("seats", "2", &[r#"POST /users {"email":"ann@example.com","roles":["lite_user"]}"#], status, json!(200), json!(200)),
        row("seats", "1", &[r#"PUT /users/{jo} {"active":false}"#, r#"PUT /users/{jo} {"active":true}"#], status, json!(200), json!(403)),
        row("seats", "1", &["PUT /users/{jo} {}"], status, json!(200), json!(200)),
        row("seats", "3", &[r#"POST /__set {"churn":5}"#, "GET /users", r#"POST /users {"email":"ann@example.com"}"#], status, json!(200), json!(200)),
        row("seat_status", "400", no_seat, status, json!(403), json!(400)),
        row("seat_status", "402", no_seat, status, json!(403), json!(402)),
        row("seat_status", "409", no_seat, status, json!(403), json!(409)),
        row("seat_status", "422", no_seat, status, json!(403), json!(422)),
        row("texts", "trimmed", &[r#"PUT /users/{jo} {"phone":" +1 23 "}"#], |it| it.json["phone"].clone(), json!(" +1 23 "), json!("+123")),
        row("texts", "trimmed", &[r#"PUT /users/{jo} {"company":" A B "}"#], |it| it.json["company"].clone(), json!(" A B "), json!("A B")),
        row("group_strings", "known_only", &[r#"PUT /users/{jo} {"group":["B"]}"#], status, json!(200), json!(400)),
        row("group_strings", "known_only", &[r#"PUT /users/{owner} {"group":["A"]}"#], status, json!(200), json!(200)),
        row("group_strings", "ids", &[r#"PUT /users/{owner} {"group":["A"]}"#], status, json!(200), json!(400)),
        row("group_strings", "ids", &[r#"PUT /users/{owner} {"group":["grp-3","B"]}"#], |it| it.json["message"].clone(), json!(null), json!("group: there is no group `B`")),
        row("group_strings", "ids", &[r#"PUT /users/{owner} {"group":["grp-1","grp-2","grp-3"]}"#], status, json!(200), json!(200)),
        row("group_strings", "ids", &[r#"POST /users {"email":"ann@example.com","group":["grp-4"]}"#], status, json!(200), json!(400)),
        row("group_strings", "ids", &[r#"PUT /users/{jo} {"phone":"2"}"#], |it| it.json["group"].clone(), json!(["A"]), json!(["A"])),
        row("roles_case", "role_prefix", &["GET /users/{jo}"], |it| it.json["roles"].clone(), json!(["user"]), json!(["ROLE_USER"])),
        row("role_sets", "any", &[r#"PUT /users/{jo} {"roles":["lite_user","user"]}"#], status, json!(400), json!(200)),
        row("guest_on_create", "duplicate", &[r#"POST /guests {"email":"ann@example.com"}"#, r#"POST /users {"email":"ann@example.com"}"#, "GET /users/ann@example.com"], |it| it.json["roles"].clone(), json!(["user"]), json!(null)),
        row("guest_on_create", "duplicate", &[r#"POST /guests {"email":"ann@example.com"}"#, r#"POST /users {"email":"ann@example.com"}"#], status, json!(200), json!(409)),
        row("owner_is_key_user", "no", &[r#"PUT /users/{owner} {"active":false}"#, "GET /users"], status, json!(401), json!(200)),
        row("owner_is_key_user", "no", &[r#"PUT /users/{owner} {"roles":["user"]}"#, "GET /users"], status, json!(403), json!(200)),
        row("owner_writes", "refused", &["DELETE /users/{owner}"], status, json!(200), json!(403)),
        row("owner_writes", "refused", &["PUT /users/{owner} {}"], status, json!(200), json!(403)),
        row("consistency", "60000_ms", &[r#"PUT /users/{jo} {"phone":"2"}"#, "GET /users/{jo}"], |it| it.json["phone"].clone(), json!("2"), json!("1")),
        row("consistency", "60000_ms", &["DELETE /users/{jo}", "GET /users/jo@example.com"], status, json!(404), json!(200)),
        row("consistency", "60000_ms", &[r#"POST /users {"email":"ann@example.com"}"#, "GET /users/ann@example.com"], status, json!(200), json!(404)),
        row("rights", "403", list, status, json!(200), json!(403)),
        row("rights", "404", &["GET /users/{jo}"], status, json!(200), json!(404)),
        row("rights", "404", &["GET /contacts"], status, json!(200), json!(200)),
        row("churn", "3", &["GET /users", "GET /users"], |it| it.json["count"].clone(), json!(2), json!(5)),
        row("churn", "3", &["GET /users", "GET /users", "GET /users"], |it| it.json["count"].clone(), json!(2), json!(2)),
        row("rate_limit", "2", &["GET /users", "GET /users", "GET /users"], status, json!(200), json!(429)),
        row("retry_after", "date", call_one_too_many, |it| it.header("retry-after").ends_with(" GMT").into(), json!(false), json!(true)),
        row("retry_after", "none", call_one_too_many, retry_after, json!("1"), json!("")),
    ]
}

#[tokio::test]
async fn every_quirk_makes_its_difference() {
    for row in rows() {
        let by_default = rig(&[]).await.play_all(row.steps).await;
        assert_eq!(
            (row.look)(&by_default),
            row.by_default,
            "{} by default, after {:?}",
            row.quirk,
            row.steps
        );
        let changed = rig(&[(row.quirk, row.value)]).await.play_all(row.steps).await;
        assert_eq!((row.look)(&changed), row.changed, "{}={}, after {:?}", row.quirk, row.value, row.steps);
    }
}

#[test]
fn every_value_of_every_quirk_has_a_row_that_differs() {
    let tried = |name: &str, value: &str| {
        let fits = |row: &Row| {
            row.value == value || (value.contains('N') && row.value.starts_with(char::is_numeric))
        };
        rows().iter().any(|row| row.quirk == name && fits(row) && row.by_default != row.changed)
    };
    for quirk in quirks().iter().filter(|quirk| quirk.name != "order") {
        for value in &quirk.values[1..] {
            assert!(tried(quirk.name, value), "{}={value}", quirk.name);
        }
    }
}

#[tokio::test]
async fn a_shuffled_list_keeps_its_order() {
    let rig = rig(&[]).await;
    (0..20).for_each(|_| drop(rig.simulator.add_person(json!({}))));
    let created = rig.play("GET /users").await.unwrap().json;
    rig.simulator.set("order", "shuffled").unwrap();
    let first = rig.play("GET /users").await.unwrap().json;
    let again = rig.play("GET /users").await.unwrap().json;
    let emails = |page: &Value| -> Vec<String> {
        page["users"].as_array().unwrap().iter().map(|user| user["email"].to_string()).collect()
    };
    let sorted = |page: &Value| {
        let mut emails = emails(page);
        emails.sort();
        emails
    };
    assert_ne!(emails(&created), emails(&first));
    assert_eq!(emails(&first), emails(&again));
    assert_eq!(sorted(&created), sorted(&first));
}

#[tokio::test]
async fn churn_makes_a_walk_meet_people_twice_and_miss_some() {
    let rig = rig(&[("churn", "10")]).await;
    (0..118).for_each(|_| drop(rig.simulator.add_person(json!({}))));
    let mut seen = Vec::new();
    for page in 1..=6 {
        let page = rig.play(&format!("GET /users?count=20&page={page}")).await.unwrap().json;
        seen.extend(page["users"].as_array().unwrap().iter().map(|user| user["email"].to_string()));
    }
    let walked = seen.len();
    seen.sort();
    seen.dedup();
    assert!(seen.len() < walked, "nobody was met twice");
    assert!(rig.simulator.people().iter().any(|person| !seen.contains(&person["email"].to_string())));
}

/// How a call ended: a status, or the way in which none came.
async fn ending(rig: &Rig, step: &str) -> String {
    match rig.play(step).await {
        Ok(seen) => seen.status.to_string(),
        Err(error) if error.is_timeout() => "timeout".into(),
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(&error);
            while let Some(error) = cause {
                if let Some(error) = error.downcast_ref::<io::Error>() {
                    return format!("{:?}", error.kind());
                }
                cause = error.source();
            }
            "closed".into()
        }
    }
}

#[tokio::test]
async fn every_fault_ends_the_call_it_meets() {
    let put = r#"PUT /users/{jo} {"phone":"2"}"#;
    let cases = [
        (json!({"fault": "status", "code": 503}), "503", false),
        (json!({"fault": "apply_then_status", "code": 504}), "504", true),
        (json!({"fault": "hang"}), "timeout", false),
        (json!({"fault": "hang", "seconds": 0.1}), "closed", false),
        (json!({"fault": "apply_then_hang"}), "timeout", true),
        (json!({"fault": "apply_then_hang", "seconds": 0.1}), "closed", true),
        (json!({"fault": "reset"}), "ConnectionReset", false),
        (json!({"fault": "apply_then_drop"}), "closed", true),
        (json!({"fault": "truncate"}), "UnexpectedEof", true),
        (json!({"fault": "html_200"}), "200", false),
        (json!({"fault": "wrong_types"}), "200", true),
        (json!({"fault": "huge", "mib": 1}), "200", true),
        (json!({"fault": "slow", "ms": 100}), "200", true),
        (json!({"fault": "redirect", "to": "http://127.0.0.1:1/"}), "302", false),
    ];
    for (fault, end, applied) in cases {
        let rig = rig(&[]).await;
        let accepted = rig.play(&format!("POST /__faults {fault}")).await.unwrap();
        assert_eq!(accepted.status, 200, "{fault}: {}", accepted.text);
        assert_eq!(ending(&rig, put).await, end, "{fault}");
        assert_eq!(rig.jo()["phone"], if applied { "2" } else { "1" }, "{fault}");
        let answered = !["timeout", "closed", "ConnectionReset"].contains(&end);
        assert_eq!(rig.simulator.calls()[0].status.is_some(), answered, "{fault}");
        assert_eq!(ending(&rig, put).await, "200", "after {fault}");
    }
}

#[tokio::test]
async fn what_a_fault_answers_is_what_it_says() {
    let rig = rig(&[]).await;
    let unavailable = reqwest::StatusCode::SERVICE_UNAVAILABLE;
    let get = "GET /users/{jo}";
    let body = |fault| {
        rig.simulator.inject(fault);
        rig.play(get)
    };
    let seen = body(Fault::status(unavailable).retry_after(RetryAfter::Seconds(7))).await.unwrap();
    assert_eq!((seen.header("retry-after"), &seen.json["message"]), ("7", &json!("simulated fault")));
    let seen = body(Fault::status(unavailable).retry_after(RetryAfter::Date(60))).await.unwrap();
    let date = httpdate::parse_http_date(seen.header("retry-after")).unwrap();
    assert!((50..=60).contains(&date.duration_since(std::time::SystemTime::now()).unwrap().as_secs()));
    let seen = body(Fault::status_with(unavailable, Shape::Html)).await.unwrap();
    assert!(seen.text.contains("<h1>503"));
    let seen = body(Fault::status_with(unavailable, Shape::Empty)).await.unwrap();
    assert_eq!(seen.text, "");
    let seen = body(Fault::html_200()).await.unwrap();
    assert_eq!((seen.status, seen.header("content-type")), (200, "text/html; charset=utf-8"));
    let seen = body(Fault::wrong_types()).await.unwrap();
    assert!(seen.json["email"].is_number() && seen.json["active"].is_string());
    let seen = body(Fault::huge(2)).await.unwrap();
    assert!(seen.text.len() > 2 * 1024 * 1024 && seen.json["email"] == "jo@example.com");
    let seen = body(Fault::redirect("http://127.0.0.1:1/x")).await.unwrap();
    assert_eq!(seen.header("location"), "http://127.0.0.1:1/x");
    let before = Instant::now();
    body(Fault::slow(Duration::from_millis(150))).await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(150));
    rig.simulator.inject(Fault::reset().forever());
    rig.simulator.clear_faults();
    assert_eq!(rig.play(get).await.unwrap().status, 200);
}

#[tokio::test]
async fn of_an_empty_answer_no_half_arrives() {
    let rig = rig(&[]).await;
    rig.simulator.inject(Fault::truncate());
    assert_eq!(ending(&rig, "DELETE /users/{jo}").await, "closed");
    assert_eq!(rig.simulator.people().len(), 1);
}

#[tokio::test]
async fn calls_are_written_down_as_they_came() {
    let rig = rig(&[]).await;
    rig.play("GET /users/{jo}?x=%20y").await.unwrap();
    rig.play(r#"POST /users {"email":"a@example.com","verified":true,"password":"Passw0rd"}"#).await.unwrap();
    rig.play("!GET /users/nobody").await.unwrap();
    let seen = rig.play("GET /__calls").await.unwrap().json;
    assert_eq!((&seen["total"], &seen["peak_per_second"]), (&json!(3), &json!(3)));
    assert_eq!(seen["by"], json!({"GET /users/{id}": 2, "POST /users": 1}));
    let log = rig.simulator.calls_since(1);
    assert_eq!((log[0].n, log[0].status, &log[0].body["password"]), (2, Some(200), &json!("***")));
    assert_eq!((log[1].status, &log[1].body), (Some(401), &json!(null)));
    let first = &seen["log"][0];
    assert_eq!((&first["query"], &first["method"]), (&json!("x=%20y"), &json!("GET")));
    assert!(first["path"].as_str().unwrap().starts_with("/v1/users/auth0%7C"), "{first}");
    rig.play("DELETE /__calls").await.unwrap();
    assert_eq!((rig.simulator.total_calls(), rig.simulator.peak_per_second()), (0, 0));
}

#[tokio::test]
async fn a_throttled_client_is_served_again() {
    let rig = rig(&[("rate_limit", "3")]).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(rig.play("GET /users").await.unwrap().status);
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    statuses.push(rig.play("GET /users").await.unwrap().status);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        statuses.push(rig.play("GET /users").await.unwrap().status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 200, 200, 200]);
    assert_eq!(rig.simulator.peak_per_second(), 5);
}

#[tokio::test]
async fn people_can_be_changed_by_hand() {
    let rig = rig(&[]).await;
    let seen = rig
        .play(r#"POST /__people {"email":"ann@example.com","active":false,"account_owner":true,"roles":["admin"]}"#)
        .await
        .unwrap();
    assert_eq!((&seen.json["active"], &seen.json["guest"]), (&json!(false), &json!(false)));
    let seen = rig.play(r#"PATCH /__people/{jo} {"phone":"9","guest":true}"#).await.unwrap();
    assert_eq!((&seen.json["phone"], &seen.json["guest"]), (&json!("9"), &json!(true)));
    assert_eq!(rig.play("GET /__people").await.unwrap().json, json!(rig.simulator.people()));
    assert_eq!(rig.play("DELETE /__people/{jo}").await.unwrap().status, 200);
    assert_eq!(rig.simulator.people().len(), 2);
    for step in [
        "DELETE /__people/nobody",
        "PATCH /__people/nobody {}",
        "POST /__people",
        "POST /__key {}",
        "GET /__nothing",
        r#"POST /__set {"put":"replace","seats":"some"}"#,
        r#"POST /__faults {"fault":"rest"}"#,
    ] {
        let seen = rig.play(step).await.unwrap();
        assert_eq!((seen.status, seen.json["error"].is_string()), (400, true), "{step}");
    }
    rig.simulator.add_person(json!({"email": "jo@example.com", "first_name": "Jo"}));
    let seen = rig.play(r#"PUT /users/{jo} {"phone":"2"}"#).await.unwrap();
    assert_eq!(seen.json["first_name"], "Jo", "a refused list of quirks has changed one");
    assert_eq!(rig.play(r#"POST /__key "another-key""#).await.unwrap().status, 200);
    assert_eq!(rig.play("GET /users").await.unwrap().status, 401, "it comes with the old key");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let quirk = |name: &str, value: &str| Settings {
        quirks: vec![(name.into(), value.into())],
        ..Settings::default()
    };
    let cases = [
        ("0.0.0.0:0", Settings::default(), "0.0.0.0:0 is not a loopback address"),
        ("192.0.2.1:0", Settings::default(), "192.0.2.1:0 is not a loopback address"),
        ("127.0.0.1:0", quirk("order", "random"), "unknown value of order `random`"),
        ("127.0.0.1:0", quirk("ordre", "created"), "unknown quirk `ordre`; did you mean `order`?"),
    ];
    for (listen, settings, message) in cases {
        let error = start(listen.parse().unwrap(), settings).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

#[tokio::test]
async fn a_pulled_plug_cuts_what_is_under_way_and_people_survive_it() {
    let Rig { simulator, client } = rig(&[]).await;
    assert!(simulator.remove_person(simulator.people()[0]["id"].as_str().unwrap()), "the owner stays");
    let (address, people, state) = (simulator.address(), simulator.people(), simulator.state());
    simulator.inject(Fault::hang());
    let waiting = tokio::spawn(client.get(format!("{}/users", simulator.base_url())).send());
    while simulator.total_calls() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(simulator);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(!error.is_timeout(), "{error}");
    assert!(client.get(format!("http://{address}/__people")).send().await.is_err());

    let simulator = start(address, Settings { state: Some(state), ..Settings::default() }).await.unwrap();
    assert_eq!(simulator.people(), people);
    drop(simulator);
    start(address, Settings::default()).await.unwrap().stop().await;
    assert!(tokio::net::TcpListener::bind(address).await.is_ok());
}

#[tokio::test]
async fn a_seed_says_which_account_it_is() {
    let account = |simulator: &Simulator| simulator.people()[0]["accounts"][0]["id"].clone();
    let one = started(Settings::default()).await;
    let same = started(Settings::default()).await;
    let other = started(Settings { seed: 2, ..Settings::default() }).await;
    assert_eq!(account(&one), account(&same));
    assert_ne!(account(&one), account(&other));
}

#[tokio::test]
async fn the_keys_own_user_exists_where_it_is_not_the_owner() {
    let emails = |simulator: &Simulator| -> Vec<Value> {
        simulator.people().iter().map(|person| person["email"].clone()).collect()
    };
    let simulator = started(Settings::default()).await;
    assert_eq!(emails(&simulator), [OWNER_EMAIL]);
    simulator.set("owner_is_key_user", "no").unwrap();
    let id = simulator.people()[1]["id"].as_str().unwrap().to_owned();
    simulator.change_person(&id, json!({"roles": ["user"]}));
    simulator.set("owner_is_key_user", "no").unwrap();
    assert_eq!(simulator.people()[1]["roles"], json!(["user"]), "was made anew");
    assert_eq!(emails(&simulator), [OWNER_EMAIL, KEY_USER_EMAIL]);
}
