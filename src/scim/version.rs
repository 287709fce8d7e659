//! Versions of resources (RFC 7644 section 3.14): weak entity tags, and the conditions that a client puts on them.

use http::StatusCode;

use crate::scim::error::Error;

/// What a client says about the version it knows (RFC 9110 sections 13.1.1 and 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`: go on only if the resource is this one.
    pub matches: Option<Tags>,
    /// `If-None-Match`: go on only if the resource is another one.
    pub differs: Option<Tags>,
}

/// A list of entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any version at all.
    Any,
    These(Vec<String>),
}

impl Conditions {
    /// Whether the client knows this version already, so that it need not be sent.
    pub fn knows(&self, version: &str) -> bool {
        self.differs.as_ref().is_some_and(|tags| tags.hold(version))
    }

    /// Refuses (412) a change of a resource that is not the one the client means.
    pub fn check(&self, version: &str) -> Result<(), Error> {
        let another = self.matches.as_ref().is_some_and(|tags| !tags.hold(version));
        if another || self.knows(version) {
            return Err(Error::new(
                StatusCode::PRECONDITION_FAILED,
                format!(
                    "the resource has changed: its version is {version}; read it again before changing it"
                ),
            ));
        }
        Ok(())
    }
}

impl Tags {
    /// Reads the value of `If-Match` or `If-None-Match`.
    pub fn parse(header: &str) -> Result<Self, Error> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = header.trim();
        while !rest.is_empty() {
            let (tag, after) = entity_tag(rest).ok_or_else(|| {
                Error::invalid_value("If-Match and If-None-Match take `*` or entity tags such as W/\"1\"")
            })?;
            tags.push(tag.to_owned());
            rest = after.trim_start_matches([',', ' ', '\t']);
        }
        Ok(Self::These(tags))
    }

    /// Weak comparison (RFC 9110 section 8.8.3.2): all versions here are weak, so the strong one would never match.
    fn hold(&self, version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| opaque(tag) == opaque(version)),
        }
    }
}

/// The first tag and what follows it. A comma may stand inside the quotes.
fn entity_tag(text: &str) -> Option<(&str, &str)> {
    let quoted = opaque(text);
    let inside = quoted.strip_prefix('"')?;
    let length = text.len() - quoted.len() + inside.find('"')? + 2;
    text.split_at_checked(length)
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        for (header, version, holds) in [
            ("*", "W/\"1\"", true),
            ("W/\"1\"", "W/\"1\"", true),
            ("\"1\"", "W/\"1\"", true),
            ("\"2\", W/\"1\"", "W/\"1\"", true),
            ("\"a,b\" ,W/\"1\"", "W/\"a,b\"", true),
            ("W/\"2\"", "W/\"1\"", false),
            ("", "W/\"1\"", false),
        ] {
            assert_eq!(Tags::parse(header).unwrap().hold(version), holds, "{header}");
        }
        for bad in ["1", "W/1", "\"1", "W/\"1\" x"] {
            assert!(Tags::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_stop_what_was_not_meant() {
        let tags = |header: &str| Some(Tags::parse(header).unwrap());
        let check = |matches: Option<Tags>, differs: Option<Tags>| {
            Conditions { matches, differs }.check("W/\"1\"").map_err(|error| error.status.as_u16())
        };
        assert_eq!(check(None, None), Ok(()));
        assert_eq!(check(tags("W/\"1\""), None), Ok(()));
        assert_eq!(check(tags("W/\"2\""), None), Err(412));
        assert_eq!(check(None, tags("*")), Err(412));
        assert_eq!(check(None, tags("W/\"2\"")), Ok(()));
    }
}
