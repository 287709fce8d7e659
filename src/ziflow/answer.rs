//! What the body of an answer says: a page of people, nobody, a confirmed write.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::ziflow::error::Error;
use crate::ziflow::model::User;
use crate::ziflow::transport::{Answer, Body};

/// One page of `GET /users`.
#[derive(Debug)]
pub struct Page {
    pub users: Vec<User>,
    /// Whether Ziflow says that more follow; it may not say.
    pub has_more: Option<bool>,
    /// The ids of the accounts that all on the page belong to, as far as Ziflow shows accounts. One login may belong
    /// to several, so there may be more than one.
    pub accounts: BTreeSet<String>,
    /// When it was asked for.
    pub asked: Instant,
}

/// A confirmed write.
#[derive(Debug)]
pub enum Written {
    /// The answer shows the person.
    User(Box<User>),
    /// The answer shows nobody: the person must be read back.
    Unseen,
}

pub(super) fn same_address(user: User, email: &str) -> Result<User, Error> {
    if user.email.to_lowercase() == email.to_lowercase() {
        return Ok(user);
    }
    Err(Error::Nonsense { reason: "GET /users/{email} answered with another person".to_owned() })
}

/// An unknown id may also be answered with 400.
pub(super) fn says_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::GONE)
}

/// "Nobody" in the form of a 200.
pub(super) fn nobody(body: &Body) -> bool {
    match body {
        Body::Empty | Body::Json(Value::Null) => true,
        Body::Json(Value::Object(object)) => object.is_empty(),
        _ => false,
    }
}

/// A page as it must be: one entry that is no user would be a person lost, so it spoils the page.
pub fn page(body: &Value, asked: Instant) -> Option<Page> {
    let users = body.get("users")?.as_array()?;
    let accounts = users.iter().filter_map(accounts).reduce(|all, own| &all & &own).unwrap_or_default();
    let users = users.iter().map(User::from_json).collect::<Option<Vec<_>>>()?;
    Some(Page { users, has_more: body.get("has_more").and_then(Value::as_bool), accounts, asked })
}

/// The accounts that a user object shows; none when it shows nothing about them.
fn accounts(user: &Value) -> Option<BTreeSet<String>> {
    let accounts = user.get("accounts")?.as_array().filter(|accounts| !accounts.is_empty())?;
    let id = |account: &Value| match account.get("id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    };
    Some(accounts.iter().filter_map(id).collect())
}

/// What a 2xx answer to a write is worth.
pub(super) fn written(answer: &Answer, expected: impl Fn(&User) -> bool) -> Result<Written, Error> {
    match &answer.body {
        // A web page or half a body may come from anybody on the way.
        Body::Text { html: true, .. } | Body::Cut(_) => Err(Error::Unknown { reason: answer.kind() }),
        Body::Text { .. } | Body::Empty => Ok(Written::Unseen),
        Body::Json(body) => Ok(match User::from_json(body).filter(expected) {
            // `{id, email}` alone would read as a person without a name or roles.
            Some(user) if body.get("roles").is_some() => Written::User(Box::new(user)),
            _ => Written::Unseen,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_whole_or_none() {
        let page = |body: Value| page(&body, Instant::now());
        let user = json!({"id": "1", "email": "a@b.c"});
        assert_eq!(page(json!({"users": [user], "has_more": true})).unwrap().has_more, Some(true));
        assert_eq!(page(json!({"users": []})).unwrap().has_more, None);
        for broken in
            [json!({}), json!([]), json!({"users": 1}), json!({"users": [user, 7]}), json!({"users": [{}]})]
        {
            assert!(page(broken.clone()).is_none(), "{broken}");
        }
    }

    #[test]
    fn the_account_is_the_one_that_all_belong_to() {
        let user = |accounts: Value| json!({"id": "1", "email": "a@b.c", "accounts": accounts});
        let id = |id: &str| json!({"id": id, "name": "x"});
        for (users, expected) in [
            (vec![user(json!([id("1"), id("2")])), user(json!([id("2")]))], vec!["2"]),
            (vec![user(json!([{"id": 7}])), user(Value::Null), user(json!([]))], vec!["7"]),
            (vec![user(json!([id("1")])), user(json!([id("2")]))], vec![]),
            (vec![user(Value::Null)], vec![]),
        ] {
            let found = page(&json!({"users": users}), Instant::now()).unwrap().accounts;
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{users:?}");
        }
    }
}
