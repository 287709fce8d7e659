//! What the claims of a token must say (RFC 7519 section 4.1), each of them exactly, and which one does not.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Two clocks may differ by so much. Entra's tokens are good for an hour, so a minute more gives away nothing, and a
/// clock that is off by more is one that `doctor` tells about.
const LEEWAY_SECS: i64 = 60;

/// So much of what a claim says is repeated.
const SHOWN_CHARS: usize = 100;

/// Claims that must be there, each with the one text that it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected(Vec<(&'static str, String)>);

/// A claim that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    claim: &'static str,
    /// What it is, against what it must be. Anybody can write a token, so this is told only of one that is signed.
    difference: String,
}

impl Expected {
    pub(super) fn and(mut self, claim: &'static str, text: &str) -> Self {
        self.0.push((claim, text.to_owned()));
        self
    }

    /// The first claim that is wrong at this moment.
    pub(super) fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Wrong> {
        for (claim, expected) in &self.0 {
            match claims.get(*claim) {
                // An audience that is a list of several is for others as well, and nothing that Entra makes.
                Some(Value::String(found)) if found == expected => {}
                found => return Err(Wrong::text(claim, found, expected)),
            }
        }
        times(claims, now.as_second())
    }
}

/// Times are whole seconds since 1970; without an end a token would be good for ever.
fn times(claims: &Map<String, Value>, now: i64) -> Result<(), Wrong> {
    let time = |claim| match claims.get(claim) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(time) => Ok(Some(time)),
            None => Err(Wrong::new(claim, "it is no whole number of seconds".to_owned())),
        },
    };
    let (end, begin) = (time("exp")?, time("nbf")?);
    match (end, begin) {
        (None, _) => Err(Wrong::new("exp", "it is missing".to_owned())),
        (Some(end), _) if now >= end.saturating_add(LEEWAY_SECS) => {
            Err(Wrong::new("exp", format!("the token ended {} seconds ago", now.saturating_sub(end))))
        }
        (_, Some(begin)) if now < begin.saturating_sub(LEEWAY_SECS) => {
            let early = begin.saturating_sub(now);
            let hint = "is this machine's clock right?";
            Err(Wrong::new("nbf", format!("the token begins in {early} seconds; {hint}")))
        }
        _ => Ok(()),
    }
}

impl Wrong {
    fn new(claim: &'static str, difference: String) -> Self {
        Self { claim, difference }
    }

    fn text(claim: &'static str, found: Option<&Value>, expected: &str) -> Self {
        let found = match found {
            None => "it is missing".to_owned(),
            Some(Value::String(text)) => format!("it is `{}`", shown(text)),
            Some(_) => "it is no text".to_owned(),
        };
        Self::new(claim, format!("{found}, and `{expected}` is expected"))
    }

    /// What is told about a token that is signed.
    pub(super) fn in_full(&self) -> String {
        format!("its claim `{}` is wrong: {}", self.claim, self.difference)
    }

    /// And about one of which nobody knows who wrote it.
    pub(super) fn in_short(&self) -> String {
        format!("its claim `{}` is wrong", self.claim)
    }
}

/// Names of applications and tenants; whatever else stands there is nobody's business.
fn shown(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-._~:/".contains(*c);
    if text.chars().all(|c| is_plain(&c)) {
        text.chars().take(SHOWN_CHARS).collect()
    } else {
        "…".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_claim_is_exactly_what_it_must_be() {
        let expected = Expected::default().and("iss", "https://sts.example/t/").and("aud", "app");
        let told = |change: Value| {
            let mut claims = json!({"iss": "https://sts.example/t/", "aud": "app", "exp": 1000, "nbf": 500});
            for (name, value) in change.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let mut claims = claims.as_object().unwrap().clone();
            claims.retain(|_, value| !value.is_null());
            expected.check(&claims, Timestamp::from_second(900).unwrap()).err().map(|wrong| wrong.in_full())
        };
        assert_eq!(told(json!({})), None);
        assert_eq!(told(json!({"nbf": null, "iat": 1, "more": [1]})), None);
        assert_eq!(told(json!({"exp": 841})), None);
        assert_eq!(told(json!({"nbf": 960})), None);
        let is = |difference: &str| Some(format!("its claim {difference}"));
        for (change, fault) in [
            (json!({"aud": null}), "`aud` is wrong: it is missing, and `app` is expected"),
            (json!({"aud": "api://app"}), "`aud` is wrong: it is `api://app`, and `app` is expected"),
            (json!({"aud": "App"}), "`aud` is wrong: it is `App`, and `app` is expected"),
            (json!({"aud": ["app"]}), "`aud` is wrong: it is no text, and `app` is expected"),
            (json!({"aud": "jo@example.com"}), "`aud` is wrong: it is `…`, and `app` is expected"),
            (
                json!({"iss": "https://sts.example/t"}),
                "`iss` is wrong: it is `https://sts.example/t`, and `https://sts.example/t/` is expected",
            ),
            (json!({"iss": 7}), "`iss` is wrong: it is no text, and `https://sts.example/t/` is expected"),
            (json!({"exp": null}), "`exp` is wrong: it is missing"),
            (json!({"exp": "1000"}), "`exp` is wrong: it is no whole number of seconds"),
            (json!({"exp": 1000.5}), "`exp` is wrong: it is no whole number of seconds"),
            (json!({"exp": 1e300}), "`exp` is wrong: it is no whole number of seconds"),
            (json!({"exp": 840}), "`exp` is wrong: the token ended 60 seconds ago"),
            (json!({"exp": -1}), "`exp` is wrong: the token ended 901 seconds ago"),
            (json!({"nbf": "500"}), "`nbf` is wrong: it is no whole number of seconds"),
            (
                json!({"nbf": 961}),
                "`nbf` is wrong: the token begins in 61 seconds; is this machine's clock right?",
            ),
        ] {
            assert_eq!(told(change.clone()), is(fault), "{change}");
        }
        let wrong = expected.check(&Map::new(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(wrong.in_short(), "its claim `iss` is wrong");
    }
}
