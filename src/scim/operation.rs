//! One operation of a bulk request (RFC 7644 section 3.7) as written: its method, its path, its data and the
//! references in both.

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::scim::edit::take;
use crate::scim::error::Error;
use crate::scim::schema::{GROUP_TYPE, ResourceType, USER_TYPE};

/// What a reference to a person begins with who does not exist yet (RFC 7644 section 3.7.2).
const REFERENCE: &str = "bulkId:";

/// An operation, checked as far as it can be by itself.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) data: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

pub(super) enum Target {
    /// `/Users` or `/Groups`
    Everybody,
    /// `/Users/{id}` or `/Groups/{id}`
    Person(String),
    /// `/Users/bulkId:{bulk_id}` or `/Groups/bulkId:{bulk_id}`
    New(String),
}

impl Asked {
    /// `named` is whether the operation has a `bulkId` of its own.
    pub(super) fn parse(method: Method, target: Target, data: Value, named: bool) -> Result<Self, Error> {
        match (method, &target) {
            (Method::Post, Target::Everybody) if !named => {
                return Err(Error::invalid_value("a POST needs a bulkId: give each one its own"));
            }
            (Method::Post, Target::Everybody) => {}
            (Method::Post, _) => {
                return Err(wrong_path(
                    "a POST makes somebody or something: its path must be /Users or /Groups",
                ));
            }
            (_, Target::Everybody) => {
                return Err(wrong_path(
                    "only a POST is for /Users and /Groups: the path must be /Users/{id} or /Groups/{id}",
                ));
            }
            _ => {}
        }
        let data = match data {
            _ if method == Method::Delete => Value::Null,
            Value::Null => {
                return Err(Error::invalid_syntax(
                    "data is missing: give what the body of the request would be",
                ));
            }
            // RFC 7644's own examples leave the message around the operations of a PATCH away.
            Value::Array(operations) if method == Method::Patch => json!({ "Operations": operations }),
            data => data,
        };
        Ok(Self { method, target, data })
    }

    /// Every `bulkId` in the path and in the data.
    pub(super) fn needs(&mut self) -> Vec<String> {
        let mut needs = Vec::new();
        if let Target::New(bulk_id) = &self.target {
            needs.push(bulk_id.clone());
        }
        let gathered = references(&mut self.data, &mut |bulk_id| {
            needs.push(bulk_id.to_owned());
            Ok(None)
        });
        drop(gathered);
        needs
    }
}

impl Method {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let all = [Self::Post, Self::Put, Self::Patch, Self::Delete];
        all.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Error::invalid_value("the method of an operation must be POST, PUT, PATCH or DELETE")
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Target {
    /// Split before it is decoded, so that no id can reach another place. An id that still had a query behind it
    /// would be nobody's, and nobody means 404.
    pub(super) fn parse(path: Option<&str>) -> Result<(&'static ResourceType, Self), Error> {
        let path =
            path.ok_or_else(|| Error::invalid_syntax("path is missing: give /Users or /Users/{id}"))?;
        if path.contains(['?', '#']) {
            return Err(Error::invalid_value("the path of an operation takes no query: leave it out"));
        }
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let endpoint = segments.next().unwrap_or_default();
        let is_meant =
            |rt: &&&ResourceType| rt.endpoint.trim_start_matches('/').eq_ignore_ascii_case(endpoint);
        let rt: &'static ResourceType =
            [&USER_TYPE, &GROUP_TYPE].iter().find(is_meant).copied().ok_or_else(elsewhere)?;
        let target = match (segments.next(), segments.next()) {
            (None, _) => Self::Everybody,
            (Some(segment), None) => Self::one(segment)?,
            _ => return Err(elsewhere()),
        };
        Ok((rt, target))
    }

    fn one(segment: &str) -> Result<Self, Error> {
        let id = percent_decode_str(segment).decode_utf8().or(Err(elsewhere()))?;
        Ok(match id.strip_prefix(REFERENCE) {
            Some(bulk_id) => Self::New(bulk_id.to_owned()),
            None => Self::Person(id.into_owned()),
        })
    }
}

/// Shows every `bulkId` that a value refers to, and puts an id in its place where one is given. Any text may be a
/// reference: Entra and others write a manager in half a dozen forms.
pub(super) fn references(
    value: &mut Value,
    id_of: &mut dyn FnMut(&str) -> Result<Option<String>, Error>,
) -> Result<(), Error> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| references(item, id_of)),
        Value::Object(members) => members.iter_mut().try_for_each(|(name, member)| match member {
            Value::String(text) if name.eq_ignore_ascii_case("$ref") => address(text, id_of),
            member => references(member, id_of),
        }),
        Value::String(text) => {
            if let Some(bulk_id) = text.strip_prefix(REFERENCE)
                && let Some(id) = id_of(bulk_id)?
            {
                *text = id;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// In an address the reference is the last segment, and the id is encoded.
fn address(
    text: &mut String,
    id_of: &mut dyn FnMut(&str) -> Result<Option<String>, Error>,
) -> Result<(), Error> {
    let (front, last) = text.rsplit_once('/').unwrap_or(("../Users", text));
    if let Some(bulk_id) = last.strip_prefix(REFERENCE)
        && let Some(id) = id_of(bulk_id)?
    {
        *text = format!("{front}/{}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
    }
    Ok(())
}

/// The text under this name; an empty one is none (RFC 7643 section 2.5).
pub(super) fn text(given: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    match take(given, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then_some(text)),
        Some(_) => Err(Error::invalid_syntax(format!("{name} must be a text"))),
    }
}

fn wrong_path(detail: &str) -> Error {
    Error::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

fn elsewhere() -> Error {
    Error::not_found(
        "a bulk request reaches /Users, /Users/{id}, /Groups and /Groups/{id} only, written from the SCIM root on",
    )
}
