//! Somebody who speaks to the bridge over HTTP as Entra does.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

/// How long an answer is waited for: longer than any `server.request_timeout_secs`.
const PATIENCE: Duration = Duration::from_secs(600);

/// An empty list is small; whoever sends more is not the bridge.
const MOST_BYTES: usize = 65536;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(10);

/// What a token endpoint takes.
const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Debug)]
pub(super) struct Entra {
    http: reqwest::Client,
}

/// What came of a Test Connection.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) status: u16,
    pub(super) content_type: String,
    /// Null where there is no JSON.
    pub(super) body: Value,
}

/// No answer came.
#[derive(Debug)]
pub(super) struct Unreached {
    /// Without the URL.
    pub(super) reason: String,
    /// Whether there was not even a connection.
    pub(super) is_connect: bool,
    /// Whether there was one, and no TLS over it.
    pub(super) is_tls: bool,
}

impl Unreached {
    /// Whether the other side could not show who it is.
    pub(super) fn is_about_the_certificate(&self) -> bool {
        self.reason.to_lowercase().contains("certificate")
    }
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

    /// The same with HTTPS as Entra speaks it, and less patient. `host` is looked for there and not in DNS.
    pub(super) fn outside(
        token: &str,
        url: &str,
        patience: Duration,
        host: Option<(&str, SocketAddr)>,
    ) -> Result<Self, String> {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| error.to_string())?;
        bearer.set_sensitive(true);
        let builder = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(patience);
        let builder = if url.starts_with("https:") { builder } else { builder.tls_certs_only([]) };
        let builder = match host {
            Some((host, place)) => builder.resolve(host, place),
            None => builder,
        };
        Ok(Self { http: builder.build().map_err(|error| error.to_string())? })
    }

    /// Entra's Test Connection: somebody who cannot exist is looked for.
    pub(super) async fn test_connection(&self, tenant_url: &str, guid: &str) -> Result<Tested, Unreached> {
        let filter = [("filter", format!("userName eq \"{guid}\""))];
        tested(self.http.get(format!("{tenant_url}/Users")).query(&filter)).await
    }

    /// The access token of a client (RFC 6749 section 4.4).
    pub(super) async fn access_token(&self, url: &str, id: &str, secret: &str) -> Result<String, Unreached> {
        let form = self.http.post(url).basic_auth(id, Some(secret)).header(CONTENT_TYPE, FORM);
        let told = tested(form.body("grant_type=client_credentials")).await?;
        let text = |name: &str| told.body.get(name).and_then(Value::as_str);
        text("access_token").map(str::to_owned).ok_or_else(|| Unreached {
            reason: format!(
                "the client `{id}` gets no token at {url}: HTTP {}: {}",
                told.status,
                text("error_description").unwrap_or("no reason was given")
            ),
            is_connect: false,
            is_tls: false,
        })
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

/// Somebody who only looks, at an address of this machine and without any token.
pub(super) async fn looked_at(url: &str) -> Result<Tested, Unreached> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(LOOK).build();
    let client =
        client.map_err(|error| Unreached { reason: error.to_string(), is_connect: false, is_tls: false })?;
    tested(client.get(url)).await
}

/// What comes of a request, as far as it is looked at.
async fn tested(request: reqwest::RequestBuilder) -> Result<Tested, Unreached> {
    let mut response = request.send().await.map_err(|error| unreached(&error))?;
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (status, content_type) = (response.status().as_u16(), content_type.unwrap_or_default().to_owned());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreached(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            break;
        }
    }
    Ok(Tested { status, content_type, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}

/// An error with its causes, and without the URL.
fn unreached(error: &reqwest::Error) -> Unreached {
    let mut reason = if error.is_timeout() { "no answer in time" } else { "no answer" }.to_owned();
    let mut is_tls = false;
    let mut source = error.source();
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        is_tls |= is_about_tls(cause);
        source = cause.source();
    }
    // What the library calls so is the commonest mistake of all, a certificate that one has signed oneself.
    let reason = reason.replace(
        "Other(OtherError(CaUsedAsEndEntity))",
        "it is the certificate of an authority, or self-signed",
    );
    Unreached { reason, is_connect: error.is_connect() && !is_tls, is_tls }
}

/// What an `io::Error` is made of is none of its causes.
fn is_about_tls(cause: &(dyn Error + 'static)) -> bool {
    let within = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || within.is_some_and(|within| is_about_tls(within))
}
