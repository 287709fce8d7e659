//! What there is to see: one page for each path.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::json;

use crate::server::admin::{Admin, reply};
use crate::server::readiness::Readiness;
use crate::server::status::explain::{self, Question};
use crate::server::{exposition, metrics, status};

/// The page that tells only that the process turns. Whoever asks for it shows no token.
pub(super) const OPEN: &str = "/healthz";

/// The page that takes a question, by POST.
pub(super) const EXPLAIN: &str = "/explain";

const HTML: &str = "text/html; charset=utf-8";

pub(super) async fn show(admin: &Admin, head: &Parts, body: Incoming) -> Response<Full<Bytes>> {
    let readiness = &admin.readiness;
    match head.uri.path() {
        OPEN => reply::json(StatusCode::OK, &json!({"status": "ok"})),
        "/readyz" => ready(readiness).await,
        "/metrics" => reply::page(exposition::CONTENT_TYPE, metrics::render(readiness).await),
        "/" => reply::page(HTML, status::page(readiness, head.uri.query()).await),
        EXPLAIN if head.method == Method::POST => explained(admin, &head.headers, body).await,
        EXPLAIN => reply::page(HTML, explain::blank()),
        "/style.css" => reply::page("text/css; charset=utf-8", status::STYLE.to_owned()),
        "/icon.svg" => reply::page("image/svg+xml", status::ICON.to_owned()),
        _ => reply::refusal(StatusCode::NOT_FOUND, "here are /, /explain, /healthz, /readyz and /metrics"),
    }
}

async fn explained(admin: &Admin, headers: &HeaderMap, body: Incoming) -> Response<Full<Bytes>> {
    let says_form = |value: &HeaderValue| value.as_bytes().starts_with(FORM);
    if !headers.get(CONTENT_TYPE).is_some_and(says_form) {
        return reply::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "fill in the form of /explain");
    }
    let Ok(body) = Limited::new(body, explain::MOST_BYTES).collect().await else {
        let reason =
            format!("the form did not arrive whole, or holds more than {} bytes", explain::MOST_BYTES);
        return reply::refusal(StatusCode::PAYLOAD_TOO_LARGE, &reason);
    };
    let kept = &admin.readiness.witness.operations;
    let (is_answered, page) = admin.explainer.answer(Question::parse(&body.to_bytes()), kept).await;
    let mut response = reply::page(HTML, page);
    if !is_answered {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    response
}

const FORM: &[u8] = b"application/x-www-form-urlencoded";

async fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let look = readiness.look().await;
    let mut response = reply::page(reply::JSON, look.to_json());
    if !look.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
