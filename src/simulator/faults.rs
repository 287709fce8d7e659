//! Faults: what goes wrong between two machines, put in by a test while the simulator runs.
//!
//! A fault says which calls it meets (method, route, how many it lets pass first, how often, how likely) and what
//! becomes of them. Where several fit a call, the one put in first has it. Calls that a fault meets have not been
//! applied, with the exceptions named at the constructors.

use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, Delivery, RetryAfter};
use super::random::Random;
use super::route::Route;

/// Something that goes wrong; without further words at the next call, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    method: Option<Method>,
    route: Option<Route>,
    skip: u64,
    /// `None` is for ever.
    times: Option<u64>,
    percent: u64,
    retry_after: Option<RetryAfter>,
    applied: bool,
    effect: Effect,
}

/// The body that comes with a fault's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Json,
    Html,
    Empty,
}

#[derive(Clone, Debug, PartialEq)]
enum Effect {
    Status(StatusCode, Shape),
    Deliver(Delivery),
    Html,
    WrongTypes,
    Huge(usize),
    Redirect(String),
}

impl Fault {
    /// Another status than the one deserved.
    pub fn status(code: StatusCode) -> Self {
        Self::status_with(code, Shape::Json)
    }

    pub fn status_with(code: StatusCode, shape: Shape) -> Self {
        Self::new(Effect::Status(code, shape), false)
    }

    /// Like `status`, but the call has been applied: a gateway that gave up on a server that did not.
    pub fn apply_then_status(code: StatusCode) -> Self {
        Self::new(Effect::Status(code, Shape::Json), true)
    }

    /// No answer, for ever.
    pub fn hang() -> Self {
        Self::new(Effect::Deliver(Delivery::Never(None)), false)
    }

    /// No answer; after this time the connection is closed.
    pub fn hang_for(time: Duration) -> Self {
        Self::new(Effect::Deliver(Delivery::Never(Some(time))), false)
    }

    /// The call has been applied, and nobody says so.
    pub fn apply_then_hang() -> Self {
        Self::new(Effect::Deliver(Delivery::Never(None)), true)
    }

    pub fn apply_then_hang_for(time: Duration) -> Self {
        Self::new(Effect::Deliver(Delivery::Never(Some(time))), true)
    }

    /// The connection is cut off.
    pub fn reset() -> Self {
        Self::new(Effect::Deliver(Delivery::Reset), false)
    }

    /// The call has been applied, then the connection is closed without an answer.
    pub fn apply_then_drop() -> Self {
        Self::new(Effect::Deliver(Delivery::Closed), true)
    }

    /// Applied; half of the body arrives. An answer without a body does not arrive at all.
    pub fn truncate() -> Self {
        Self::new(Effect::Deliver(Delivery::Truncated), true)
    }

    /// 200 with a web page, as from a proxy that wants somebody to log in.
    pub fn html_200() -> Self {
        Self::new(Effect::Html, false)
    }

    /// Applied; the answer is JSON in which every value has another type.
    pub fn wrong_types() -> Self {
        Self::new(Effect::WrongTypes, true)
    }

    /// Applied; the right answer behind that many MiB of blanks, which is still JSON.
    pub fn huge(mib: usize) -> Self {
        Self::new(Effect::Huge(mib), true)
    }

    /// Applied at once, answered late.
    pub fn slow(time: Duration) -> Self {
        Self::new(Effect::Deliver(Delivery::Late(time)), true)
    }

    /// 302 to another address.
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::new(Effect::Redirect(to.into()), false)
    }

    fn new(effect: Effect, applied: bool) -> Self {
        Self {
            method: None,
            route: None,
            skip: 0,
            times: Some(1),
            percent: 100,
            retry_after: None,
            applied,
            effect,
        }
    }

    /// Only calls with this method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Only calls of this route.
    #[must_use]
    pub fn route(self, route: Route) -> Self {
        Self { route: Some(route), ..self }
    }

    /// Lets the first `calls` that fit pass.
    #[must_use]
    pub fn skip(self, calls: u64) -> Self {
        Self { skip: calls, ..self }
    }

    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    #[must_use]
    pub fn forever(self) -> Self {
        Self { times: None, ..self }
    }

    /// Meets only so many of a hundred calls, drawn with the simulator's seed.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        Self { percent, ..self }
    }

    #[must_use]
    pub fn retry_after(self, wait: RetryAfter) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    pub(super) fn is_applied(&self) -> bool {
        self.applied
    }

    /// What becomes of an answer.
    pub(super) fn spoil(&self, answer: Answer) -> Answer {
        let spoilt = match &self.effect {
            Effect::Status(code, Shape::Json) => {
                Answer::json(*code, &json!({ "message": "simulated fault" }))
            }
            Effect::Status(code, Shape::Html) => Answer::html(*code),
            Effect::Status(code, Shape::Empty) => Answer::empty(*code),
            Effect::Deliver(delivery) => answer.delivered(*delivery),
            Effect::Html => Answer::html(StatusCode::OK),
            Effect::WrongTypes => wrong_types(&answer),
            Effect::Huge(mib) => padded(answer, *mib),
            Effect::Redirect(to) => Answer::empty(StatusCode::FOUND).header(LOCATION, to),
        };
        match self.retry_after {
            Some(wait) => spoilt.header(RETRY_AFTER, wait.header_value()),
            None => spoilt,
        }
    }
}

/// The faults that are still to happen.
#[derive(Debug)]
pub(super) struct Faults {
    waiting: Vec<Fault>,
    random: Random,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { waiting: Vec::new(), random: Random::new(seed) }
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The fault that meets this call, if one does.
    pub(super) fn meet(&mut self, method: &Method, route: Route) -> Option<Fault> {
        let random = &mut self.random;
        let met = self.waiting.iter_mut().find_map(|fault| fault.meets(method, route, random))?;
        self.waiting.retain(|fault| fault.times != Some(0));
        Some(met)
    }
}

impl Fault {
    /// Counts this call, and says whether it is one that the fault meets.
    fn meets(&mut self, method: &Method, route: Route, random: &mut Random) -> Option<Self> {
        let fits = self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.route.is_none_or(|wanted| wanted == route)
            && self.times != Some(0);
        if !fits {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if !random.happens(self.percent) {
            return None;
        }
        self.times = self.times.map(|left| left - 1);
        Some(self.clone())
    }
}

fn wrong_types(answer: &Answer) -> Answer {
    let right = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    Answer::json(answer.status, &retyped(right))
}

fn retyped(value: Value) -> Value {
    match value {
        Value::Null => json!([42]),
        Value::Bool(flag) => Value::from(flag.to_string()),
        Value::Number(number) => Value::from(number.to_string()),
        Value::String(text) => Value::from(text.len()),
        Value::Array(items) => {
            items.into_iter().enumerate().map(|(at, item)| (at.to_string(), retyped(item))).collect()
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, retyped(value))).collect(),
    }
}

fn padded(answer: Answer, mib: usize) -> Answer {
    let mut body = vec![b' '; mib.saturating_mul(1024 * 1024)];
    body.extend_from_slice(&answer.body);
    Answer { body, ..answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_the_calls_it_names() {
        let calls = [
            (Method::GET, Route::Users),
            (Method::POST, Route::Users),
            (Method::GET, Route::User),
            (Method::GET, Route::Users),
            (Method::GET, Route::Users),
        ];
        let cases = [
            (Fault::reset(), [true, false, false, false, false]),
            (Fault::reset().forever(), [true; 5]),
            (Fault::reset().times(2).skip(1), [false, true, true, false, false]),
            (Fault::reset().method(Method::GET).forever(), [true, false, true, true, true]),
            (
                Fault::reset().method(Method::GET).route(Route::Users).skip(1),
                [false, false, false, true, false],
            ),
            (Fault::reset().forever().percent(0), [false; 5]),
            (Fault::reset().times(0), [false; 5]),
        ];
        for (fault, met) in cases {
            let mut faults = Faults::new(1);
            faults.inject(fault.clone());
            let seen: Vec<bool> =
                calls.iter().map(|(method, route)| faults.meet(method, *route).is_some()).collect();
            assert_eq!(seen, met, "{fault:?}");
        }
    }

    #[test]
    fn every_value_gets_another_type() {
        let right = json!({"id": "abc", "active": true, "count": 2, "users": [{"phone": null}]});
        let wrong = json!({"id": 3, "active": "true", "count": "2", "users": {"0": {"phone": [42]}}});
        assert_eq!(retyped(right), wrong);
    }
}
