//! Attribute paths (RFC 7644 figure 7): `name.givenName`, `emails[type eq "work"].value`, with or without the
//! URN of a schema in front. A parsed path has canonical spelling and knows its attribute's definition;
//! printing it gives a text that parses to the same path.

use std::fmt;

use crate::scim::error::Error;
use crate::scim::filter::Filter;
use crate::scim::grammar::{self, Limits, Problem, RawPath};
use crate::scim::schema::{Attribute, Kind, ResourceType, Schema};

/// A place in a resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    /// The URN of the schema when it is not the core schema.
    pub schema: Option<String>,
    /// In canonical spelling; empty for the whole object of `schema`.
    pub attribute: String,
    /// Selects among the values of the attribute.
    pub filter: Option<Box<Filter>>,
    pub sub: Option<String>,
    definition: Option<&'static Attribute>,
    sub_definition: Option<&'static Attribute>,
}

/// Why a text is no path of this resource type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Of the character at fault; the first has 1.
    pub column: usize,
    pub message: String,
}

/// What the names in a path belong to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    Resource(&'static ResourceType),
    /// Inside a bracket: the attribute before it, if it is declared.
    Element(Option<&'static Attribute>),
}

impl Path {
    /// Reads a path. Attributes under an undeclared URN are accepted as they are; an unknown attribute of a
    /// declared schema is an error. An attribute of an extension may be named without its URN, as Entra's
    /// reference check does (`manager eq "…"`).
    pub fn parse(text: &str, rt: &'static ResourceType) -> Result<Self, PathError> {
        grammar::parse_path(text, &Limits::default())
            .and_then(|raw| Self::resolve(raw, Scope::Resource(rt)))
            .map_err(|problem| PathError { column: problem.column(text), message: problem.message })
    }

    /// The definition of the attribute; `None` under an undeclared URN and for a whole schema object.
    pub fn definition(&self) -> Option<&'static Attribute> {
        self.definition
    }

    /// The definition of what the path ends in: the sub-attribute if there is one.
    pub fn leaf(&self) -> Option<&'static Attribute> {
        if self.sub.is_some() { self.sub_definition } else { self.definition }
    }

    /// Whether the path is the whole object of a schema other than the core schema.
    pub fn is_schema_object(&self) -> bool {
        self.attribute.is_empty()
    }

    pub(super) fn resolve(raw: RawPath<'_>, scope: Scope) -> Result<Self, Problem> {
        let mut path = match scope {
            Scope::Resource(rt) => in_resource(&raw, rt)?,
            Scope::Element(parent) => in_element(&raw, parent)?,
        };
        if let Some((at, sub)) = raw.sub {
            path.descend(at, sub)?;
        }
        if let Some(filter) = raw.filter {
            path.check_selectable(raw.at)?;
            path.filter = Some(Box::new(Filter::resolve(*filter, Scope::Element(path.definition))?));
        }
        Ok(path)
    }

    /// The path of a declared attribute.
    pub(super) fn of(schema: Option<&str>, definition: &'static Attribute) -> Self {
        Self {
            schema: schema.map(str::to_owned),
            attribute: definition.name.to_owned(),
            filter: None,
            sub: None,
            definition: Some(definition),
            sub_definition: None,
        }
    }

    /// The path of an attribute under a URN that no schema declares.
    pub(super) fn undeclared(urn: &str, attribute: &str) -> Self {
        Self {
            schema: Some(urn.to_owned()),
            attribute: attribute.to_owned(),
            filter: None,
            sub: None,
            definition: None,
            sub_definition: None,
        }
    }

    /// The attribute as a whole, without filter and sub-attribute.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self { filter: None, sub: None, sub_definition: None, ..self.clone() }
    }

    /// A name inside the brackets of an attribute.
    pub(super) fn in_element(parent: Option<&'static Attribute>, name: &str) -> Self {
        match parent.and_then(|parent| parent.sub(name)) {
            Some(sub) => Self::of(None, sub),
            None => Self { schema: None, ..Self::undeclared("", name) },
        }
    }

    /// The same path with a sub-attribute.
    pub(super) fn with_sub(&self, sub: &'static Attribute) -> Self {
        Self { sub: Some(sub.name.to_owned()), sub_definition: Some(sub), ..self.clone() }
    }

    /// The same path with a filter.
    pub(super) fn with_filter(&self, filter: Filter) -> Self {
        Self { filter: Some(Box::new(filter)), ..self.clone() }
    }

    /// A complex attribute compared directly means its `value`, with a bracket behind it or without.
    pub(super) fn end_in_value(&mut self) {
        if let (None, Some(value)) = (&self.sub, self.definition.and_then(|attribute| attribute.sub("value")))
        {
            *self = self.with_sub(value);
        }
    }

    fn descend(&mut self, at: usize, sub: &str) -> Result<(), Problem> {
        check_name(at, sub)?;
        self.sub_definition = match self.definition {
            None => None,
            Some(parent) => Some(sub_attribute(parent, at, sub)?),
        };
        self.sub = Some(self.sub_definition.map_or_else(|| sub.to_owned(), |found| found.name.to_owned()));
        Ok(())
    }

    fn check_selectable(&self, at: usize) -> Result<(), Problem> {
        let simple = |attribute: &Attribute| attribute.kind != Kind::Complex && !attribute.multi_valued;
        if self.is_schema_object() || self.definition.is_some_and(simple) {
            return Err(Problem::new(
                at,
                format!("{self} has a single value, so a filter in brackets cannot select from it"),
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(urn) = &self.schema {
            f.write_str(urn)?;
            if !self.is_schema_object() {
                f.write_str(":")?;
            }
        }
        f.write_str(&self.attribute)?;
        if let Some(filter) = &self.filter {
            write!(f, "[{filter}]")?;
        }
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

/// As it prints: the definitions are in the schema.
impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&format_args!("{self}")).finish()
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for PathError {}

impl From<PathError> for Error {
    fn from(error: PathError) -> Self {
        Self::invalid_path(error.to_string())
    }
}

/// The nearest of the right names, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let far = word.chars().count().div_ceil(3);
    names
        .map(|name| (strsim::damerau_levenshtein(&word, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn in_resource(raw: &RawPath<'_>, rt: &'static ResourceType) -> Result<Path, Problem> {
    let (schema, rest) = split_urn(raw.name, rt);
    let at = raw.at + raw.name.len() - rest.len();
    let mut path = match schema {
        Prefix::Whole(urn) => return whole_schema(urn, raw, rt),
        Prefix::Undeclared(urn) => return undeclared(raw, urn, rest, at),
        Prefix::Declared(schema) => {
            let (name, _) = head(rest);
            let urn = (schema.id != rt.schema.id).then_some(schema.id);
            let found = if urn.is_none() { rt.core_attribute(name) } else { schema.attribute(name) };
            Path::of(urn, found.ok_or_else(|| unknown(at, name, schema))?)
        }
        Prefix::Missing => unqualified(head(rest).0, at, rt)?,
    };
    follow_dot(&mut path, raw, rest, at)?;
    Ok(path)
}

/// A name without URN: of the core schema, or of the extension that has it.
fn unqualified(name: &str, at: usize, rt: &'static ResourceType) -> Result<Path, Problem> {
    if let Some(found) = rt.core_attribute(name) {
        return Ok(Path::of(None, found));
    }
    let extended = rt.extensions.iter().find_map(|schema| Some((schema.id, schema.attribute(name)?)));
    match extended {
        Some((urn, found)) => Ok(Path::of(Some(urn), found)),
        None => Err(unknown_in(at, name, rt)),
    }
}

fn whole_schema(urn: &str, raw: &RawPath<'_>, rt: &'static ResourceType) -> Result<Path, Problem> {
    if urn.eq_ignore_ascii_case(rt.schema.id) {
        return Err(Problem::new(
            raw.at,
            format!("{} names the whole resource: add `:` and an attribute", rt.schema.id),
        ));
    }
    let urn = rt.schema_of(urn).map_or(urn, |schema| schema.id);
    Ok(Path::undeclared(urn, ""))
}

fn undeclared(raw: &RawPath<'_>, urn: &str, rest: &str, at: usize) -> Result<Path, Problem> {
    let (name, _) = head(rest);
    check_name(at, name)?;
    let mut path = Path::undeclared(urn, name);
    follow_dot(&mut path, raw, rest, at)?;
    Ok(path)
}

fn in_element(raw: &RawPath<'_>, parent: Option<&'static Attribute>) -> Result<Path, Problem> {
    check_name(raw.at, raw.name)?;
    if raw.filter.is_some() {
        return Err(Problem::new(raw.at, "a bracket cannot stand within a bracket"));
    }
    let Some(parent) = parent else {
        return Ok(Path::in_element(None, raw.name));
    };
    if parent.kind == Kind::Complex {
        return sub_attribute(parent, raw.at, raw.name).map(|found| Path::of(None, found));
    }
    // The values of a simple multi-valued attribute are called `value`: RFC 7643 section 2.4.
    if raw.name.eq_ignore_ascii_case("value") {
        return Ok(Path { attribute: "value".to_owned(), ..Path::of(None, parent) });
    }
    Err(Problem::new(raw.at, format!("{} has plain values, which are called `value`", parent.name)))
}

enum Prefix<'a> {
    Missing,
    Declared(&'static Schema),
    Undeclared(&'a str),
    /// The text is a URN and nothing else.
    Whole(&'a str),
}

/// A declared URN is known by its text. Any other ends at its `:User` as schema URNs do, else at the last
/// colon, because the dots and colons within (`2.0:User`) say nothing.
fn split_urn<'a>(name: &'a str, rt: &'static ResourceType) -> (Prefix<'a>, &'a str) {
    if !is_urn(name) {
        return (Prefix::Missing, name);
    }
    for schema in rt.schemas() {
        match strip_prefix(name, schema.id) {
            Some("") => return (Prefix::Whole(name), ""),
            Some(rest) => {
                if let Some(rest) = rest.strip_prefix(':') {
                    return (Prefix::Declared(schema), rest);
                }
            }
            None => {}
        }
    }
    match name.rsplit_once(':') {
        Some((urn, rest)) if is_urn(urn) && !rest.eq_ignore_ascii_case(rt.name) => {
            (Prefix::Undeclared(urn), rest)
        }
        _ => (Prefix::Whole(name), ""),
    }
}

/// Whether a name begins like a URN rather than like an attribute.
pub(super) fn is_urn(name: &str) -> bool {
    strip_prefix(name, "urn:").is_some()
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn head(rest: &str) -> (&str, Option<&str>) {
    rest.split_once('.').map_or((rest, None), |(name, sub)| (name, Some(sub)))
}

fn follow_dot(path: &mut Path, raw: &RawPath<'_>, rest: &str, at: usize) -> Result<(), Problem> {
    let (name, Some(sub)) = head(rest) else { return Ok(()) };
    let at = at + name.len() + 1;
    if raw.filter.is_some() {
        return Err(Problem::new(at, "a bracket follows the attribute, not a sub-attribute"));
    }
    path.descend(at, sub)
}

fn sub_attribute(parent: &'static Attribute, at: usize, name: &str) -> Result<&'static Attribute, Problem> {
    parent.sub(name).ok_or_else(|| {
        let names = parent.sub_attributes.iter().map(|sub| sub.name);
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {:?}?", format!("{}.{near}", parent.name)),
            None if parent.sub_attributes.is_empty() => "it has no sub-attributes".to_owned(),
            None => format!("it has {}", list(parent)),
        };
        Problem::new(at, format!("{} has no sub-attribute {name:?}; {hint}", parent.name))
    })
}

/// The names of the sub-attributes, for error texts.
pub(super) fn list(parent: &Attribute) -> String {
    parent.sub_attributes.iter().map(|sub| sub.name).collect::<Vec<_>>().join(", ")
}

fn unknown(at: usize, name: &str, schema: &'static Schema) -> Problem {
    let hint = match nearest(name, schema.attributes.iter().map(|attribute| attribute.name)) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => String::new(),
    };
    Problem::new(at, format!("{} has no attribute {name:?}{hint}", schema.name))
}

/// Looks in every schema and below single complex attributes: people write `givenName` and mean
/// `name.givenName`.
fn unknown_in(at: usize, name: &str, rt: &'static ResourceType) -> Problem {
    let single =
        rt.schemas().flat_map(|schema| schema.attributes).filter(|attribute| !attribute.multi_valued);
    if let Some(parent) = single.into_iter().find(|attribute| attribute.sub(name).is_some()) {
        let right = parent.sub(name).map_or(name, |sub| sub.name);
        let right = format!("{}.{right}", parent.name);
        return Problem::new(at, format!("{} has no attribute {name:?}; did you mean {right:?}?", rt.name));
    }
    let common = ["id", "externalId", "meta"].into_iter();
    let names = rt.schemas().flat_map(|schema| schema.attributes).map(|attribute| attribute.name);
    let hint = match nearest(name, names.chain(common)) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => "; a custom attribute needs the URN of its schema in front".to_owned(),
    };
    Problem::new(at, format!("{} has no attribute {name:?}{hint}", rt.name))
}

/// RFC 7643 section 2.1, and `$ref`.
fn check_name(at: usize, name: &str) -> Result<(), Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '_');
    if starts_well && name.chars().all(plain) {
        return Ok(());
    }
    Err(Problem::new(at, format!("{name:?} is no attribute name: letters, digits, - and _ make one")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scim::schema::USER_TYPE;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn parse(text: &str) -> Path {
        Path::parse(text, &USER_TYPE).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn paths_get_their_canonical_spelling() {
        let table = [
            ("USERNAME", "userName"),
            ("Name.FamilyName", "name.familyName"),
            ("urn:ietf:params:scim:schemas:core:2.0:User:title", "title"),
            ("URN:IETF:params:scim:schemas:CORE:2.0:user:Name.givenname", "name.givenName"),
            ("addresses[type eq \"work\"]", "addresses[type eq \"work\"]"),
            ("Emails[ Type EQ \"work\" ].Value", "emails[type eq \"work\"].value"),
            ("roles[primary eq \"True\"].value", "roles[primary eq true].value"),
            ("emails[type eq work].value", "emails[type eq \"work\"].value"),
            ("schemas[value sw \"urn:\"]", "schemas[value sw \"urn:\"]"),
            ("meta.lastmodified", "meta.lastModified"),
            (" userName ", "userName"),
        ];
        for (text, printed) in table {
            let path = parse(text);
            assert_eq!((path.schema.as_deref(), path.to_string().as_str()), (None, printed), "{text}");
            assert!(path.definition().is_some() && path.leaf().is_some(), "{text}");
        }
    }

    #[test]
    fn extension_attributes_are_split_from_their_urn() {
        let table = [
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:Manager.value",
                "manager.value",
                "value",
            ),
            ("manager", "manager", "manager"),
            ("Department", "department", "department"),
        ];
        for (text, rest, leaf) in table {
            let path = parse(text);
            assert_eq!(path.to_string(), format!("{ENTERPRISE}:{rest}"), "{text}");
            assert_eq!(path.leaf().map(|attribute| attribute.name), Some(leaf), "{text}");
        }
    }

    #[test]
    fn undeclared_urns_end_at_their_last_colon() {
        let table = [
            ("urn:acme:2.0:User:badge", "urn:acme:2.0:User", "badge", None),
            ("urn:acme:hr:badge.Colour", "urn:acme:hr", "badge", Some("Colour")),
            ("urn:acme:hr:keys[place eq \"a:b.c\"].no", "urn:acme:hr", "keys", Some("no")),
            ("urn:acme:2.0:User", "urn:acme:2.0:User", "", None),
            ("urn:acme", "urn:acme", "", None),
            (ENTERPRISE, ENTERPRISE, "", None),
            ("urn:ietf:params:SCIM:schemas:extension:enterprise:2.0:USER", ENTERPRISE, "", None),
        ];
        for (text, urn, attribute, sub) in table {
            let path = parse(text);
            assert_eq!(
                (path.schema.as_deref(), path.attribute.as_str(), path.sub.as_deref()),
                (Some(urn), attribute, sub),
                "{text}"
            );
            assert_eq!(path.is_schema_object(), attribute.is_empty(), "{text}");
            assert_eq!((path.definition(), path.leaf()), (None, None), "{text}");
        }
    }

    #[test]
    fn a_wrong_path_is_told_with_its_column_and_the_nearest_right_name() {
        let table = [
            ("", "column 1: expected an attribute, found nothing"),
            ("usrName", "column 1: User has no attribute \"usrName\"; did you mean \"userName\"?"),
            ("givenname", "column 1: User has no attribute \"givenname\"; did you mean \"name.givenName\"?"),
            (
                "favouriteColour",
                "column 1: User has no attribute \"favouriteColour\"; a custom attribute needs the URN of its schema in front",
            ),
            (
                "name.givenNames",
                "column 6: name has no sub-attribute \"givenNames\"; did you mean \"name.givenName\"?",
            ),
            (
                "emails[typ eq \"work\"].value",
                "column 8: emails has no sub-attribute \"typ\"; did you mean \"emails.type\"?",
            ),
            (
                "emails[type eq \"work\"].valu",
                "column 24: emails has no sub-attribute \"valu\"; did you mean \"emails.value\"?",
            ),
            (
                "emails.banana",
                "column 8: emails has no sub-attribute \"banana\"; it has value, display, type, primary",
            ),
            (
                "userName.value",
                "column 10: userName has no sub-attribute \"value\"; it has no sub-attributes",
            ),
            (
                "userName[value eq \"x\"]",
                "column 1: userName has a single value, so a filter in brackets cannot select from it",
            ),
            (
                "emails.value[type eq \"work\"]",
                "column 8: a bracket follows the attribute, not a sub-attribute",
            ),
            ("emails[a[b pr] pr]", "column 8: a bracket cannot stand within a bracket"),
            ("schemas[x pr]", "column 9: schemas has plain values, which are called `value`"),
            (
                "name.given.name",
                "column 6: \"given.name\" is no attribute name: letters, digits, - and _ make one",
            ),
            ("urn:acme:hr:1x", "column 13: \"1x\" is no attribute name: letters, digits, - and _ make one"),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:tile",
                "column 44: User has no attribute \"tile\"; did you mean \"title\"?",
            ),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "column 1: urn:ietf:params:scim:schemas:core:2.0:User names the whole resource: add `:` and an attribute",
            ),
            ("title pr", "column 7: expected the end of the path, found `pr`"),
        ];
        for (text, message) in table {
            let error = Path::parse(text, &USER_TYPE).map(|path| panic!("{text}: {path}")).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_long_path_is_refused() {
        let error = Path::parse(&"x".repeat(5000), &USER_TYPE).unwrap_err();
        assert_eq!(error.message, "it is longer than 4096 characters");
    }

    fn any_path() -> impl Strategy<Value = String> {
        let prefix = prop_oneof![
            Just(String::new()),
            Just("urn:ietf:params:scim:schemas:core:2.0:User:".to_owned()),
            Just("urn:example:x.y:2.0:User:".to_owned()),
            "urn:[a-z]{1,5}:[a-z0-9.:]{0,8}:",
        ];
        let rest = prop_oneof![
            Just("userName".to_owned()),
            Just("NAME.givenname".to_owned()),
            "emails\\[(type|value|display) (eq|co|Ne) \"[^\"\\\\\\x00-\\x1f]{0,8}\"\\](\\.(value|primary))?",
            "roles\\[primary eq (true|\"False\") and not \\(value pr\\)\\]\\.value",
        ];
        (prefix, rest).prop_map(|(prefix, rest)| prefix + &rest)
    }

    proptest! {
        #[test]
        fn a_printed_path_is_read_back_as_the_same(text in any_path()) {
            let path = parse(&text);
            prop_assert_eq!(parse(&path.to_string()), path);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            if let Ok(path) = Path::parse(&text, &USER_TYPE) {
                prop_assert_eq!(parse(&path.to_string()), path);
            }
        }
    }
}
