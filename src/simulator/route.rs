//! Which endpoint a path names. Segments are split before they are percent-decoded, so that an id whose `/` was
//! not encoded ends up at another route, as it would at the real Ziflow.

use std::fmt;

use percent_encoding::percent_decode_str;

/// An endpoint of the simulated API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Users,
    User,
    Contacts,
    Contact,
    Guests,
    Guest,
    /// No endpoint at all.
    Other,
}

impl Route {
    pub const ALL: &'static [Self] =
        &[Self::Users, Self::User, Self::Contacts, Self::Contact, Self::Guests, Self::Guest, Self::Other];

    /// The route as people write it.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Users => "/users",
            Self::User => "/users/{id}",
            Self::Contacts => "/contacts",
            Self::Contact => "/contacts/{id}",
            Self::Guests => "/guests",
            Self::Guest => "/guests/{id}",
            Self::Other => "other",
        }
    }

    /// The route of a pattern; the leading slash may be missing.
    pub fn from_pattern(pattern: &str) -> Option<Self> {
        let bare = |pattern: &str| pattern.trim_start_matches('/').to_owned();
        Self::ALL.iter().copied().find(|route| bare(route.pattern()) == bare(pattern))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern())
    }
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The simulated API: the route, and the identifier in it or an empty text.
    Api(Route, String),
    /// The handles for tests, without the leading `__`: `people`, or `people` and an id.
    Control(String, Option<String>),
}

impl Target {
    pub(super) fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments.as_slice() {
            [name] if name.starts_with("__") => Self::Control(control(name), None),
            [name, id] if name.starts_with("__") => Self::Control(control(name), decoded(id)),
            ["v1", name] => Self::Api(named(name, false), String::new()),
            ["v1", name, id] => match decoded(id) {
                Some(id) if !id.is_empty() => Self::Api(named(name, true), id),
                _ => Self::Api(Route::Other, String::new()),
            },
            _ => Self::Api(Route::Other, String::new()),
        }
    }
}

/// The pairs of a query. `+` is a blank here, and nowhere else in a URL.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let text = |raw: &str| percent_decode_str(&raw.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

fn control(name: &str) -> String {
    name.trim_start_matches('_').to_owned()
}

fn decoded(segment: &str) -> Option<String> {
    Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned())
}

fn named(name: &str, with_id: bool) -> Route {
    match (name, with_id) {
        ("users", false) => Route::Users,
        ("users", true) => Route::User,
        ("contacts", false) => Route::Contacts,
        ("contacts", true) => Route::Contact,
        ("guests", false) => Route::Guests,
        ("guests", true) => Route::Guest,
        _ => Route::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_are_split() {
        let api = |route, id: &str| Target::Api(route, id.to_owned());
        let control = |name: &str, id: Option<&str>| Target::Control(name.into(), id.map(str::to_owned));
        let cases = [
            ("/v1/users", api(Route::Users, "")),
            ("/v1/users/auth0%7C12", api(Route::User, "auth0|12")),
            ("/v1/users/a%2Fb%3Fc+d%20e", api(Route::User, "a/b?c+d e")),
            ("/v1/users/a%252Fb", api(Route::User, "a%2Fb")),
            ("/v1/users/a/b", api(Route::Other, "")),
            ("/v1/users/", api(Route::Other, "")),
            ("/v1//users", api(Route::Other, "users")),
            ("/v1/users/%FF", api(Route::Other, "")),
            ("/v1/guests/7", api(Route::Guest, "7")),
            ("/v1/contacts", api(Route::Contacts, "")),
            ("/v2/users", api(Route::Other, "")),
            ("/__calls", control("calls", None)),
            ("/__people/a%2Fb", control("people", Some("a/b"))),
        ];
        for (path, target) in cases {
            assert_eq!(Target::of(path), target, "{path}");
        }
    }

    #[test]
    fn patterns_are_read_as_they_are_printed() {
        for route in Route::ALL {
            assert_eq!(Route::from_pattern(route.pattern()), Some(*route));
        }
        assert_eq!(Route::from_pattern("users/{id}"), Some(Route::User));
        assert_eq!(Route::from_pattern("/user"), None);
    }

    #[test]
    fn a_query_is_decoded_after_it_is_split() {
        assert_eq!(
            pairs("a=b%26c+d&e&newOwner=auth0%7C1%2B2"),
            [
                ("a".to_owned(), "b&c d".to_owned()),
                ("e".to_owned(), String::new()),
                ("newOwner".to_owned(), "auth0|1+2".to_owned()),
            ]
        );
    }
}
