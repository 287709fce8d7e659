//! Somebody who speaks to the bridge over HTTP as Entra does.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

/// How long an answer is waited for: longer than any `server.request_timeout_secs`.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Entra {
    http: reqwest::Client,
}

impl Entra {
    /// `token` is the Secret Token.
    pub(super) fn new(token: &str) -> Result<Self, String> {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| error.to_string())?;
        let http = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .no_proxy()
            .tls_certs_only([])
            .timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http })
    }

    /// The status and the body, null where there is none. An error means that no answer came.
    pub(super) async fn ask(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Option<String>,
    ) -> Result<(u16, Value), String> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let mut builder = self.http.request(method, url);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = body {
            builder = builder.header(CONTENT_TYPE, "application/scim+json; charset=utf-8").body(body);
        }
        let response = builder.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| error.to_string())?;
        let answer = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|error| format!("the answer is no JSON: {error}"))?
        };
        Ok((status, answer))
    }
}
