//! What is done with one resource, a person or a group, alone and within a bulk request.

use http::StatusCode;
use serde_json::Value;
use tracing::warn;

use crate::bridge::Users;
use crate::bridge::change::Task;
use crate::scim::error::{Error, without_values};
use crate::scim::members;
use crate::scim::patch::Patch;
use crate::scim::query::Projection;
use crate::scim::resource::Resource;
use crate::scim::schema::{GROUP_TYPE, ResourceType, USER_TYPE};
use crate::server::reply::Reply;
use crate::server::route::Kind;

pub(super) async fn get(
    users: &Users<'_>,
    kind: Kind,
    id: &str,
    projection: &Projection,
) -> Result<Resource, Error> {
    match kind {
        Kind::User => users.get(id).await,
        Kind::Group => users.groups().get(id, projection.shows("members")).await,
    }
}

pub(super) async fn create(users: &Users<'_>, kind: Kind, body: Value) -> Result<Resource, Error> {
    let users = users.to_change(task(kind, "create-user", "create-group", None));
    let made = match kind {
        Kind::User => async { users.create(read(body, &USER_TYPE)?).await }.await,
        Kind::Group => {
            async {
                let (group, members) = read_group(body)?;
                users.groups().create(group, members).await
            }
            .await
        }
    };
    users.ended(made, id)
}

pub(super) async fn replace(
    users: &Users<'_>,
    kind: Kind,
    asked: &str,
    body: Value,
) -> Result<Resource, Error> {
    let users = users.to_change(task(kind, "replace-user", "replace-group", Some(asked)));
    let replaced = match kind {
        Kind::User => async { users.replace(asked, read(body, &USER_TYPE)?).await }.await,
        Kind::Group => {
            async {
                let (group, members) = read_group(body)?;
                users.groups().replace(asked, group, members).await
            }
            .await
        }
    };
    users.ended(replaced, id)
}

/// A group may have many members: it is shown only to those who ask for a part of it.
pub(super) async fn patch(
    users: &Users<'_>,
    kind: Kind,
    id: &str,
    body: Value,
    projection: &Projection,
) -> Result<Reply, Error> {
    let with_members = projection.names() && projection.shows("members");
    let after = patched(users, kind, id, body, with_members).await?;
    if kind == Kind::Group && !projection.names() {
        return Ok(Reply::no_content());
    }
    Ok(Reply::resource(StatusCode::OK, kind, after, projection))
}

/// The resource after a PATCH; a group with its members if they are wanted.
pub(super) async fn patched(
    users: &Users<'_>,
    kind: Kind,
    asked: &str,
    body: Value,
    with_members: bool,
) -> Result<Resource, Error> {
    let users = users.to_change(task(kind, "patch-user", "patch-group", Some(asked)));
    let after = async {
        let patch = Patch::parse(body, kind.resource_type())?;
        match kind {
            Kind::User => users.patch(asked, &patch).await,
            Kind::Group => users.groups().patch(asked, patch, with_members).await,
        }
    }
    .await;
    users.ended(after, id)
}

pub(super) async fn delete(users: &Users<'_>, kind: Kind, asked: &str) -> Result<(), Error> {
    let users = users.to_change(task(kind, "delete-user", "delete-group", Some(asked)));
    let deleted = match kind {
        Kind::User => users.delete(asked).await,
        Kind::Group => users.groups().delete(asked).await,
    };
    users.ended(deleted, |()| None)
}

/// What is to be changed, in the words of the log.
fn task(kind: Kind, user: &'static str, group: &'static str, id: Option<&str>) -> Task {
    let action = match kind {
        Kind::User => user,
        Kind::Group => group,
    };
    Task { action, kind: kind.resource_type().name, id: id.map(str::to_owned) }
}

fn id(resource: &Resource) -> Option<String> {
    resource.as_map().get("id").and_then(Value::as_str).map(str::to_owned)
}

/// A body as a resource; what it holds and this service does not know is named in the log.
fn read(body: Value, rt: &'static ResourceType) -> Result<Resource, Error> {
    let (resource, warnings) = Resource::from_body(body, rt)?;
    for warning in warnings {
        warn!(warning = without_values(&warning.to_string()), "part of a body is ignored");
    }
    Ok(resource)
}

/// A group, its members apart: none when the body does not speak of them.
fn read_group(body: Value) -> Result<(Resource, Option<Vec<String>>), Error> {
    let members = members::in_body(&body)?;
    Ok((read(body, &GROUP_TYPE)?, members))
}
