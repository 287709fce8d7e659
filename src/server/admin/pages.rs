//! What there is to see: one page for each path.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::server::admin::reply;
use crate::server::readiness::Readiness;
use crate::server::{exposition, metrics};

/// The page that tells only that the process turns. Whoever asks for it shows no token.
pub(super) const OPEN: &str = "/healthz";

pub(super) async fn show(path: &str, readiness: &Readiness) -> Response<Full<Bytes>> {
    match path {
        OPEN => reply::json(StatusCode::OK, &json!({"status": "ok"})),
        "/readyz" => ready(readiness).await,
        "/metrics" => reply::page(exposition::CONTENT_TYPE, metrics::render(readiness).await),
        _ => reply::refusal(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics"),
    }
}

async fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let look = readiness.look().await;
    let status = if look.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &look.to_json())
}
