//! A request at `/oauth2/token`, from its head to its answer and its line in the log.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::server::answer::Server;
use crate::server::log::{Done, Line};
use crate::server::oauth::{self, Failure};
use crate::server::reply::Reply;
use crate::server::request;
use crate::server::seats::Seat;

/// What the log calls it.
pub(super) const OPERATION: &str = "token";

impl Server {
    /// Ends in an answer before the request's time is over.
    pub(super) async fn token(
        &self,
        head: &Parts,
        body: &mut Incoming,
        line: &mut Line,
        seat: &Seat,
    ) -> Reply {
        line.operation = OPERATION;
        let limit = Duration::from_secs(self.settings.limits.request_timeout_secs);
        let granted = tokio::time::timeout(limit, self.grant(head, body, line)).await;
        let failure = match granted.unwrap_or_else(|_elapsed| Err(out_of_time())) {
            Ok((client, token)) => {
                seat.is_known();
                line.client = Some(client);
                let done = Done { reply: oauth::granted(&token), reason: None, detail: None };
                return self.finished(line, done);
            }
            Err(failure) => failure,
        };
        let reason = failure.reason();
        let (failure, is_known) = self.door.refuse_grant(failure, line.source);
        let done = Done { reply: failure.into_reply(), reason: Some(reason), detail: None };
        line.is_quiet = is_known;
        self.finished(line, done)
    }

    /// Who it was, and the token.
    async fn grant(
        &self,
        head: &Parts,
        body: &mut Incoming,
        line: &Line,
    ) -> Result<(String, String), Failure> {
        request::well_formed(head, self.settings.limits.max_target_bytes)
            .map_err(|error| Failure::invalid(error.detail))?;
        oauth::check_path(head.uri.path())?;
        oauth::check_head(&head.method, &head.headers)?;
        let deadline = line.start + Duration::from_secs(self.settings.limits.request_timeout_secs);
        let body = read(body, deadline).await?;
        let presented = oauth::read(&head.headers, &body)?;
        self.door.grant(&presented).await.map_err(|failure| challenged(failure, &head.headers))
    }
}

async fn read(body: &mut Incoming, deadline: Instant) -> Result<bytes::Bytes, Failure> {
    let most = oauth::MAX_BODY_BYTES;
    let read = request::whole(body, most, deadline).await;
    read.map_err(|_error| {
        Failure::invalid(format!("the body did not arrive whole, or is larger than {most} bytes"))
    })
}

/// RFC 6749 section 5.2.
fn challenged(failure: Failure, headers: &HeaderMap) -> Failure {
    if headers.contains_key(AUTHORIZATION) { failure.challenged() } else { failure }
}

fn out_of_time() -> Failure {
    Failure::unavailable("the request took longer than server.request_timeout_secs; repeating it is safe")
}
