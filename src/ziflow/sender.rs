//! Sending until there is an answer that can be judged: which trouble passes, what may be sent again, and what is
//! known about Ziflow and the key meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use http::StatusCode;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use crate::mask::Values;
use crate::ziflow::breaker::Breaker;
use crate::ziflow::calls::{self, Made, Outcome, Said};
use crate::ziflow::client::Settings;
use crate::ziflow::error::Error;
use crate::ziflow::figures::Counter;
use crate::ziflow::rate_limit::{self, RateLimit};
use crate::ziflow::request::Request;
use crate::ziflow::transport::{self, Answer, ApiKey, Body, Call, Failure, KeyNumber, Lost, Transport};

/// How long a pause is when Ziflow asks to slow down without saying for how long.
const UNSAID_PAUSE: Duration = Duration::from_secs(1);

/// What an answer, or the lack of one, means for the sender.
enum Verdict {
    Take(Answer),
    /// Worth another try, after this wait if Ziflow named one.
    Again(Error, Option<Duration>),
    Stop(Error),
}

/// What is known about the key in use; another key begins anew.
#[derive(Debug, Default)]
struct Standing {
    key: KeyNumber,
    /// When `GET /users?count=1`, or a page of people, last came back as it must; none since trouble with it.
    proven: Option<Instant>,
    /// Whether the last word about it was a refusal.
    refused: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    pub(super) transport: Transport,
    pub(super) breaker: Breaker,
    backoff: ExponentialBuilder,
    no_seat_texts: Vec<String>,
    standing: Mutex<Standing>,
    proof_ttl: Duration,
    /// Whether values are kept of what is said.
    values: Values,
    /// When Ziflow last gave an answer that could be used.
    heard: Mutex<Option<Instant>>,
    /// What went wrong since then, if anything did.
    trouble: Mutex<Option<Error>>,
    /// How often a call was made again.
    pub(super) retries: Counter,
}

impl Sender {
    pub(super) fn new(
        connection: &transport::Settings,
        settings: &Settings,
        pace: &rate_limit::Settings,
    ) -> Result<Self, String> {
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(pace.backoff_min_ms))
            .with_max_delay(Duration::from_secs(pace.backoff_max_secs))
            .with_max_times(pace.retries);
        Ok(Self {
            transport: Transport::new(connection, RateLimit::new(pace))?,
            breaker: Breaker::new(pace.breaker_failures, Duration::from_secs(pace.breaker_max_secs)),
            backoff,
            no_seat_texts: settings.no_seat_texts.iter().map(|text| text.to_lowercase()).collect(),
            standing: Mutex::default(),
            proof_ttl: Duration::from_secs(settings.proof_ttl_secs),
            values: connection.values,
            heard: Mutex::default(),
            trouble: Mutex::default(),
            retries: Counter::default(),
        })
    }

    /// Whether the key has been seen to work, and there has been no trouble with it since.
    pub(super) fn key_proven(&self) -> bool {
        self.standing().proven.is_some()
    }

    /// Whether that was recently enough to believe Ziflow that there is nobody: a key can lose its rights, and a
    /// gateway its way, and then everybody would be "not found".
    pub(super) fn proven_lately(&self) -> bool {
        let proven = self.standing().proven;
        proven.is_some_and(|proven| proven.elapsed() < self.proof_ttl)
    }

    /// Whether that was after this moment.
    pub(super) fn proven_since(&self, moment: Instant) -> bool {
        self.standing().proven.is_some_and(|proven| proven > moment)
    }

    /// Whether the last word about the key was a refusal.
    pub(super) fn key_refused(&self) -> bool {
        self.standing().refused
    }

    /// How long ago Ziflow last gave an answer that could be used.
    pub(super) fn heard(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|heard| heard.elapsed())
    }

    /// What went wrong since Ziflow last gave an answer that could be used.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether calls are held back because Ziflow could not be used.
    pub(super) fn holds_back(&self) -> bool {
        self.breaker.is_open()
    }

    /// The door that every call leaves through.
    pub(super) fn limit(&self) -> &RateLimit {
        &self.transport.limit
    }

    /// Another key from now on. Nothing that is known about the one before is true of it, and what comes back for
    /// requests under way says nothing about it.
    pub(super) fn put_key(&self, key: ApiKey) {
        let mut standing = self.standing();
        let number = standing.key.next();
        *standing = Standing { key: number, ..Standing::default() };
        self.transport.put_key(number, key);
        drop(standing);
        self.breaker.forget_refusal();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*trouble, Some(Error::KeyRefused { .. })) {
            *trouble = None;
        }
    }

    /// Which key is in use.
    pub(super) fn key_number(&self) -> KeyNumber {
        self.standing().key
    }

    /// Whether this answer was given to a key that is no longer in use.
    pub(super) fn is_outdated(&self, answer: &Answer) -> bool {
        self.key_number() != answer.key
    }

    /// `GET /users?count=1`, or a page of people, has come back as it must.
    pub(super) fn prove(&self, answer: &Answer) {
        let Some(mut standing) = self.standing_of(answer) else { return };
        let before = standing.proven.replace(Instant::now());
        standing.refused = false;
        drop(standing);
        if before.is_none() {
            info!("Ziflow takes the API key");
        }
    }

    /// An answer that a right address and key cannot give: nothing is believed until they are proven again.
    pub(super) fn distrust(&self, answer: &Answer) {
        if let Some(mut standing) = self.standing_of(answer) {
            standing.proven = None;
        }
    }

    /// Ziflow does not take the key.
    pub(super) fn refuse_key(&self, answer: &Answer) -> Error {
        let Some(mut standing) = self.standing_of(answer) else { return Error::key_changed() };
        standing.proven = None;
        let before = std::mem::replace(&mut standing.refused, true);
        drop(standing);
        let status = answer.status.as_u16();
        if !before {
            error!(status, "Ziflow refuses the API key: is it valid, and is its owner an admin?");
        }
        let refusal = Error::KeyRefused { status, message: answer.message() };
        self.breaker.refused(&refusal);
        self.note(refusal)
    }

    /// Sends what may be repeated.
    pub(super) async fn read(&self, call: &Call, request: &Request<'_>) -> Result<Answer, Error> {
        self.send(call, request, Self::judge_read).await
    }

    /// Sends a write. It is repeated only where Ziflow cannot have acted on it.
    pub(super) async fn write(&self, call: &Call, request: &Request<'_>) -> Result<Answer, Error> {
        self.send(call, request, Self::judge_write).await
    }

    /// Sends until the verdict is final, the retries are used up or the time is over.
    async fn send(
        &self,
        call: &Call,
        request: &Request<'_>,
        judge: impl Fn(&Self, Result<Answer, Lost>) -> Verdict,
    ) -> Result<Answer, Error> {
        let mut delays = self.backoff.build();
        let mut retry = 0;
        loop {
            let outcome = self.attempt(call, request, retry).await?;
            let (error, wait) = match judge(self, outcome) {
                Verdict::Take(answer) => {
                    call.keep_to(answer.key);
                    return Ok(self.hear(answer));
                }
                Verdict::Stop(error) => return Err(self.note(error)),
                Verdict::Again(error, wait) => (error, wait.unwrap_or_default()),
            };
            match delays.next().map(|delay| delay.max(wait)) {
                Some(delay) if call.has_time_for(delay) => {
                    self.retries.add_one();
                    sleep(delay).await;
                }
                _ => return Err(self.note(error)),
            }
            retry += 1;
        }
    }

    /// Sends once, and takes down what became of it.
    async fn attempt(
        &self,
        call: &Call,
        request: &Request<'_>,
        retry: u32,
    ) -> Result<Result<Answer, Lost>, Error> {
        let began = Instant::now();
        let got = self.exchange(call, request).await;
        let now = Instant::now();
        let (left, outcome) = match &got {
            Ok(Ok(answer)) => (answer.left, Outcome::of(answer)),
            Ok(Err(lost)) => (lost.left, Outcome::of_lost(lost)),
            Err(_not_sent) => (now, Outcome::NotSent),
        };
        let made = Made {
            method: request.method.clone(),
            endpoint: calls::endpoint(request),
            outcome,
            retry,
            waited: left.saturating_duration_since(began),
            took: now.saturating_duration_since(left),
            said: Said::of(request, got.as_ref().ok().and_then(|got| got.as_ref().ok()), self.values),
        };
        made.log();
        call.note(made);
        got
    }

    /// Sends once, unless calls are held back or the door lets none through.
    async fn exchange(&self, call: &Call, request: &Request<'_>) -> Result<Result<Answer, Lost>, Error> {
        let trial = self.breaker.admit()?;
        match self.transport.exchange(call, request, || trial.may_leave()).await {
            Ok(answer) => {
                match answer.status {
                    status if status.is_server_error() => {
                        let why = Error::Unavailable { reason: answer.kind(), retry_after: None };
                        trial.failed(&why);
                    }
                    // About the key, which has its own word.
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => drop(trial),
                    _ => trial.worked(),
                }
                Ok(Ok(answer))
            }
            Err(Failure::Lost(lost)) => {
                trial.failed(&without_answer(lost.clone()));
                Ok(Err(lost))
            }
            Err(Failure::NotSent(error)) => Err(error),
        }
    }

    fn judge_read(&self, outcome: Result<Answer, Lost>) -> Verdict {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(lost) => return Verdict::Again(without_answer(lost), None),
        };
        match (answer.status, &answer.body) {
            (StatusCode::TOO_MANY_REQUESTS, _) => Verdict::Again(self.throttled(&answer), answer.retry_after),
            (status, _) if status.is_server_error() => {
                self.pause_for(&answer);
                let error = Error::Unavailable { reason: answer.kind(), retry_after: answer.retry_after };
                Verdict::Again(error, answer.retry_after)
            }
            (status, Body::Cut(_) | Body::Text { .. }) if status.is_success() => {
                Verdict::Again(nonsense("a read", &answer), None)
            }
            _ => self.judge_key(answer),
        }
    }

    fn judge_write(&self, outcome: Result<Answer, Lost>) -> Verdict {
        match outcome {
            Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                Verdict::Again(self.throttled(&answer), answer.retry_after)
            }
            Ok(answer) if answer.status.is_server_error() => {
                self.pause_for(&answer);
                Verdict::Stop(Error::Unknown { reason: answer.kind() })
            }
            Ok(answer) => self.judge_key(answer),
            Err(lost) if lost.may_have_arrived => Verdict::Stop(Error::Unknown { reason: lost.reason }),
            Err(lost) => Verdict::Again(without_answer(lost), None),
        }
    }

    /// Lets through what is no refusal of the key. A 403 may be about the person: the client asks further.
    fn judge_key(&self, answer: Answer) -> Verdict {
        match answer.status {
            // It left with a key that has been replaced since, and has done nothing.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.is_outdated(&answer) => {
                Verdict::Again(Error::key_changed(), None)
            }
            StatusCode::UNAUTHORIZED => Verdict::Stop(self.refuse_key(&answer)),
            _ => Verdict::Take(answer),
        }
    }

    fn hear(&self, answer: Answer) -> Answer {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        answer
    }

    /// What readiness tells until Ziflow gives an answer that can be used. A pause is no trouble.
    pub(super) fn note(&self, error: Error) -> Error {
        if matches!(error, Error::Throttled { .. } | Error::Busy { .. }) {
            return error;
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        error
    }

    /// Every request waits while Ziflow wants a pause, not only the one that was told.
    fn throttled(&self, answer: &Answer) -> Error {
        let pause = answer.retry_after.unwrap_or(UNSAID_PAUSE);
        self.transport.limit.slow_down(answer.left, pause);
        warn!(pause_secs = pause.as_secs(), "Ziflow asks to slow down");
        Error::Throttled { retry_after: pause.max(UNSAID_PAUSE) }
    }

    /// Who says when to come back means everybody.
    fn pause_for(&self, answer: &Answer) {
        if let Some(wait) = answer.retry_after {
            self.transport.limit.pause(wait);
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about the key that this answer was given to; none once another one is in use.
    fn standing_of(&self, answer: &Answer) -> Option<MutexGuard<'_, Standing>> {
        Some(self.standing()).filter(|standing| standing.key == answer.key)
    }

    /// Whether a refusal is about the licence.
    pub(super) fn speaks_of_seats(&self, message: &str) -> bool {
        let message = message.to_lowercase();
        self.no_seat_texts.iter().any(|text| message.contains(text))
    }
}

fn without_answer(lost: Lost) -> Error {
    if lost.timed_out {
        Error::TimedOut { reason: lost.reason }
    } else {
        Error::Unavailable { reason: lost.reason, retry_after: None }
    }
}

/// An answer that is not what Ziflow's API gives.
pub(super) fn nonsense(what: &str, answer: &Answer) -> Error {
    Error::Nonsense { reason: format!("{what} answered {}", answer.kind()) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::ziflow::origin::Way;

    fn sender() -> Sender {
        let number = |number| NonZeroU32::new(number).unwrap();
        let connection = transport::Settings {
            base_url: "http://127.0.0.1:9/v1".to_owned(),
            api_key: "first".to_owned().into(),
            connect_timeout_secs: 1,
            timeout_secs: 1,
            max_answer_bytes: 1,
            way: Way::default(),
            values: Values::default(),
        };
        let settings = Settings { no_seat_texts: Vec::new(), page_size: 1, proof_ttl_secs: 60 };
        let pace = rate_limit::Settings {
            requests_per_second: number(1),
            burst: number(2),
            in_flight: number(1),
            max_wait_secs: 1,
            max_pause_secs: 1,
            retries: 1,
            backoff_min_ms: 1,
            backoff_max_secs: 1,
            recovery_secs: 1,
            breaker_failures: 0,
            breaker_max_secs: 1,
        };
        Sender::new(&connection, &settings, &pace).unwrap()
    }

    fn answer(status: StatusCode, key: KeyNumber) -> Answer {
        Answer { status, retry_after: None, redirect: None, body: Body::Empty, left: Instant::now(), key }
    }

    #[test]
    fn a_word_about_a_key_that_was_replaced_is_no_word_about_the_next() {
        let sender = sender();
        let first = sender.key_number();
        sender.prove(&answer(StatusCode::OK, first));
        assert!(sender.proven_lately());
        sender.put_key(ApiKey::new(&"second".to_owned().into()).unwrap());
        assert!(!sender.proven_lately() && sender.is_outdated(&answer(StatusCode::OK, first)));
        sender.prove(&answer(StatusCode::OK, first));
        assert!(!sender.proven_lately(), "another key was taken");

        let second = sender.key_number();
        sender.prove(&answer(StatusCode::OK, second));
        let told = sender.refuse_key(&answer(StatusCode::UNAUTHORIZED, first));
        assert_eq!((told, sender.key_refused()), (Error::key_changed(), false));
        sender.distrust(&answer(StatusCode::NOT_FOUND, first));
        assert!(sender.proven_lately(), "another key was meant");
        sender.refuse_key(&answer(StatusCode::UNAUTHORIZED, second));
        assert!(sender.key_refused() && !sender.key_proven() && sender.trouble().is_some());
        sender.put_key(ApiKey::new(&"third".to_owned().into()).unwrap());
        assert!(!sender.key_refused() && sender.trouble().is_none(), "that was the second key's trouble");
    }
    /// What is known about calls without a Ziflow: they are lost, or do not leave.
    #[tokio::test]
    async fn every_try_is_taken_down() {
        let sender = sender();
        let call = Call::until(Instant::now() + Duration::from_secs(5));
        let request = Request { method: http::Method::GET, path: &["users", "1"], query: &[], body: None };
        assert!(sender.read(&call, &request).await.is_err());
        let late = Call::until(Instant::now());
        assert!(sender.read(&late, &request).await.is_err());
        let told = |call: &Call| {
            let calls = call.calls().so_far();
            let outcomes: Vec<_> = calls.first().iter().map(|made| (made.retry, made.outcome)).collect();
            (outcomes, calls.left())
        };
        assert_eq!(told(&call), (vec![(0, Outcome::Lost), (1, Outcome::Lost)], 2));
        assert_eq!(told(&late), (vec![(0, Outcome::NotSent)], 0));
    }
}
