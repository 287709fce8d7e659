//! Method, path and query → `Operation`. Pure.
//!
//! Paths are split before they are decoded, so that no id can reach another route. Doubled and trailing slashes
//! are tolerated: Entra appends resource paths to a tenant URL that may end with one.

use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::scim::error::Error;
use crate::scim::filter::Limits;
use crate::scim::query::{Projection, Query};
use crate::scim::schema::USER_TYPE;

/// What a request asks for.
#[derive(Debug)]
pub enum Operation {
    ServiceProviderConfig,
    ResourceTypes,
    ResourceType(String),
    Schemas,
    Schema(String),
    ListGroups,
    ListUsers(Box<Query>),
    CreateUser(Projection),
    GetUser {
        id: String,
        projection: Projection,
    },
    ReplaceUser {
        id: String,
        projection: Projection,
    },
    PatchUser {
        id: String,
        projection: Projection,
    },
    DeleteUser {
        id: String,
    },
    Bulk,
    /// A list request whose query stands in the body.
    Search,
}

impl Operation {
    /// A name for logs, without anybody in it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ServiceProviderConfig => "service-provider-config",
            Self::ResourceTypes | Self::ResourceType(_) => "resource-types",
            Self::Schemas | Self::Schema(_) => "schemas",
            Self::ListGroups => "list-groups",
            Self::ListUsers(query) if query.filter.is_some() => "find-users",
            Self::ListUsers(_) => "list-users",
            Self::CreateUser(_) => "create-user",
            Self::GetUser { .. } => "get-user",
            Self::ReplaceUser { .. } => "replace-user",
            Self::PatchUser { .. } => "patch-user",
            Self::DeleteUser { .. } => "delete-user",
            Self::Bulk => "bulk",
            Self::Search => "search",
        }
    }

    /// Whom it is about, by id.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::GetUser { id, .. }
            | Self::ReplaceUser { id, .. }
            | Self::PatchUser { id, .. }
            | Self::DeleteUser { id } => Some(id),
            _ => None,
        }
    }

    /// Whether it changes anything, and so must not stop half-way when the client goes away.
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::CreateUser(_)
                | Self::ReplaceUser { .. }
                | Self::PatchUser { .. }
                | Self::DeleteUser { .. }
                | Self::Bulk
        )
    }

    /// Whether it takes a body.
    pub fn takes_body(&self) -> bool {
        matches!(
            self,
            Self::CreateUser(_)
                | Self::ReplaceUser { .. }
                | Self::PatchUser { .. }
                | Self::Bulk
                | Self::Search
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
        ("serviceproviderconfig", None) => get(method, Operation::ServiceProviderConfig),
        ("resourcetypes", None) => get(method, Operation::ResourceTypes),
        ("resourcetypes", Some(id)) => get(method, Operation::ResourceType(id)),
        ("schemas", None) => get(method, Operation::Schemas),
        ("schemas", Some(id)) => get(method, Operation::Schema(id)),
        ("users", None) => users(method, query, limits),
        ("users", Some(id)) if id.eq_ignore_ascii_case(".search") => search(method),
        ("users", Some(id)) => user(method, id, query),
        ("me", _) => Err(not_implemented("/Me")),
        ("groups", id) => groups(method, id),
        ("bulk", None) => match *method {
            Method::POST => Ok(Operation::Bulk),
            _ => Err(NoRoute::Method { allow: "POST" }),
        },
        (".search", None) => search(method),
        _ => Err(not_found(base)),
    }
}

/// There are no groups yet, and to say so is safe: Entra's Test Connection may ask for one, and an error there
/// would keep the operator from saving the settings in which groups are switched off.
fn groups(method: &Method, id: Option<String>) -> Result<Operation, NoRoute> {
    match (method, id) {
        (&Method::GET | &Method::HEAD, None) => Ok(Operation::ListGroups),
        (&Method::GET | &Method::HEAD, Some(_)) => {
            Err(NoRoute::Error(Error::not_found("there is no such group")))
        }
        _ => Err(not_implemented("provisioning of groups (switch it off in Entra's mappings)")),
    }
}

fn get(method: &Method, operation: Operation) -> Result<Operation, NoRoute> {
    match *method {
        Method::GET | Method::HEAD => Ok(operation),
        _ => Err(NoRoute::Method { allow: "GET, HEAD" }),
    }
}

fn search(method: &Method) -> Result<Operation, NoRoute> {
    match *method {
        Method::POST => Ok(Operation::Search),
        _ => Err(NoRoute::Method { allow: "POST" }),
    }
}

fn users(method: &Method, query: Option<&str>, limits: &Limits) -> Result<Operation, NoRoute> {
    match *method {
        Method::GET | Method::HEAD => Query::parse(query, &USER_TYPE, limits)
            .map(|query| Operation::ListUsers(Box::new(query)))
            .map_err(NoRoute::Error),
        Method::POST => projection(query).map(Operation::CreateUser),
        _ => Err(NoRoute::Method { allow: "GET, HEAD, POST" }),
    }
}

fn user(method: &Method, id: String, query: Option<&str>) -> Result<Operation, NoRoute> {
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::GetUser { id, projection: projection(query)? }),
        Method::PUT => Ok(Operation::ReplaceUser { id, projection: projection(query)? }),
        Method::PATCH => Ok(Operation::PatchUser { id, projection: projection(query)? }),
        Method::DELETE => Ok(Operation::DeleteUser { id }),
        _ => Err(NoRoute::Method { allow: "GET, HEAD, PUT, PATCH, DELETE" }),
    }
}

fn projection(query: Option<&str>) -> Result<Projection, NoRoute> {
    Projection::parse(query, &USER_TYPE).map_err(NoRoute::Error)
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
            ("DELETE", "/scim/v2/Users", "405 GET, HEAD, POST"),
            ("POST", "/scim/v2/Schemas", "405 GET, HEAD"),
            ("POST", "/scim/v2/bulk/", "bulk"),
            ("GET", "/scim/v2/Bulk", "405 POST"),
            ("POST", "/scim/v2/.search", "search"),
            ("POST", "/scim/v2/Users/.search", "search"),
            ("GET", "/scim/v2/Users/.search", "405 POST"),
            ("GET", "/scim/v2/Me", "501"),
            ("GET", "/scim/v2/Groups?filter=displayName+eq+%22x%22", "list-groups"),
            ("GET", "/scim/v2/Groups/1", "404"),
            ("POST", "/scim/v2/Groups", "501"),
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
