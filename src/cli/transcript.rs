//! Conversations between Entra and the bridge as data: what is asked, what must be answered, and which Ziflow
//! calls it must become. The demo plays one; the tests play all.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::entra::Entra;
use crate::config::MAPPING_YAML;
use crate::simulator::{Call, Simulator};

/// A conversation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    pub title: String,
    /// Settings of the bridge it needs, by key.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// What the mapping declares of groups, beside the shipped mapping.
    #[serde(default)]
    pub groups: Option<Value>,
    /// People who are in Ziflow before it begins.
    #[serde(default)]
    pub people: Vec<Value>,
    pub steps: Vec<Step>,
}

/// One request and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub title: String,
    /// What happens on Ziflow's side before: `POST /__faults` and the like, with its body.
    #[serde(default)]
    pub simulator: Vec<(String, Value)>,
    /// Method and target below the base path; `${name}` stands for what an earlier step kept.
    pub request: String,
    #[serde(default)]
    pub body: Option<Value>,
    pub status: u16,
    /// What the answer must hold: members not named may be anything, null means absent.
    #[serde(default)]
    pub answer: Option<Value>,
    /// The calls it must become, as `METHOD /route`, those included that follow the answer because of what groups
    /// grant; not looked at when missing.
    #[serde(default)]
    pub ziflow: Option<Vec<String>>,
    /// What people must have in Ziflow then, by their address.
    #[serde(default)]
    pub in_ziflow: BTreeMap<String, Value>,
    /// What to keep of the answer: name to JSON pointer.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub request: String,
    pub sent: Option<Value>,
    pub status: u16,
    pub answer: Value,
    pub calls: Vec<Call>,
    /// What differs from the step's expectation; none when all is well.
    pub problems: Vec<String>,
}

/// Somebody who speaks as Entra does.
#[derive(Debug)]
pub struct Player<'a> {
    entra: Entra,
    base: String,
    simulator: &'a Simulator,
    kept: BTreeMap<String, String>,
}

/// What a step says in place of a text that must be there and not be empty.
const ANY_TEXT: &str = "*";

impl Transcript {
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The mapping it is played with. JSON is YAML as well.
    pub fn mapping(&self) -> String {
        match &self.groups {
            Some(groups) => format!("{MAPPING_YAML}\ngroups: {groups}\n"),
            None => MAPPING_YAML.to_owned(),
        }
    }
}

impl<'a> Player<'a> {
    /// `base` is the Tenant URL, `token` the Secret Token.
    pub fn new(base: &str, token: &str, simulator: &'a Simulator) -> Result<Self, String> {
        let entra = Entra::new(token)?;
        Ok(Self { entra, base: base.trim_end_matches('/').to_owned(), simulator, kept: BTreeMap::new() })
    }

    /// Asks, waits until what follows the answer has happened, which `settled` tells, and compares. An error means that
    /// there was no answer at all.
    pub async fn play(&mut self, step: &Step, settled: impl AsyncFnOnce()) -> Result<Outcome, String> {
        for (request, body) in &step.simulator {
            let (_, answer) = self.ask(&self.origin(), request, Some(body)).await?;
            drop(answer);
        }
        let before = self.simulator.total_calls();
        let request = self.filled(&step.request);
        let sent = step.body.as_ref().map(|body| self.filled_in(body));
        let (status, answer) = self.ask(&self.base, &request, sent.as_ref()).await?;
        settled().await;
        let calls = self.simulator.calls_since(before);
        let mut problems = Vec::new();
        if status != step.status {
            problems.push(format!("answered {status}, expected {}", step.status));
        }
        if let Some(expected) = &step.answer {
            problems.extend(differences(&self.filled_in(expected), &answer));
        }
        if let Some(expected) = &step.ziflow {
            let made: Vec<_> = calls.iter().map(|call| format!("{} {}", call.method, call.route)).collect();
            if made != *expected {
                problems.push(format!("became the calls {made:?}, expected {expected:?}"));
            }
        }
        for (email, expected) in &step.in_ziflow {
            let there = self
                .simulator
                .people()
                .into_iter()
                .find(|person| person.get("email").is_some_and(|there| there == email));
            let differences = differences(expected, &there.unwrap_or_default());
            problems.extend(differences.iter().map(|difference| format!("{email} in Ziflow: {difference}")));
        }
        for (name, pointer) in &step.keep {
            match answer.pointer(pointer).and_then(Value::as_str) {
                Some(text) => drop(self.kept.insert(name.clone(), text.to_owned())),
                None => problems.push(format!("the answer holds no text at {pointer}")),
            }
        }
        Ok(Outcome { request, sent, status, answer, calls, problems })
    }

    async fn ask(&self, base: &str, request: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let (method, target) = request.split_once(' ').ok_or("a request is a method and a target")?;
        self.entra.ask(method, &format!("{base}{target}"), &[], body.map(Value::to_string)).await
    }

    fn origin(&self) -> String {
        format!("http://{}", self.simulator.address())
    }

    /// The text with what was kept; in a target, encoded.
    fn filled(&self, text: &str) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| {
            let encoded = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            text.replace(&format!("${{{name}}}"), &encoded.to_string())
        })
    }

    fn filled_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self
                .kept
                .iter()
                .fold(text.clone(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
                .into(),
            Value::Array(items) => items.iter().map(|item| self.filled_in(item)).collect(),
            Value::Object(object) => Value::Object(
                object.iter().map(|(name, value)| (name.clone(), self.filled_in(value))).collect(),
            ),
            other => other.clone(),
        }
    }
}

/// Where what was found does not hold what was expected, as the `answer` of a step says it.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    compare("", expected, Some(found), &mut problems);
    problems
}

fn compare(at: &str, expected: &Value, found: Option<&Value>, problems: &mut Vec<String>) {
    match (expected, found) {
        (Value::Null, None) => {}
        (Value::String(any), Some(Value::String(text))) if any == ANY_TEXT && !text.is_empty() => {}
        (Value::Object(expected), Some(Value::Object(found))) => {
            for (name, expected) in expected {
                compare(&format!("{at}/{name}"), expected, found.get(name), problems);
            }
        }
        (Value::Array(expected), Some(Value::Array(found))) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{at}/{index}"), expected, Some(found), problems);
            }
        }
        (expected, Some(found)) if expected == found => {}
        (expected, Some(found)) => problems.push(format!("{at} is {found}, expected {expected}")),
        (expected, None) => problems.push(format!("{at} is missing, expected {expected}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_must_hold_what_is_expected_and_may_hold_more() {
        for (expected, found, differs) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), false),
            (json!({"a": null}), json!({}), false),
            (json!({"a": null}), json!({"a": 1}), true),
            (json!({"a": "*"}), json!({"a": "x"}), false),
            (json!({"a": "*"}), json!({"a": ""}), true),
            (json!([{"a": 1}]), json!([{"a": 1}, {"a": 2}]), true),
            (json!({"a": {"b": [1]}}), json!({"a": {"b": [2]}}), true),
            (json!({"a": 1}), json!([]), true),
        ] {
            assert_eq!(!differences(&expected, &found).is_empty(), differs, "{expected} {found}");
        }
    }

    #[test]
    fn a_misspelt_transcript_is_refused() {
        assert!(Transcript::parse(r#"{"title": "t", "steps": [], "stesp": []}"#).is_err());
    }
}
