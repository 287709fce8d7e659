//! The query of a list request (RFC 7644 sections 3.4.2, 3.4.3 and 3.9, RFC 9865): which resources, in which order,
//! which page, which attributes. Parameters that are not known, such as Entra's `aadOptscim062020`, are passed over.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::scim::cursor::{self, Cursor};
use crate::scim::error::Error;
use crate::scim::filter::{Filter, Limits};
use crate::scim::path::{Path, is_urn};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, ResourceType, Returned};
use crate::scim::sort::Sort;

/// Schema URN of a list.
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// What a list request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub filter: Option<Filter>,
    /// Of the first resource to show; counted from 1.
    pub start_index: usize,
    /// The most resources to show; `None` leaves it to the service.
    pub count: Option<usize>,
    /// Paging by cursor: the inner one is none on the first page.
    pub cursor: Option<Place>,
    pub sort: Option<Sort>,
    pub projection: Projection,
}

/// Where a client that pages by cursor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Beginning,
    At(Cursor),
}

/// Which attributes a client wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// `None` means what is shown by default.
    wanted: Option<Vec<Path>>,
    excluded: Vec<Path>,
}

impl Query {
    /// Reads what follows the `?`, by the rules of forms: `+` is a space, `%2B` a plus.
    pub fn parse(raw: Option<&str>, rt: &'static ResourceType, limits: &Limits) -> Result<Self, Error> {
        Self::read(&Parameters::decode(raw.unwrap_or_default())?, rt, limits)
    }

    /// Reads the body of a `.search` (RFC 7644 section 3.4.3), which says the same in JSON.
    pub fn from_search(body: Value, rt: &'static ResourceType, limits: &Limits) -> Result<Self, Error> {
        Self::read(&Parameters::from_json(body)?, rt, limits)
    }

    fn read(parameters: &Parameters, rt: &'static ResourceType, limits: &Limits) -> Result<Self, Error> {
        let filter = parameters.get("filter")?.map(|text| Filter::parse(text, rt, limits)).transpose()?;
        // RFC 7644 section 3.4.2.4: an index below 1 means 1, a negative count means 0.
        let start_index = parameters.number("startIndex")?;
        let cursor = match parameters.get("cursor")? {
            None => None,
            Some(_) if start_index.is_some() => {
                return Err(Error::invalid_value("startIndex and cursor page in two ways: give one of them"));
            }
            Some("") => Some(Place::Beginning),
            Some(cursor) => Some(Place::At(Cursor::parse(cursor)?)),
        };
        let count = if cursor.is_some() { parameters.exact_count()? } else { parameters.number("count")? };
        let order = parameters.get("sortOrder")?;
        let sort = parameters.get("sortBy")?.map(|by| Sort::parse(by, order, rt)).transpose()?;
        let start_index = start_index.unwrap_or(1).max(1);
        Ok(Self {
            filter,
            start_index,
            count,
            cursor,
            sort,
            projection: Projection::read(parameters, rt, limits)?,
        })
    }

    /// What a cursor is good for: the same people in the same order.
    pub fn digest(&self) -> u64 {
        let text = |shown: Option<String>| shown.unwrap_or_default();
        let filter = text(self.filter.as_ref().map(ToString::to_string));
        cursor::digest(&(filter, text(self.sort.as_ref().map(|sort| format!("{sort:?}")))))
    }
}

/// Whether a filter stands behind the `?`, be it a wrong one.
pub fn filters(raw: Option<&str>) -> bool {
    let parameters = Parameters::decode(raw.unwrap_or_default());
    parameters.is_ok_and(|parameters| !matches!(parameters.get("filter"), Ok(None)))
}

impl Projection {
    /// Reads `attributes` and `excludedAttributes` of any request (RFC 7644 section 3.9), and nothing else.
    pub fn parse(raw: Option<&str>, rt: &'static ResourceType, limits: &Limits) -> Result<Self, Error> {
        Self::read(&Parameters::decode(raw.unwrap_or_default())?, rt, limits)
    }

    fn read(parameters: &Parameters, rt: &'static ResourceType, limits: &Limits) -> Result<Self, Error> {
        let paths = |name: &str| {
            let most = limits.max_attributes;
            let text = parameters.get(name)?.filter(|text| !text.trim().is_empty());
            if text.is_some_and(|text| text.split(',').nth(most).is_some()) {
                let detail = format!("{name} has more than {most} names (server.max_attributes)");
                return Err(Error::invalid_value(detail));
            }
            Ok(text.map(|text| text.split(',').filter_map(|name| Path::parse(name, rt).ok()).collect()))
        };
        Ok(Self { wanted: paths("attributes")?, excluded: paths("excludedAttributes")?.unwrap_or_default() })
    }

    /// Whether a client that says nothing more about it gets this core attribute.
    pub fn shows(&self, attribute: &str) -> bool {
        let of = |path: &Path| path.schema.is_none() && path.attribute == attribute;
        let whole = |path: &Path| of(path) && path.sub.is_none();
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(of)) && !self.excluded.iter().any(whole)
    }

    /// Whether the client has named what it wants to see.
    pub fn names(&self) -> bool {
        self.wanted.is_some()
    }

    /// What of a representation the client gets. `id` and `schemas` are always among it.
    pub fn apply(&self, representation: Resource, rt: &'static ResourceType) -> Value {
        let mut shown = Map::new();
        for (name, value) in representation.into_map() {
            let value = match value {
                Value::Object(members) if is_urn(&name) => self.in_extension(&name, members, rt),
                value => self.attribute(None, &name, value, rt.core_attribute(&name)),
            };
            if let Some(value) = value {
                shown.insert(name, value);
            }
        }
        Value::Object(shown)
    }

    fn in_extension(
        &self,
        urn: &str,
        members: Map<String, Value>,
        rt: &'static ResourceType,
    ) -> Option<Value> {
        let schema = rt.schema_of(urn);
        let show = |(name, value): (String, Value)| {
            let definition = schema.and_then(|schema| schema.attribute(&name));
            let value = self.attribute(Some(urn), &name, value, definition)?;
            Some((name, value))
        };
        let shown: Map<_, _> = members.into_iter().filter_map(show).collect();
        (!shown.is_empty()).then_some(Value::Object(shown))
    }

    fn attribute(
        &self,
        urn: Option<&str>,
        name: &str,
        value: Value,
        definition: Option<&'static Attribute>,
    ) -> Option<Value> {
        let wanted = self.wanted.as_ref().map(|paths| Part::named(paths, urn, name));
        let excluded = Part::named(&self.excluded, urn, name);
        if !is_shown(definition, wanted.as_ref().map(|part| *part != Part::Nothing), excluded == Part::Whole)
        {
            return None;
        }
        let show = |sub: &str| {
            let wanted = wanted.as_ref().map(|part| part.has(sub));
            is_shown(definition.and_then(|attribute| attribute.sub(sub)), wanted, excluded.has(sub))
        };
        shown_members(value, &show)
    }
}

/// RFC 7643 section 7, `returned`. `wanted` is `None` when the client named nothing.
fn is_shown(definition: Option<&'static Attribute>, wanted: Option<bool>, excluded: bool) -> bool {
    match definition.map_or(Returned::Default, |attribute| attribute.returned) {
        Returned::Always => true,
        Returned::Never => false,
        Returned::Default => wanted.unwrap_or(true) && !excluded,
        Returned::Request => wanted.unwrap_or(false) && !excluded,
    }
}

/// An object with nothing left to show is not shown.
fn shown_members(value: Value, show: &dyn Fn(&str) -> bool) -> Option<Value> {
    match value {
        Value::Object(members) => {
            let shown: Map<_, _> = members.into_iter().filter(|(name, _)| show(name)).collect();
            (!shown.is_empty()).then_some(Value::Object(shown))
        }
        // A group without members says so: Entra is given an empty list.
        Value::Array(items) if items.is_empty() => Some(Value::Array(items)),
        Value::Array(items) => {
            let shown: Vec<_> = items.into_iter().filter_map(|item| shown_members(item, show)).collect();
            (!shown.is_empty()).then_some(Value::Array(shown))
        }
        plain => Some(plain),
    }
}

/// How much of an attribute a list of paths names.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Nothing,
    Whole,
    Subs(Vec<&'a str>),
}

impl<'a> Part<'a> {
    fn named(paths: &'a [Path], urn: Option<&str>, name: &str) -> Self {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        let in_schema = |path: &&Path| match (path.schema.as_deref(), urn) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a == b,
        };
        let mut subs = Vec::new();
        for path in paths.iter().filter(in_schema) {
            match &path.sub {
                _ if path.is_schema_object() => return Self::Whole,
                None if same(&path.attribute, name) => return Self::Whole,
                Some(sub) if same(&path.attribute, name) => subs.push(sub.as_str()),
                _ => {}
            }
        }
        if subs.is_empty() { Self::Nothing } else { Self::Subs(subs) }
    }

    fn has(&self, sub: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Whole => true,
            Self::Subs(subs) => subs.iter().any(|name| name.eq_ignore_ascii_case(sub)),
        }
    }
}

/// A list of resources (RFC 7644 section 3.4.2). `Resources` is there even when it is empty: Entra takes its
/// absence for an incompatible service.
pub fn list_response(total: usize, start_index: usize, resources: Vec<Value>) -> Value {
    let shown = resources.len();
    json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": shown,
        "Resources": Value::Array(resources),
    })
}

/// The same for a client that pages by cursor (RFC 9865): an index would mean nothing to it.
pub fn cursor_response(
    total: usize,
    previous: Option<&Cursor>,
    next: Option<&Cursor>,
    resources: Vec<Value>,
) -> Value {
    let mut list = list_response(total, 1, resources);
    if let Some(list) = list.as_object_mut() {
        list.remove("startIndex");
        for (name, cursor) in [("previousCursor", previous), ("nextCursor", next)] {
            if let Some(cursor) = cursor {
                list.insert(name.to_owned(), cursor.to_string().into());
            }
        }
    }
    list
}

/// The parameters of a list.
const KNOWN: &[&str] =
    &["filter", "startIndex", "count", "cursor", "sortBy", "sortOrder", "attributes", "excludedAttributes"];

/// Decoded names and values.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The members of a `SearchRequest` as if they had stood in a URL.
    fn from_json(body: Value) -> Result<Self, Error> {
        let Value::Object(members) = body else {
            return Err(Error::invalid_syntax(
                "a search is a JSON object with filter, startIndex, count and others",
            ));
        };
        let mut given = Vec::new();
        for (name, value) in
            members.into_iter().filter(|(name, _)| KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)))
        {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Array(items) if items.iter().all(Value::is_string) => {
                    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
                }
                _ => {
                    return Err(Error::invalid_value(format!(
                        "{name} must be a text, a number or a list of texts"
                    )));
                }
            };
            given.push((name, text));
        }
        Ok(Self(given))
    }

    fn decode(raw: &str) -> Result<Self, Error> {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_decode_str(&text).decode_utf8().map(std::borrow::Cow::into_owned);
            decoded
                .or(Err(Error::invalid_value("the query is not UTF-8: encode it as UTF-8 and then with %")))
        };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// A parameter given twice leaves it open which is meant, and the wrong filter finds the wrong people.
    fn get(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut found = self.0.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Error::invalid_value(format!("the query has {name} twice: give it once"))),
            (first, None) => Ok(first.map(|(_, value)| value.as_str())),
        }
    }

    /// `count` of a request with a cursor (RFC 9865): a wrong one is an error of its own.
    fn exact_count(&self) -> Result<Option<usize>, Error> {
        let wrong = |_error| Error::invalid_count("count must be a whole number of at least 0");
        self.get("count")?.map(|text| text.trim().parse().map_err(wrong)).transpose()
    }

    /// A whole number, where a negative one counts as 0.
    fn number(&self, name: &str) -> Result<Option<usize>, Error> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        let wrong = || Error::invalid_value(format!("{name} must be a whole number, such as {name}=1"));
        let number: i64 = text.trim().parse().or(Err(wrong()))?;
        usize::try_from(number.max(0)).map(Some).or(Err(wrong()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scim::schema::USER_TYPE;

    const SAMPLE: &str = include_str!("../../tests/rfc/7643-8.3-enterprise-user.json");
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn parse(raw: &str) -> Query {
        Query::parse(Some(raw), &USER_TYPE, &Limits::default())
            .unwrap_or_else(|error| panic!("{raw}: {error}"))
    }

    /// The request lines of Microsoft's documentation and of providers' logs.
    #[test]
    fn filters_arrive_in_every_encoding() {
        let table = [
            ("filter=userName+eq+%22alice%40example.com%22", "userName eq \"alice@example.com\""),
            ("filter=userName%20eq%20%22Alice%40example.com%22", "userName eq \"Alice@example.com\""),
            ("filter=userName eq \"a\"", "userName eq \"a\""),
            ("filter=userName+eq+%22a%2Bb%26c%3Dd%22", "userName eq \"a+b&c=d\""),
            ("filter=userName+eq+%22j_x.com%23EXT%23%40y.com%22", "userName eq \"j_x.com#EXT#@y.com\""),
            ("filter=userName+eq+%22O'Neil%27s%22", "userName eq \"O'Neil's\""),
            (
                "filter=emails%5Btype+eq+%22work%22%5D.value+eq+%22a%40b.c%22",
                "emails[type eq \"work\"].value eq \"a@b.c\"",
            ),
            ("filter=emails[type+eq+%22work%22].value+eq+%22a%22", "emails[type eq \"work\"].value eq \"a\""),
            ("filter=externalId+eq+jyoung", "externalId eq \"jyoung\""),
            ("aadOptscim062020&attributes=id&FILTER=DisplayName+eq+%22%C3%A9%22", "displayName eq \"é\""),
        ];
        for (raw, filter) in table {
            assert_eq!(parse(raw).filter.map(|filter| filter.to_string()).as_deref(), Some(filter), "{raw}");
        }
    }

    #[test]
    fn pages_are_counted_from_one() {
        let table = [
            ("", 1, None),
            ("startIndex=1&count=5", 1, Some(5)),
            ("StartIndex=6&COUNT=0", 6, Some(0)),
            ("startIndex=0&count=-3", 1, Some(0)),
            ("startIndex=-7", 1, None),
            ("sortBy=userName&sortOrder=descending&&x", 1, None),
        ];
        for (raw, start_index, count) in table {
            let query = parse(raw);
            assert_eq!((query.start_index, query.count), (start_index, count), "{raw}");
        }
        assert_eq!(Query::parse(None, &USER_TYPE, &Limits::default()).unwrap(), parse(""));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let table = [
            ("count=ten", Error::invalid_value("count must be a whole number, such as count=1")),
            ("startIndex=", Error::invalid_value("startIndex must be a whole number, such as startIndex=1")),
            (
                "count=99999999999999999999",
                Error::invalid_value("count must be a whole number, such as count=1"),
            ),
            ("count=1&Count=2", Error::invalid_value("the query has count twice: give it once")),
            (
                "filter=title%20pr&filter=title+pr",
                Error::invalid_value("the query has filter twice: give it once"),
            ),
            (
                "filter=",
                Error::invalid_filter(
                    "the filter is wrong at column 1: expected an attribute, found nothing",
                ),
            ),
            (
                "filter=%FF",
                Error::invalid_value("the query is not UTF-8: encode it as UTF-8 and then with %"),
            ),
        ];
        for (raw, expected) in table {
            let error = Query::parse(Some(raw), &USER_TYPE, &Limits::default()).unwrap_err();
            assert_eq!(error, expected, "{raw}");
        }
    }

    /// The sample, cut down to what a projection can act on.
    fn sample() -> Resource {
        let mut user: Map<String, Value> = serde_json::from_str(SAMPLE).unwrap();
        user.retain(|name, _| {
            is_urn(name)
                || ["schemas", "id", "userName", "name", "emails", "groups", "password", "meta"]
                    .contains(&name.as_str())
        });
        user.insert("urn:acme:2.0:User".into(), json!({"Badge": "7", "keys": [{"no": "1", "place": "p"}]}));
        Resource::from_stored(user)
    }

    fn projected(raw: &str) -> Value {
        Projection::parse(Some(raw), &USER_TYPE, &Limits::default()).unwrap().apply(sample(), &USER_TYPE)
    }

    #[test]
    fn wanted_attributes_come_with_id_and_schemas() {
        let table = [
            ("attributes=id", json!({})),
            ("attributes=nonsense", json!({})),
            ("attributes=USERNAME", json!({"userName": "bjensen@example.com"})),
            (
                "attributes=userName,%20name.familyName",
                json!({"userName": "bjensen@example.com", "name": {"familyName": "Jensen"}}),
            ),
            ("attributes=emails.type", json!({"emails": [{"type": "work"}, {"type": "home"}]})),
            ("attributes=emails.primary", json!({"emails": [{"primary": true}]})),
            ("attributes=password", json!({})),
            (
                "attributes=manager.value",
                json!({ENTERPRISE: {"manager": {"value": "26118915-6090-4610-87e4-49d8ca9f808d"}}}),
            ),
            (
                "attributes=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter",
                json!({ENTERPRISE: {"costCenter": "4130"}}),
            ),
            (
                "attributes=urn:acme:2.0:User",
                json!({"urn:acme:2.0:User": {"Badge": "7", "keys": [{"no": "1", "place": "p"}]}}),
            ),
            ("attributes=URN:acme:2.0:user:badge", json!({"urn:acme:2.0:User": {"Badge": "7"}})),
            (
                "attributes=name&excludedAttributes=name.formatted,name.middleName,name.honorificPrefix,name.honorificSuffix",
                json!({"name": {"familyName": "Jensen", "givenName": "Barbara"}}),
            ),
        ];
        for (raw, expected) in table {
            let mut shown = projected(raw);
            let map = shown.as_object_mut().unwrap();
            assert!(map.remove("id").is_some() && map.remove("schemas").is_some(), "{raw}");
            assert_eq!(shown, expected, "{raw}");
        }
    }

    #[test]
    fn excluded_attributes_are_left_out() {
        let everything = projected("");
        let table: [(&str, &[&str]); 5] = [
            ("members", &[]),
            ("id,schemas", &[]),
            ("groups,Meta", &["groups", "meta"]),
            ("urn:acme:2.0:User.keys,urn:acme:2.0:User", &["urn:acme:2.0:User"]),
            ("emails.value,emails.type,emails.primary", &["emails"]),
        ];
        for (raw, gone) in table {
            let mut expected = everything.clone();
            expected.as_object_mut().unwrap().retain(|name, _| !gone.contains(&name.as_str()));
            assert_eq!(projected(&format!("excludedAttributes={raw}")), expected, "{raw}");
        }
        assert_eq!(projected("attributes=&excludedAttributes="), everything);
        let shown = projected("excludedAttributes=emails.value,urn:acme:2.0:User:keys.no");
        assert_eq!(shown["emails"], json!([{"type": "work", "primary": true}, {"type": "home"}]));
        assert_eq!(shown["urn:acme:2.0:User"], json!({"Badge": "7", "keys": [{"place": "p"}]}));
    }

    #[test]
    fn a_password_is_never_shown_and_order_stays() {
        let shown = projected("");
        let names: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "schemas",
                "id",
                "userName",
                "name",
                "emails",
                "groups",
                ENTERPRISE,
                "meta",
                "urn:acme:2.0:User"
            ]
        );
    }

    #[test]
    fn a_list_always_has_resources() {
        assert_eq!(
            list_response(0, 1, Vec::new()),
            json!({"schemas": [LIST_SCHEMA], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": []})
        );
        assert_eq!(list_response(11, 6, vec![json!({}); 5])["itemsPerPage"], json!(5));
    }

    #[test]
    fn a_search_says_the_same_in_json() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": "userName eq \"a\"", "startIndex": 2, "count": 5, "sortBy": "userName", "sortOrder": "descending",
            "attributes": ["userName", "name.givenName"], "excludedAttributes": null, "other": {"x": 1},
        });
        let searched = Query::from_search(body, &USER_TYPE, &Limits::default()).unwrap();
        let raw = "filter=userName+eq+%22a%22&startIndex=2&count=5&sortBy=userName&sortOrder=descending\
                   &attributes=userName,name.givenName";
        assert_eq!(searched, parse(raw));
        for wrong in
            [json!([]), json!({"attributes": {"a": 1}}), json!({"count": true}), json!({"filter": [1]})]
        {
            assert!(Query::from_search(wrong.clone(), &USER_TYPE, &Limits::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paging_by_cursor_begins_with_an_empty_one() {
        assert_eq!(parse("cursor=&count=5").cursor, Some(Place::Beginning));
        assert_eq!(parse("count=5").cursor, None);
        for (raw, scim_type) in [
            ("cursor=x", "invalidCursor"),
            ("cursor=&startIndex=1", "invalidValue"),
            ("cursor=&count=-1", "invalidCount"),
            ("cursor=&count=x", "invalidCount"),
        ] {
            let error = Query::parse(Some(raw), &USER_TYPE, &Limits::default()).unwrap_err();
            assert_eq!(error.scim_type.unwrap().as_str(), scim_type, "{raw}");
        }
    }

    /// Whether everything in `part` stands in `whole` as well, arrays element by element.
    fn within(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => {
                part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| within(part, whole)))
            }
            (Value::Array(part), Value::Array(whole)) => {
                part.iter().all(|part| whole.iter().any(|whole| within(part, whole)))
            }
            (part, whole) => part == whole,
        }
    }

    fn any_names() -> impl Strategy<Value = String> {
        let names = [
            "id",
            "userName",
            "NAME",
            "name.givenName",
            "emails",
            "emails.value",
            "emails.type",
            "meta",
            "meta.location",
            "phoneNumbers.value",
            "password",
            "groups",
            "nothing",
            "schemas",
            ENTERPRISE,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        ];
        proptest::collection::vec(proptest::sample::select(names.to_vec()), 0..5)
            .prop_map(|names| names.join(","))
    }

    proptest! {
        /// Whatever is asked for: only what is there is shown, `id` and `schemas` always, a password never, and
        /// cutting down twice is cutting down once.
        #[test]
        fn a_projection_is_a_part(wanted in any_names(), excluded in any_names()) {
            let whole: Value = serde_json::from_str(SAMPLE).unwrap();
            let whole_map = whole.as_object().unwrap().clone();
            let raw = format!("attributes={wanted}&excludedAttributes={excluded}");
            let projection = Projection::parse(Some(&raw), &USER_TYPE, &Limits::default()).unwrap();
            let once = projection.apply(Resource::from_stored(whole_map), &USER_TYPE);
            prop_assert!(within(&once, &whole), "{raw}: {once}");
            prop_assert_eq!(&once["id"], &whole["id"]);
            prop_assert_eq!(&once["schemas"], &whole["schemas"]);
            prop_assert!(once.get("password").is_none());
            let again = Resource::from_stored(once.as_object().unwrap().clone());
            prop_assert_eq!(projection.apply(again, &USER_TYPE), once);
        }
    }
}
