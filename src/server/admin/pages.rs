//! What there is to see: one page for each path.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::server::admin::reply;
use crate::server::metrics;
use crate::server::readiness::Readiness;

/// The page that tells only that the process turns. Whoever asks for it shows no token.
pub(super) const OPEN: &str = "/healthz";

pub(super) async fn show(path: &str, readiness: &Readiness) -> Response<Full<Bytes>> {
    match path {
        OPEN => reply::json(StatusCode::OK, &json!({"status": "ok"})),
        "/readyz" => ready(readiness).await,
        "/metrics" => numbers(readiness).await,
        _ => reply::refusal(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics"),
    }
}

async fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let look = readiness.look().await;
    let status = if look.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &look.to_json())
}

async fn numbers(readiness: &Readiness) -> Response<Full<Bytes>> {
    let look = readiness.look().await;
    let mapping = readiness.bridge.mapping_in_force();
    let grants = readiness.bridge.grants_waiting().await;
    let text = metrics::render(&look, readiness, &mapping, grants);
    reply::page(metrics::CONTENT_TYPE, text)
}
