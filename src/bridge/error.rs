//! Every failure as the SCIM error that tells the truth about it: which side failed, and when to come back.
//!
//! Never 401 or 404 for trouble upstream: Entra would quarantine the job or make the person a second time.

use std::time::Duration;

use http::StatusCode;

use crate::scim::error::Error as ScimError;
use crate::{store, ziflow};

/// When to ask again after trouble that names no time itself.
const RETRY_SECS: u64 = 10;

impl From<ziflow::error::Error> for ScimError {
    fn from(error: ziflow::error::Error) -> Self {
        use ziflow::error::Error;
        let again = |status, detail: String, wait: Option<Duration>| {
            Self::new(status, detail).retry_after(wait.unwrap_or(Duration::from_secs(RETRY_SECS)))
        };
        match error {
            Error::NotFound => Self::not_found("Ziflow has no such user"),
            Error::Conflict { message } => again(
                StatusCode::BAD_GATEWAY,
                format!(
                    "Ziflow refuses the e-mail address as taken (\"{message}\"), yet shows no user who has it; \
                     it may belong to a guest or to another Ziflow account: look for it in Ziflow's contacts"
                ),
                None,
            ),
            Error::Refused { message } => Self::invalid_value(format!(
                "Ziflow refuses the values: \"{message}\"; correct them in Entra or in the bridge's mapping"
            )),
            Error::NoSeat { message } => Self::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "Ziflow has no free seat for this person: \"{message}\"; free or buy one, Entra will try again"
                ),
            ),
            Error::KeyRefused { status, message } => again(
                StatusCode::BAD_GATEWAY,
                format!(
                    "Ziflow refuses the bridge's API key (HTTP {status}: \"{message}\"); the bridge's operator must \
                     put the key of an active admin into ziflow.api_key_file"
                ),
                None,
            ),
            Error::Throttled { retry_after } => again(
                StatusCode::TOO_MANY_REQUESTS,
                "Ziflow asks the bridge to slow down".to_owned(),
                Some(retry_after),
            ),
            Error::Busy { retry_after } => again(
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests are waiting for Ziflow (rate_limit.requests_per_second)".to_owned(),
                Some(retry_after),
            ),
            Error::Unavailable { reason, retry_after } => again(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("Ziflow cannot be used at the moment: {reason}"),
                retry_after,
            ),
            Error::TimedOut { reason } => {
                again(StatusCode::GATEWAY_TIMEOUT, format!("Ziflow did not answer in time: {reason}"), None)
            }
            Error::Nonsense { reason } => again(
                StatusCode::BAD_GATEWAY,
                format!("Ziflow's answer cannot be understood: {reason}; {}", ziflow::error::ASTRAY),
                None,
            ),
            Error::Unknown { reason } => again(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "Ziflow did not confirm the change ({reason}); it may have happened. Repeating the request is safe"
                ),
                None,
            ),
            Error::Walking { retry_after, .. } => {
                again(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), Some(retry_after))
            }
        }
    }
}

impl From<store::Error> for ScimError {
    fn from(error: store::Error) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("the bridge is at fault, not Ziflow: {error}"))
            .retry_after(Duration::from_secs(RETRY_SECS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ziflow::error::Error;

    #[test]
    fn trouble_upstream_is_never_nobody_nor_a_bad_credential() {
        let wait = Duration::from_secs(7);
        let text = String::new;
        for (error, status, retry_after) in [
            (Error::NotFound, 404, None),
            (Error::Conflict { message: text() }, 502, Some(RETRY_SECS)),
            (Error::Refused { message: text() }, 400, None),
            (Error::NoSeat { message: text() }, 400, None),
            (Error::KeyRefused { status: 401, message: text() }, 502, Some(RETRY_SECS)),
            (Error::Throttled { retry_after: wait }, 429, Some(7)),
            (Error::Busy { retry_after: wait }, 429, Some(7)),
            (Error::Unavailable { reason: text(), retry_after: None }, 503, Some(RETRY_SECS)),
            (Error::Unavailable { reason: text(), retry_after: Some(wait) }, 503, Some(7)),
            (Error::TimedOut { reason: text() }, 504, Some(RETRY_SECS)),
            (Error::Nonsense { reason: text() }, 502, Some(RETRY_SECS)),
            (Error::Unknown { reason: text() }, 503, Some(RETRY_SECS)),
            (Error::Walking { people: 1, trouble: None, retry_after: wait }, 503, Some(7)),
        ] {
            let told = ScimError::from(error.clone());
            assert_eq!(told.status.as_u16(), status, "{error:?}");
            assert_eq!(told.retry_after.map(|wait| wait.as_secs()), retry_after, "{error:?}");
        }
    }
}
