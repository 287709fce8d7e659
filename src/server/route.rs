//! Method, path and query → `Operation`. Pure.
//!
//! Paths are split before they are decoded, so that no id can reach another route. Doubled and trailing slashes
//! are tolerated: Entra appends resource paths to a tenant URL that may end with one.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::scim::error::Error;
use crate::scim::filter::Limits;
use crate::scim::query::{self, Projection, Query};
use crate::scim::schema::{GROUP_TYPE, ResourceType, USER_TYPE};

/// What there is an endpoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
}

impl Kind {
    pub fn resource_type(self) -> &'static ResourceType {
        match self {
            Self::User => &USER_TYPE,
            Self::Group => &GROUP_TYPE,
        }
    }
}

/// What a request asks for.
#[derive(Debug)]
pub enum Operation {
    ServiceProviderConfig,
    ResourceTypes,
    ResourceType(String),
    Schemas,
    Schema(String),
    List(Kind, Box<Query>),
    Create(Kind, Projection),
    Get {
        kind: Kind,
        id: String,
        projection: Projection,
    },
    Replace {
        kind: Kind,
        id: String,
        projection: Projection,
    },
    Patch {
        kind: Kind,
        id: String,
        projection: Projection,
    },
    Delete {
        kind: Kind,
        id: String,
    },
    Bulk,
    /// A list request whose query stands in the body; at the root it is about everything there is.
    Search(Option<Kind>),
}

impl Operation {
    /// A name for logs, without anybody in it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ServiceProviderConfig => "service-provider-config",
            Self::ResourceTypes | Self::ResourceType(_) => "resource-types",
            Self::Schemas | Self::Schema(_) => "schemas",
            Self::List(Kind::User, query) if query.filter.is_some() => "find-users",
            Self::List(Kind::User, _) => "list-users",
            Self::List(Kind::Group, query) if query.filter.is_some() => "find-groups",
            Self::List(Kind::Group, _) => "list-groups",
            Self::Create(Kind::User, _) => "create-user",
            Self::Create(Kind::Group, _) => "create-group",
            Self::Get { kind: Kind::User, .. } => "get-user",
            Self::Get { kind: Kind::Group, .. } => "get-group",
            Self::Replace { kind: Kind::User, .. } => "replace-user",
            Self::Replace { kind: Kind::Group, .. } => "replace-group",
            Self::Patch { kind: Kind::User, .. } => "patch-user",
            Self::Patch { kind: Kind::Group, .. } => "patch-group",
            Self::Delete { kind: Kind::User, .. } => "delete-user",
            Self::Delete { kind: Kind::Group, .. } => "delete-group",
            Self::Bulk => "bulk",
            Self::Search(_) => "search",
        }
    }

    /// Whom or what it is about, by id.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Get { id, .. }
            | Self::Replace { id, .. }
            | Self::Patch { id, .. }
            | Self::Delete { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether it changes anything, and so must not stop half-way when the client goes away.
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Create(..) | Self::Replace { .. } | Self::Patch { .. } | Self::Delete { .. } | Self::Bulk
        )
    }

    /// Whether it takes a body.
    pub fn takes_body(&self) -> bool {
        matches!(
            self,
            Self::Create(..) | Self::Replace { .. } | Self::Patch { .. } | Self::Bulk | Self::Search(_)
        )
    }
}

/// Why there is no operation.
#[derive(Debug)]
pub enum NoRoute {
    Error(Error),
    /// The resource is there, the method is not.
    Method {
        allow: &'static str,
    },
}

impl NoRoute {
    /// What is wrong, when it is not only the method.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Error(error) => Some(&error.detail),
            Self::Method { .. } => None,
        }
    }
}

/// `path` is the whole path of the request; `base` begins every route.
pub fn route(
    method: &Method,
    base: &str,
    path: &str,
    query: Option<&str>,
    limits: &Limits,
) -> Result<Operation, NoRoute> {
    let segments = segments(base, path).ok_or_else(|| not_found(base))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (resource, id) = match segments.as_slice() {
        [resource] => (resource.to_ascii_lowercase(), None),
        [resource, id] => (resource.to_ascii_lowercase(), Some((*id).to_owned())),
        _ => return Err(not_found(base)),
    };
    match (resource.as_str(), id) {
        ("serviceproviderconfig", None) => discover(method, query, Operation::ServiceProviderConfig),
        ("resourcetypes", None) => discover(method, query, Operation::ResourceTypes),
        ("resourcetypes", Some(id)) => discover(method, query, Operation::ResourceType(id)),
        ("schemas", None) => discover(method, query, Operation::Schemas),
        ("schemas", Some(id)) => discover(method, query, Operation::Schema(id)),
        ("users", None) => all(Kind::User, method, query, limits),
        ("groups", None) => all(Kind::Group, method, query, limits),
        ("users", Some(id)) if id.eq_ignore_ascii_case(".search") => search(Some(Kind::User), method),
        ("groups", Some(id)) if id.eq_ignore_ascii_case(".search") => search(Some(Kind::Group), method),
        ("users", Some(id)) => one(Kind::User, method, id, query, limits),
        ("groups", Some(id)) => one(Kind::Group, method, id, query, limits),
        ("me", _) => Err(not_implemented("/Me")),
        ("bulk", None) => match *method {
            Method::POST => Ok(Operation::Bulk),
            _ => Err(NoRoute::Method { allow: "POST" }),
        },
        (".search", None) => search(None, method),
        _ => Err(not_found(base)),
    }
}

/// What this service can do is told whole (RFC 7644 section 4): whoever filters must not take that for the filter's result.
fn discover(method: &Method, query: Option<&str>, operation: Operation) -> Result<Operation, NoRoute> {
    match *method {
        Method::GET | Method::HEAD if query::filters(query) => {
            let detail = "this endpoint takes no filter (RFC 7644 section 4): ask without one";
            Err(NoRoute::Error(Error::new(StatusCode::FORBIDDEN, detail)))
        }
        Method::GET | Method::HEAD => Ok(operation),
        _ => Err(NoRoute::Method { allow: "GET, HEAD" }),
    }
}

fn search(kind: Option<Kind>, method: &Method) -> Result<Operation, NoRoute> {
    match *method {
        Method::POST => Ok(Operation::Search(kind)),
        _ => Err(NoRoute::Method { allow: "POST" }),
    }
}

fn all(kind: Kind, method: &Method, query: Option<&str>, limits: &Limits) -> Result<Operation, NoRoute> {
    match *method {
        Method::GET | Method::HEAD => Query::parse(query, kind.resource_type(), limits)
            .map(|query| Operation::List(kind, Box::new(query)))
            .map_err(NoRoute::Error),
        Method::POST => Ok(Operation::Create(kind, projection(kind, query, limits)?)),
        _ => Err(NoRoute::Method { allow: "GET, HEAD, POST" }),
    }
}

fn one(
    kind: Kind,
    method: &Method,
    id: String,
    query: Option<&str>,
    limits: &Limits,
) -> Result<Operation, NoRoute> {
    let projection = || projection(kind, query, limits);
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::Get { kind, id, projection: projection()? }),
        Method::PUT => Ok(Operation::Replace { kind, id, projection: projection()? }),
        Method::PATCH => Ok(Operation::Patch { kind, id, projection: projection()? }),
        Method::DELETE => Ok(Operation::Delete { kind, id }),
        _ => Err(NoRoute::Method { allow: "GET, HEAD, PUT, PATCH, DELETE" }),
    }
}

fn projection(kind: Kind, query: Option<&str>, limits: &Limits) -> Result<Projection, NoRoute> {
    Projection::parse(query, kind.resource_type(), limits).map_err(NoRoute::Error)
}

/// The decoded segments below the base; none when the path is elsewhere or is no UTF-8.
fn segments(base: &str, path: &str) -> Option<Vec<String>> {
    let mut rest = path.split('/').filter(|segment| !segment.is_empty());
    for expected in base.split('/').filter(|segment| !segment.is_empty()) {
        if rest.next()? != expected {
            return None;
        }
    }
    rest.map(|segment| Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned())).collect()
}

/// Words that stand in addresses of SCIM, whatever is typed before and behind them.
const KNOWN: [&str; 14] = [
    "scim",
    "v2",
    "v1",
    "api",
    "users",
    "groups",
    "schemas",
    "resourcetypes",
    "serviceproviderconfig",
    "bulk",
    "me",
    ".search",
    "oauth2",
    "token",
];

/// A path as far as it names nobody, for the log: a Tenant URL that is wrong is seen by it.
pub fn known_part(base: &str, path: &str) -> String {
    const MOST_SEGMENTS: usize = 8;
    let mut shown = String::new();
    for (number, segment) in path.split('/').filter(|segment| !segment.is_empty()).enumerate() {
        shown.push('/');
        let is_known = base.split('/').chain(KNOWN).any(|known| known.eq_ignore_ascii_case(segment));
        if !is_known || number == MOST_SEGMENTS {
            shown.push('…');
            break;
        }
        shown.push_str(segment);
    }
    if shown.is_empty() { "/".to_owned() } else { shown }
}

fn not_found(base: &str) -> NoRoute {
    NoRoute::Error(Error::not_found(format!(
        "no such endpoint; SCIM begins at {base} here: compare the Tenant URL in Entra"
    )))
}

fn not_implemented(what: &str) -> NoRoute {
    let detail = format!("{what} is not supported by this version of the bridge");
    NoRoute::Error(Error::new(StatusCode::NOT_IMPLEMENTED, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, target: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        match route(&method, "/scim/v2", path, query, &Limits::default()) {
            Ok(operation) => match operation.id() {
                Some(id) => format!("{} {id}", operation.name()),
                None => operation.name().to_owned(),
            },
            Err(NoRoute::Error(error)) => error.status.as_u16().to_string(),
            Err(NoRoute::Method { allow }) => format!("405 {allow}"),
        }
    }

    #[test]
    fn a_path_is_known_until_it_may_name_somebody() {
        let long = "/scim".repeat(1000);
        for (path, shown) in [
            ("/scim/v2/scim/v2/Users", "/scim/v2/scim/v2/Users"),
            ("/scim/v2/Users/jo@example.com/x", "/scim/v2/Users/…"),
            ("/SCIM/users/../jo", "/SCIM/users/…"),
            ("//tenant//Users", "/tenant/Users"),
            ("/jo", "/…"),
            ("/%0a", "/…"),
            ("/", "/"),
            (&long, "/scim/scim/scim/scim/scim/scim/scim/scim/…"),
        ] {
            assert_eq!(known_part("/tenant/v2", path), shown);
        }
    }

    #[test]
    fn requests_find_their_operation() {
        for (method, target, expected) in [
            ("GET", "/scim/v2/Users", "list-users"),
            ("HEAD", "/scim/v2/Users", "list-users"),
            ("GET", "/scim/v2/Users/?filter=UserName+eq+%22a%22", "find-users"),
            ("GET", "//scim/v2//Users//1/", "get-user 1"),
            ("GET", "/scim/v2/users/auth0%7C1", "get-user auth0|1"),
            ("GET", "/scim/v2/Users/a%2F..%2Fb", "get-user a/../b"),
            ("POST", "/scim/v2/Users?aadOptscim062020", "create-user"),
            ("PATCH", "/scim/v2/Users/1", "patch-user 1"),
            ("PUT", "/scim/v2/Users/1", "replace-user 1"),
            ("DELETE", "/scim/v2/Users/1", "delete-user 1"),
            ("GET", "/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "schemas"),
            ("GET", "/scim/v2/Schemas?count=1&attributes=%FF", "schemas"),
            ("GET", "/scim/v2/Schemas?filter=name+eq+%22User%22", "403"),
            ("GET", "/scim/v2/ResourceTypes/User?filter=x", "403"),
            ("HEAD", "/scim/v2/ServiceProviderConfig?filter=x", "403"),
            ("DELETE", "/scim/v2/Users", "405 GET, HEAD, POST"),
            ("POST", "/scim/v2/Schemas", "405 GET, HEAD"),
            ("POST", "/scim/v2/bulk/", "bulk"),
            ("GET", "/scim/v2/Bulk", "405 POST"),
            ("POST", "/scim/v2/.search", "search"),
            ("POST", "/scim/v2/Groups/.search", "search"),
            ("POST", "/scim/v2/Users/.search", "search"),
            ("GET", "/scim/v2/Users/.search", "405 POST"),
            ("GET", "/scim/v2/Me", "501"),
            ("GET", "/scim/v2/Groups?filter=displayName+eq+%22x%22", "find-groups"),
            ("GET", "/scim/v2/Groups/1", "get-group 1"),
            ("POST", "/scim/v2/Groups", "create-group"),
            ("GET", "/scim/v2", "404"),
            ("GET", "/scim/v2/Users/1/2", "404"),
            ("GET", "/other/Users", "404"),
            ("GET", "/scim/v2/Users/%FF", "404"),
            ("GET", "/scim/v2/Users?filter=userName+eq", "400"),
        ] {
            assert_eq!(routed(method, target), expected, "{method} {target}");
        }
    }
}
