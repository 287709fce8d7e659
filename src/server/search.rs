//! `.search` (RFC 7644 section 3.4.3): lists whose query stands in the body, of people, of groups, or of both.

use serde_json::Value;

use crate::bridge::Users;
use crate::scim::error::Error;
use crate::scim::query::{Query, list_response};
use crate::server::answer::Server;
use crate::server::reply::Reply;
use crate::server::route::Kind;

impl Server {
    /// At the root: people first, then groups. Whom a filter cannot mean, because it speaks of what they do not have, it
    /// does not find.
    pub(super) async fn search(
        &self,
        users: &Users<'_>,
        kind: Option<Kind>,
        body: Value,
    ) -> Result<Reply, Error> {
        let read = |kind: Kind, body| Query::from_search(body, kind.resource_type(), &self.filter_limits());
        if let Some(kind) = kind {
            return self.list(users, kind, read(kind, body)?).await;
        }
        match (read(Kind::User, body.clone()), read(Kind::Group, body)) {
            (Ok(people), Ok(groups)) => self.search_both(users, people, groups).await,
            (Ok(people), Err(_)) => self.list(users, Kind::User, people).await,
            (Err(_), Ok(groups)) => self.list(users, Kind::Group, groups).await,
            (Err(error), Err(_)) => Err(error),
        }
    }

    async fn search_both(
        &self,
        users: &Users<'_>,
        mut people: Query,
        mut groups: Query,
    ) -> Result<Reply, Error> {
        if people.sort.is_some() || people.cursor.is_some() {
            return Err(Error::invalid_value(
                "a search of people and groups together is neither sorted nor paged by cursor: use /Users/.search or \
                 /Groups/.search",
            ));
        }
        let most = self.settings.limits.max_results;
        let (start, count) = (people.start_index, people.count.map_or(most, |count| count.min(most)));
        people.count = Some(count);
        let (all_people, mut found) = users.list(&people).await?.into_page(&people);
        // What is left of the page begins where the people end.
        groups.start_index = start.saturating_sub(all_people).max(1);
        groups.count = Some(count.saturating_sub(found.len()));
        let (all_groups, more) = users.groups().list(&groups).await?.into_page(&groups);
        found.extend(more);
        Ok(Reply::ok(list_response(all_people + all_groups, start, found)))
    }
}
