//! Filters (RFC 7644 section 3.4.2.2): which resources a query means, and which values a path selects. A
//! parsed filter has passed the schema's types, so evaluating it cannot fail; how values compare is in
//! `compare`.

use std::fmt::{self, Display};

use serde_json::{Map, Value};

use crate::scim::compare::{self, Subject};
use crate::scim::error::Error;
use crate::scim::grammar::{self, Problem, RawFilter, RawPath, RawValue};
pub use crate::scim::grammar::{Limits, Operator};
use crate::scim::path::{Path, Scope, list};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Kind, ResourceType, Returned};

/// A condition on a resource or, inside a bracket, on one value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Compare {
        path: Path,
        operator: Operator,
        /// Text, a number, a boolean or null, as the attribute's type asks.
        value: Value,
    },
    /// There is a value. A bare `emails[type eq "work"]` is this, too.
    Present(Path),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
}

impl Filter {
    /// Reads a filter; what is wrong with it is told with the column.
    pub fn parse(text: &str, rt: &'static ResourceType, limits: &Limits) -> Result<Self, Error> {
        grammar::parse_filter(text, limits).and_then(|raw| Self::resolve(raw, Scope::Resource(rt))).map_err(
            |problem| {
                let column = problem.column(text);
                Error::invalid_filter(format!("the filter is wrong at column {column}: {}", problem.message))
            },
        )
    }

    /// Whether the resource, as the client sees it, satisfies the filter.
    pub fn matches(&self, resource: &Resource) -> bool {
        self.holds(Subject::Resource(resource.as_map()))
    }

    /// Whether it selects this value of an attribute, as a filter in brackets does.
    pub fn selects(&self, element: &Value) -> bool {
        self.holds(Subject::Element(element))
    }

    /// Every path that the filter looks at, without those inside brackets.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Compare { path, .. } | Self::Present(path) => vec![path],
            Self::And(terms) | Self::Or(terms) => terms.iter().flat_map(Self::paths).collect(),
            Self::Not(inner) => inner.paths(),
        }
    }

    /// The equalities that every match satisfies, so that one of them may be looked up instead of walking
    /// over everybody. The rest of the filter still has to be checked.
    pub fn pins(&self) -> Vec<(&Path, &Value)> {
        match self {
            Self::Compare { path, operator: Operator::Eq, value } if !value.is_null() => vec![(path, value)],
            Self::And(terms) => terms.iter().flat_map(Self::pins).collect(),
            _ => Vec::new(),
        }
    }

    /// The value that this filter describes completely: a conjunction of equalities, each on another
    /// attribute. `None` for any other filter, which no single value could be made from.
    pub(super) fn described(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Compare { path, operator: Operator::Eq, value }
                if !value.is_null() && path.sub.is_none() =>
            {
                Some(Map::from_iter([(path.attribute.clone(), value.clone())]))
            }
            Self::And(terms) => terms.iter().try_fold(Map::new(), |mut all, term| {
                for (name, value) in term.described()? {
                    if all.insert(name, value.clone()).is_some_and(|other| other != value) {
                        return None;
                    }
                }
                Some(all)
            }),
            _ => None,
        }
    }

    /// The filter that selects a value: by everything in it, or by its `value` if it has one, unless the
    /// `type` is another one. A plain value is that of the sub-attribute `sub`.
    pub(super) fn selecting(definition: Option<&'static Attribute>, sub: &str, item: Value) -> Self {
        let path = |name: &str| Path::in_element(definition, name);
        let equal = |(name, value): (String, Value)| Self::Compare {
            path: path(&name),
            operator: Operator::Eq,
            value,
        };
        let Value::Object(mut map) = item else { return equal((sub.to_owned(), item)) };
        let Some(value) = map.remove_entry("value") else {
            return Self::And(map.into_iter().map(equal).collect());
        };
        let Some(kind) = map.remove_entry("type") else { return equal(value) };
        let untyped = Self::Not(Box::new(Self::Present(path("type"))));
        Self::And(vec![equal(value), Self::Or(vec![equal(kind), untyped])])
    }

    /// Evaluates on a resource or on one value.
    pub(super) fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::Compare { path, operator, value } => compare::holds(path, *operator, value, subject),
            Self::Present(path) => compare::any(path, subject, &mut |value| !compare::is_absent(value)),
            Self::And(terms) => terms.iter().all(|term| term.holds(subject)),
            Self::Or(terms) => terms.iter().any(|term| term.holds(subject)),
            Self::Not(inner) => !inner.holds(subject),
        }
    }

    pub(super) fn resolve(raw: RawFilter<'_>, scope: Scope) -> Result<Self, Problem> {
        let all = |terms: Vec<_>| -> Result<Vec<_>, _> {
            terms.into_iter().map(|term| Self::resolve(term, scope)).collect()
        };
        Ok(match raw {
            RawFilter::And(terms) => Self::And(all(terms)?),
            RawFilter::Or(terms) => Self::Or(all(terms)?),
            RawFilter::Not(inner) => Self::Not(Box::new(Self::resolve(*inner, scope)?)),
            RawFilter::Present(path) => Self::Present(readable(path, scope)?),
            RawFilter::Compare { path, operator, value, at } => {
                let path_at = path.at;
                let mut path = readable(path, scope)?;
                path.end_in_value();
                check_comparable(&path, operator, path_at)?;
                let value = typed(&path, operator, value, at)?;
                Self::Compare { path, operator, value }
            }
        })
    }
}

/// RFC 7643 section 7 forbids filtering by what is never returned; a password could be guessed that way.
fn readable(raw: RawPath<'_>, scope: Scope) -> Result<Path, Problem> {
    let at = raw.at;
    let path = Path::resolve(raw, scope)?;
    if path.definition().is_some_and(|attribute| attribute.returned == Returned::Never) {
        return Err(Problem::new(at, format!("{path} is never shown and so cannot be filtered by")));
    }
    Ok(path)
}

/// RFC 7644 table 3: booleans and binaries have no order. A comparison that could never match is refused,
/// too, because its author means something else.
fn check_comparable(path: &Path, operator: Operator, at: usize) -> Result<(), Problem> {
    if path.is_schema_object() {
        return Err(Problem::new(at, format!("{path} is a schema: add `:` and an attribute")));
    }
    let Some(leaf) = path.leaf() else { return Ok(()) };
    let ordered = matches!(operator, Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le);
    let partial = matches!(operator, Operator::Co | Operator::Sw | Operator::Ew);
    let refused = match leaf.kind {
        Kind::Complex => {
            let subs = list(leaf);
            return Err(Problem::new(
                at,
                format!("{path} is complex: compare one of its sub-attributes, {subs}"),
            ));
        }
        Kind::Boolean => ordered || partial,
        Kind::Binary => ordered,
        Kind::Decimal | Kind::Integer => partial,
        Kind::String | Kind::DateTime | Kind::Reference => false,
    };
    if refused {
        let kind = kind_name(leaf.kind);
        return Err(Problem::new(
            at,
            format!("{path} is {kind}, which {:?} cannot compare", operator.as_str()),
        ));
    }
    Ok(())
}

fn typed(path: &Path, operator: Operator, raw: RawValue<'_>, at: usize) -> Result<Value, Problem> {
    let equality = matches!(operator, Operator::Eq | Operator::Ne);
    let text = match raw {
        RawValue::Bare("null") if equality => return Ok(Value::Null),
        RawValue::Bare("null") => return Err(Problem::new(at, "null can only be compared with eq and ne")),
        RawValue::Bare(word) => word.to_owned(),
        RawValue::Quoted(text) => text,
    };
    let Some(leaf) = path.leaf() else { return Ok(text.into()) };
    let whole = !matches!(operator, Operator::Co | Operator::Sw | Operator::Ew);
    literal(leaf, text, whole)
        .map_err(|wanted| Problem::new(at, format!("{path} is {}: write {wanted}", kind_name(leaf.kind))))
}

/// Text as a value of the attribute's type, or how such a value is written.
fn literal(leaf: &Attribute, text: String, whole: bool) -> Result<Value, &'static str> {
    match leaf.kind {
        Kind::Boolean => compare::boolean(&text).map(Value::Bool).ok_or("true or false"),
        Kind::Decimal | Kind::Integer => {
            text.parse().map(Value::Number).or(Err("a number such as 42, without quotes"))
        }
        Kind::DateTime if whole && compare::instant(&text).is_none() => {
            Err("one such as \"2026-01-31T08:00:00Z\"")
        }
        _ => Ok(Value::String(text)),
    }
}

/// For error texts.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "a text",
        Kind::Boolean => "a boolean",
        Kind::Decimal => "a decimal number",
        Kind::Integer => "an integer",
        Kind::DateTime => "a dateTime",
        Kind::Binary => "binary data in base64",
        Kind::Reference => "a reference",
        Kind::Complex => "complex",
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare { path, operator, value } => write!(f, "{path} {} {value}", operator.as_str()),
            Self::Present(path) if path.filter.is_some() && path.sub.is_none() => path.fmt(f),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::And(terms) => joined(f, terms, " and "),
            Self::Or(terms) => joined(f, terms, " or "),
            Self::Not(inner) => write!(f, "not ({inner})"),
        }
    }
}

/// Terms that join others themselves get parentheses, needed or not.
fn joined(f: &mut fmt::Formatter<'_>, terms: &[Filter], word: &str) -> fmt::Result {
    for (index, term) in terms.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        match term {
            Filter::And(_) | Filter::Or(_) => write!(f, "({term})")?,
            _ => term.fmt(f)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::scim::schema::USER_TYPE;

    const SAMPLE: &str = include_str!("../../tests/rfc/7643-8.3-enterprise-user.json");

    fn parse(text: &str) -> Filter {
        Filter::parse(text, &USER_TYPE, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The user of RFC 7643 section 8.3, with an extension that no schema declares.
    fn sample() -> Resource {
        let mut user: Map<String, Value> = serde_json::from_str(SAMPLE).unwrap();
        user.insert(
            "urn:acme:2.0:User".into(),
            json!({"Badge": "A7", "floor": 3, "serial": 9_007_199_254_740_993_u64, "height": 1.5, "remote": true, "tags": ["red", "Blue"], "keys": [{"kind": "door", "value": "K1"}]}),
        );
        Resource::from_stored(user)
    }

    fn check(table: &[(&str, bool)]) {
        let user = sample();
        for (text, expected) in table {
            assert_eq!(parse(text).matches(&user), *expected, "{text}");
        }
    }

    #[test]
    fn rfc_7644_section_3_4_2_2() {
        check(&[
            ("userName Eq \"john\"", false),
            ("Username eq \"BJensen@example.com\"", true),
            ("userName eq \"bjensen\"", false),
            ("name.familyName co \"O'Malley\"", false),
            ("name.familyName co \"ens\"", true),
            ("userName sw \"J\"", false),
            ("userName sw \"B\"", true),
            ("userName ew \".COM\"", true),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"bj\"", true),
            ("title pr", true),
            ("meta.lastModified gt \"2011-05-13T04:42:34Z\"", false),
            ("meta.lastModified ge \"2011-05-13T04:42:34Z\"", true),
            ("meta.lastModified lt \"2011-05-13T04:42:34Z\"", false),
            ("meta.lastModified le \"2011-05-13T04:42:34Z\"", true),
            ("title pr and userType eq \"Employee\"", true),
            ("title pr or userType eq \"Intern\"", true),
            ("schemas eq \"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\"", true),
            (
                "userType eq \"Employee\" and (emails co \"example.com\" or emails.value co \"example.org\")",
                true,
            ),
            (
                "userType ne \"Employee\" and not (emails co \"example.com\" or emails.value co \"example.org\")",
                false,
            ),
            ("userType eq \"Employee\" and (emails.type eq \"work\")", true),
            ("userType eq \"Employee\" and emails[type eq \"work\" and value co \"@example.com\"]", true),
            ("userType eq \"Employee\" and emails[type eq \"home\" and value co \"@example.com\"]", false),
            (
                "emails[type eq \"work\" and value co \"@example.com\"] or ims[type eq \"xmpp\" and value co \"@foo.com\"]",
                true,
            ),
            ("emails[type eq \"x\"] or ims[type eq \"xmpp\" and value co \"@foo.com\"]", false),
        ]);
    }

    /// Microsoft, "Develop and plan provisioning for a SCIM endpoint", and what its implementers report.
    #[test]
    fn what_entra_asks() {
        check(&[
            ("id eq \"2819c223-7f76-453a-919d-413861904646\"", true),
            ("externalId eq 701984", true),
            ("externalId eq jyoung", false),
            ("emails[type eq \"work\"].value eq \"BJENSEN@example.com\"", true),
            ("emails[type eq \"work\"].value eq \"babs@jensen.org\"", false),
            ("emails[type eq \"work\"] eq \"bjensen@example.com\"", true),
            ("emails[type eq \"home\"] eq \"bjensen@example.com\"", false),
            (
                "id eq \"2819c223-7f76-453a-919d-413861904646\" and manager eq \"26118915-6090-4610-87e4-49d8ca9f808d\"",
                true,
            ),
            ("manager eq \"x\" and id eq \"2819c223-7f76-453a-919d-413861904646\"", false),
            ("active eq True", true),
            ("active eq \"False\"", false),
            ("userName eq \"o'\\\"\\\\ #EXT#@(x)[y]\"", false),
            ("userName eq \"\"", false),
        ]);
    }

    #[test]
    fn values_compare_by_type() {
        check(&[
            ("id eq \"2819C223-7F76-453A-919D-413861904646\"", false),
            ("externalId sw \"70\"", true),
            ("profileUrl eq \"https://LOGIN.example.com/bjensen\"", false),
            ("profileUrl sw \"https://login\"", true),
            ("profileUrl sw \"HTTPS://login\"", false),
            ("meta.created eq \"2010-01-23T05:56:22+01:00\"", true),
            ("meta.created sw \"2010\"", true),
            ("nickName eq null", false),
            ("userType ne null", true),
            ("locale ne \"EN-us\"", false),
            ("entitlements eq null", true),
            ("entitlements pr", false),
            ("entitlements ne \"x\"", true),
            ("emails.value ne \"bjensen@example.com\"", true),
            ("ims.value ne \"someaimhandle\"", false),
            ("displayName gt \"babs\" and displayName lt \"BABT\"", true),
            ("emails.primary eq true", true),
            ("phoneNumbers.primary eq false", false),
            ("phoneNumbers.primary ne true", true),
        ]);
    }

    #[test]
    fn undeclared_attributes_compare_as_text_in_any_case() {
        check(&[
            ("urn:acme:2.0:User:badge eq \"a7\"", true),
            ("urn:acme:2.0:User:BADGE sw \"a\"", true),
            ("urn:acme:2.0:User:floor gt 2", true),
            ("urn:acme:2.0:User:floor eq \"3\"", true),
            ("urn:acme:2.0:User:floor lt 10", true),
            ("urn:acme:2.0:User:floor eq third", false),
            ("urn:acme:2.0:User:serial eq 9007199254740992", false),
            ("urn:acme:2.0:User:serial eq 9007199254740993", true),
            ("urn:acme:2.0:User:height ge 1.5 and urn:acme:2.0:User:height lt 2", true),
            ("urn:acme:2.0:User:remote eq \"True\"", true),
            ("urn:acme:2.0:User:tags eq \"blue\"", true),
            ("urn:acme:2.0:User:tags[value eq \"green\"]", false),
            ("urn:acme:2.0:User:keys eq \"k1\"", true),
            ("urn:acme:2.0:User:keys[kind eq \"door\"].value eq \"k1\"", true),
            ("urn:acme:2.0:User:keys[kind eq \"gate\"] eq \"k1\"", false),
            ("urn:acme:2.0:User pr", true),
            ("urn:nobody:2.0:User:badge pr", false),
        ]);
    }

    #[test]
    fn and_binds_tighter_than_or() {
        check(&[
            ("title pr or nickName eq \"x\" and locale eq \"x\"", true),
            ("(title pr or nickName eq \"x\") and locale eq \"x\"", false),
            ("locale eq \"x\" AND nickName eq \"x\" Or title pr", true),
            ("NOT (title pr) or not(nickName pr)", false),
        ]);
    }

    #[test]
    fn what_can_never_be_meant_is_refused() {
        let table = [
            ("active gt true", "column 1: active is a boolean, which \"gt\" cannot compare"),
            ("active co \"tr\"", "column 1: active is a boolean, which \"co\" cannot compare"),
            (
                "x509Certificates.value le \"x\"",
                "column 1: x509Certificates.value is binary data in base64, which \"le\" cannot compare",
            ),
            ("active eq \"yes\"", "column 11: active is a boolean: write true or false"),
            ("title pr and active eq 1", "column 24: active is a boolean: write true or false"),
            (
                "meta.created gt \"May\"",
                "column 17: meta.created is a dateTime: write one such as \"2026-01-31T08:00:00Z\"",
            ),
            ("title gt null", "column 10: null can only be compared with eq and ne"),
            (
                "name eq \"x\"",
                "column 1: name is complex: compare one of its sub-attributes, formatted, familyName, givenName, middleName, honorificPrefix, honorificSuffix",
            ),
            (
                "addresses[type eq \"work\"] eq \"x\"",
                "column 1: addresses[type eq \"work\"] is complex: compare one of its sub-attributes, formatted, streetAddress, locality, region, postalCode, country, type, primary",
            ),
            (
                "urn:acme:2.0:User eq \"x\"",
                "column 1: urn:acme:2.0:User is a schema: add `:` and an attribute",
            ),
            ("password sw \"a\"", "column 1: password is never shown and so cannot be filtered by"),
            (
                "userName eq \"a\" and pasword eq \"b\"",
                "column 21: User has no attribute \"pasword\"; did you mean \"password\"?",
            ),
        ];
        for (text, message) in table {
            let error =
                Filter::parse(text, &USER_TYPE, &Limits::default()).map(|f| panic!("{f}")).unwrap_err();
            assert_eq!(error, Error::invalid_filter(format!("the filter is wrong at {message}")), "{text}");
        }
    }

    #[test]
    fn pins_are_what_every_match_has() {
        let table = [
            ("userName eq \"a\"", "userName=\"a\""),
            (
                "id eq \"1\" and (manager eq \"2\" and active eq true)",
                "id=\"1\" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value=\"2\" active=true",
            ),
            ("userName eq \"a\" or id eq \"1\"", ""),
            ("not (userName eq \"a\")", ""),
            ("userName eq null and title sw \"a\"", ""),
            ("emails[type eq \"work\"] eq \"a\"", "emails[type eq \"work\"].value=\"a\""),
        ];
        for (text, expected) in table {
            let filter = parse(text);
            let pins: Vec<_> = filter.pins().iter().map(|(path, value)| format!("{path}={value}")).collect();
            assert_eq!(pins.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn paths_are_all_that_is_looked_at() {
        let filter = parse("(title pr or not (emails[type eq \"work\"].value eq \"x\")) and id eq \"1\"");
        let paths: Vec<_> = filter.paths().iter().map(ToString::to_string).collect();
        assert_eq!(paths, ["title", "emails[type eq \"work\"].value", "id"]);
    }

    #[test]
    fn equalities_describe_a_value() {
        let table = [
            ("type eq \"work\"", Some(json!({"type": "work"}))),
            ("type eq \"work\" and primary eq \"True\"", Some(json!({"type": "work", "primary": true}))),
            ("type eq \"work\" and type eq \"home\"", None),
            ("type eq \"work\" or type eq \"home\"", None),
            ("type ne \"work\"", None),
            ("type eq null", None),
            ("value pr", None),
            ("not (type eq \"work\")", None),
        ];
        for (text, expected) in table {
            let path = Path::parse(&format!("emails[{text}]"), &USER_TYPE).unwrap();
            assert_eq!(path.filter.unwrap().described().map(Value::Object), expected, "{text}");
        }
    }

    fn any_filter() -> impl Strategy<Value = String> {
        let path = prop_oneof![
            Just("userName".to_owned()),
            Just("urn:ietf:params:scim:schemas:core:2.0:User:Title".to_owned()),
            Just("manager".to_owned()),
            Just("emails[type eq \"work\" and not (primary eq True)].value".to_owned()),
            Just("urn:acme:2.0:User:x".to_owned()),
        ];
        let value = prop_oneof![
            any::<String>().prop_map(|text| json!(text).to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| json!(n).to_string()),
            Just("word".to_owned()),
            Just("True".to_owned()),
        ];
        let operator = proptest::sample::select(vec!["eq", "NE", "co", "Sw", "ew", "gt", "ge", "lt", "le"]);
        let leaf = prop_oneof![
            (path.clone(), operator, value)
                .prop_map(|(path, operator, value)| format!("{path} {operator} {value}")),
            path.prop_map(|path| format!("{path} PR")),
            Just("emails[type eq \"work\"]".to_owned()),
        ];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|inner| format!("not ({inner})")),
                proptest::collection::vec(inner.clone(), 2..4)
                    .prop_map(|terms| format!("({})", terms.join(" and "))),
                proptest::collection::vec(inner, 2..4).prop_map(|terms| terms.join(" or ")),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_printed_filter_is_read_back_as_the_same(text in any_filter()) {
            let limits = Limits { max_chars: 100_000, ..Limits::default() };
            let filter = Filter::parse(&text, &USER_TYPE, &limits).unwrap();
            let printed = filter.to_string();
            prop_assert_eq!(&Filter::parse(&printed, &USER_TYPE, &limits).unwrap(), &filter, "{}", printed);
            filter.matches(&sample());
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}") {
            if let Ok(filter) = Filter::parse(&text, &USER_TYPE, &Limits::default()) {
                prop_assert_eq!(parse(&filter.to_string()), filter);
            }
        }
    }
}
