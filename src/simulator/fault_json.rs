//! The JSON form of a fault, for `POST /__faults`. What no fault says is refused: a misspelt key would otherwise
//! leave a test waiting for something that never happens.

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use super::answer::RetryAfter;
use super::faults::{Fault, Shape};
use super::quirks::unknown;
use super::route::Route;

impl Fault {
    /// Reads the JSON form:
    /// `{"fault": "status", "code": 503, "method": "POST", "route": "/users", "times": 2, "skip": 1, "percent": 50}`.
    /// `times` may be `"forever"`; `method` and `route` may be `"any"`; `retry_after` or `retry_after_date` is a
    /// number of seconds. The other keys belong to their fault: `code` and `body` (`json`, `html`, `empty`),
    /// `seconds` (hang), `ms` (slow), `mib` (huge), `to` (redirect).
    pub fn from_json(json: &Value) -> Result<Self, String> {
        let mut keys = Keys(json.as_object().ok_or("a fault is a JSON object")?.clone());
        let mut fault = kind(&mut keys)?.skip(keys.number("skip")?.unwrap_or(0)).percent(keys.percent()?);
        fault = match keys.times()? {
            Some(times) => fault.times(times),
            None => fault.forever(),
        };
        if let Some(method) = keys.word("method")?.filter(|word| word != "any") {
            fault = fault.method(known_method(&method)?);
        }
        if let Some(route) = keys.word("route")?.filter(|word| word != "any") {
            fault = fault.route(known_route(&route)?);
        }
        if let Some(wait) = keys.retry_after()? {
            fault = fault.retry_after(wait);
        }
        keys.none_left()?;
        Ok(fault)
    }
}

const NAMES: &[&str] = &[
    "status",
    "apply_then_status",
    "hang",
    "apply_then_hang",
    "reset",
    "apply_then_drop",
    "truncate",
    "html_200",
    "wrong_types",
    "huge",
    "slow",
    "redirect",
];

/// A gigabyte of blanks annoys every client enough.
const MOST_MIB: usize = 1024;

fn kind(keys: &mut Keys) -> Result<Fault, String> {
    let name =
        keys.word("fault")?.ok_or_else(|| format!("fault is missing (there are: {})", NAMES.join(", ")))?;
    let fault = match name.as_str() {
        "status" => Fault::status_with(keys.code()?, keys.shape()?),
        "apply_then_status" => Fault::apply_then_status(keys.code()?),
        "hang" => keys.seconds()?.map_or_else(Fault::hang, Fault::hang_for),
        "apply_then_hang" => keys.seconds()?.map_or_else(Fault::apply_then_hang, Fault::apply_then_hang_for),
        "reset" => Fault::reset(),
        "apply_then_drop" => Fault::apply_then_drop(),
        "truncate" => Fault::truncate(),
        "html_200" => Fault::html_200(),
        "wrong_types" => Fault::wrong_types(),
        "huge" => Fault::huge(keys.mib()?),
        "slow" => Fault::slow(Duration::from_millis(keys.number("ms")?.ok_or("ms is missing")?)),
        "redirect" => Fault::redirect(keys.address()?),
        other => return Err(unknown("fault", other, NAMES)),
    };
    Ok(fault)
}

fn known_method(word: &str) -> Result<Method, String> {
    const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "any"];
    let method = word.parse().ok().filter(|_| METHODS.contains(&word));
    method.ok_or_else(|| unknown("method", word, METHODS))
}

fn known_route(word: &str) -> Result<Route, String> {
    let known: Vec<&str> = Route::ALL.iter().map(|route| route.pattern()).chain(["any"]).collect();
    Route::from_pattern(word).ok_or_else(|| unknown("route", word, &known))
}

/// The keys of a fault that nobody has read yet; one that is left in the end is a mistake.
struct Keys(Map<String, Value>);

impl Keys {
    fn word(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.shift_remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{name} has to be a text, not {other}")),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        match self.0.shift_remove(name) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| format!("{name} has to be a whole number, not {value}")),
        }
    }

    fn percent(&mut self) -> Result<u64, String> {
        let percent = self.number("percent")?.unwrap_or(100);
        if percent > 100 { Err("percent goes up to 100".into()) } else { Ok(percent) }
    }

    /// Parts of a second are fine.
    fn seconds(&mut self) -> Result<Option<Duration>, String> {
        let Some(value) = self.0.shift_remove("seconds") else { return Ok(None) };
        let time = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.map(Some).ok_or_else(|| format!("seconds has to be a number, not {value}"))
    }

    fn address(&mut self) -> Result<String, String> {
        let to = self.word("to")?.filter(|to| HeaderValue::from_str(to).is_ok());
        to.ok_or_else(|| "to has to be the address to redirect to".into())
    }

    fn times(&mut self) -> Result<Option<u64>, String> {
        if self.0.get("times").is_some_and(|value| value == "forever") {
            self.0.shift_remove("times");
            return Ok(None);
        }
        Ok(Some(self.number("times")?.unwrap_or(1)))
    }

    fn code(&mut self) -> Result<StatusCode, String> {
        let code = self.number("code")?.and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
        code.filter(|code| code.as_u16() >= 200)
            .ok_or_else(|| "code has to be a status from 200 to 999".into())
    }

    fn shape(&mut self) -> Result<Shape, String> {
        match self.word("body")?.as_deref() {
            None | Some("json") => Ok(Shape::Json),
            Some("html") => Ok(Shape::Html),
            Some("empty") => Ok(Shape::Empty),
            Some(other) => Err(unknown("body", other, &["json", "html", "empty"])),
        }
    }

    fn mib(&mut self) -> Result<usize, String> {
        let mib = self.number("mib")?.and_then(|mib| usize::try_from(mib).ok());
        mib.filter(|mib| *mib <= MOST_MIB).ok_or_else(|| format!("mib has to be a number up to {MOST_MIB}"))
    }

    fn retry_after(&mut self) -> Result<Option<RetryAfter>, String> {
        let seconds = self.number("retry_after")?.map(RetryAfter::Seconds);
        let date = self.number("retry_after_date")?.map(RetryAfter::Date);
        Ok(seconds.or(date))
    }

    fn none_left(&self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("`{key}` does not belong to this fault")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_says_what_the_builder_says() {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let cases = [
            (json!({"fault": "status", "code": 503}), Fault::status(unavailable)),
            (
                json!({"fault": "status", "code": 503, "body": "html", "method": "POST", "route": "users",
                       "times": 2, "skip": 1, "percent": 50, "retry_after": 7}),
                Fault::status_with(unavailable, Shape::Html)
                    .method(Method::POST)
                    .route(Route::Users)
                    .times(2)
                    .skip(1)
                    .percent(50)
                    .retry_after(RetryAfter::Seconds(7)),
            ),
            (
                json!({"fault": "apply_then_status", "code": 503, "retry_after_date": 7}),
                Fault::apply_then_status(unavailable).retry_after(RetryAfter::Date(7)),
            ),
            (json!({"fault": "hang", "method": "any", "route": "any"}), Fault::hang()),
            (json!({"fault": "hang", "seconds": 0.5}), Fault::hang_for(Duration::from_millis(500))),
            (json!({"fault": "apply_then_hang"}), Fault::apply_then_hang()),
            (
                json!({"fault": "apply_then_hang", "seconds": 2}),
                Fault::apply_then_hang_for(Duration::from_secs(2)),
            ),
            (json!({"fault": "reset", "times": "forever"}), Fault::reset().forever()),
            (json!({"fault": "apply_then_drop"}), Fault::apply_then_drop()),
            (json!({"fault": "truncate"}), Fault::truncate()),
            (json!({"fault": "html_200"}), Fault::html_200()),
            (json!({"fault": "wrong_types"}), Fault::wrong_types()),
            (json!({"fault": "huge", "mib": 3}), Fault::huge(3)),
            (json!({"fault": "slow", "ms": 30}), Fault::slow(Duration::from_millis(30))),
            (json!({"fault": "redirect", "to": "http://x/"}), Fault::redirect("http://x/")),
        ];
        for name in NAMES {
            assert!(cases.iter().any(|(json, _)| json["fault"] == **name), "{name} is not tried");
        }
        for (json, fault) in cases {
            assert_eq!(Fault::from_json(&json), Ok(fault), "{json}");
        }
    }

    #[test]
    fn what_no_fault_says_is_refused() {
        let cases = [
            (json!([]), "a fault is a JSON object"),
            (json!({}), "fault is missing (there are: status, "),
            (json!({"fault": "rest"}), "unknown fault `rest`; did you mean `reset`?"),
            (json!({"fault": "reset", "mib": 1}), "`mib` does not belong to this fault"),
            (json!({"fault": "reset", "route": "/user"}), "unknown route `/user`; did you mean `/users`?"),
            (json!({"fault": "reset", "method": "get"}), "unknown method `get`"),
            (json!({"fault": "reset", "times": "often"}), "times has to be a whole number, not \"often\""),
            (json!({"fault": "status", "code": 100}), "code has to be a status from 200 to 999"),
            (json!({"fault": "status", "code": 500, "body": "xml"}), "unknown body `xml`"),
            (json!({"fault": "huge", "mib": 4096}), "mib has to be a number up to 1024"),
            (json!({"fault": "slow"}), "ms is missing"),
            (json!({"fault": "redirect"}), "to has to be the address"),
            (json!({"fault": "redirect", "to": "http://x/\n"}), "to has to be the address"),
            (json!({"fault": "hang", "seconds": -1}), "seconds has to be a number, not -1"),
            (json!({"fault": "hang", "percent": 101}), "percent goes up to 100"),
        ];
        for (json, message) in cases {
            let said = Fault::from_json(&json).unwrap_err();
            assert!(said.starts_with(message), "{said}");
        }
    }
}
