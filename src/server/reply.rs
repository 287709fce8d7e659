//! What is answered, and how it looks on the wire: `application/scim+json` but for tokens, and a request id that is also
//! in the log and in each error's text.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::bridge::representation::version_of;
use crate::scim::error::Error;
use crate::scim::query::Projection;
use crate::scim::resource::Resource;
use crate::scim::version::Conditions;
use crate::server::request::RequestId;
use crate::server::route::{Kind, NoRoute};

/// Microsoft states this type for all responses; its validator stops at any other.
const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json; charset=utf-8");

const PLAIN_JSON: HeaderValue = HeaderValue::from_static("application/json;charset=UTF-8");

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// An answer.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    media_type: HeaderValue,
    /// For the log: whom it is about when the request could not say.
    pub id: Option<String>,
}

impl Reply {
    pub fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            headers: Vec::new(),
            media_type: SCIM_JSON,
            id: None,
        }
    }

    /// 204.
    pub fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
            headers: Vec::new(),
            media_type: SCIM_JSON,
            id: None,
        }
    }

    /// A resource as the client wants to see it; `Location` repeats `meta.location` (RFC 7644 section 3.1).
    pub fn resource(status: StatusCode, kind: Kind, resource: Resource, projection: &Projection) -> Self {
        let location = resource.as_map().get("meta").and_then(|meta| meta.get("location")?.as_str());
        let location = location.and_then(|location| HeaderValue::from_str(location).ok());
        let etag = version_of(&resource).and_then(|version| HeaderValue::from_str(version).ok());
        let id = resource.as_map().get("id").and_then(Value::as_str).map(str::to_owned);
        let location = location.map(|location| (LOCATION, location));
        let headers = location.into_iter().chain(etag.map(|etag| (ETAG, etag))).collect();
        Self {
            status,
            body: Some(projection.apply(resource, kind.resource_type())),
            headers,
            media_type: SCIM_JSON,
            id,
        }
    }

    /// The same for a read: 304 when the client knows this version.
    pub fn known_or_resource(
        conditions: &Conditions,
        kind: Kind,
        resource: Resource,
        projection: &Projection,
    ) -> Self {
        let known = version_of(&resource).is_some_and(|version| conditions.knows(version));
        let reply = Self::resource(StatusCode::OK, kind, resource, projection);
        if known { Self { status: StatusCode::NOT_MODIFIED, body: None, ..reply } } else { reply }
    }

    /// The id of the one resource that it shows or has found.
    pub(super) fn subject(&self) -> Option<&str> {
        let body = self.body.as_ref()?;
        let resource = match body.get("Resources").and_then(Value::as_array).map(Vec::as_slice) {
            Some([one]) => one,
            Some(_) => return None,
            None => body,
        };
        resource.get("id")?.as_str()
    }

    /// Plain JSON that nobody may keep (RFC 6749 section 5.1).
    pub(super) fn uncached(
        status: StatusCode,
        body: Value,
        mut headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        headers.push((PRAGMA, HeaderValue::from_static("no-cache")));
        Self { status, body: Some(body), headers, media_type: PLAIN_JSON, id: None }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn error(error: &Error, request_id: &RequestId) -> Self {
        let mut headers = Vec::new();
        if let Some(wait) = error.retry_after {
            headers.push((RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))));
        }
        if error.status == StatusCode::UNAUTHORIZED {
            headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"scim\"")));
        }
        let body = Some(error.to_json(request_id.as_str()));
        Self { status: error.status, body, headers, media_type: SCIM_JSON, id: None }
    }

    pub fn no_route(no_route: &NoRoute, request_id: &RequestId) -> Self {
        match no_route {
            NoRoute::Error(error) => Self::error(error, request_id),
            NoRoute::Method { allow } => {
                let detail = format!("this endpoint takes {allow}");
                let mut reply = Self::error(&Error::new(StatusCode::METHOD_NOT_ALLOWED, detail), request_id);
                reply.headers.push((ALLOW, HeaderValue::from_static(allow)));
                reply
            }
        }
    }

    /// The answer for hyper.
    pub fn into_response(self, request_id: &RequestId) -> Response<Full<Bytes>> {
        let bytes = self.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut response = Response::new(Full::new(bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(CONTENT_TYPE, self.media_type);
        headers.insert(REQUEST_ID, request_id.header());
        response
    }
}
