//! A SCIM request as an operator writes it down: a JSON body alone, or a small HTTP transcript as copied from a log
//! or a portal. What is missing is what Entra would send.

use serde_json::Value;

/// Names and values.
type Headers = Vec<(String, String)>;

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Below the base path, with the query: `/Users/1?attributes=id`.
    pub(super) target: String,
    /// Those headers that change what happens.
    pub(super) headers: Headers,
    pub(super) body: Option<String>,
}

/// What a transcript may write for the id of the group in `--group`, or of the person in `--user`.
const ID: &str = "{id}";

/// The id of a group to which nobody has given one.
pub(super) const EXAMPLE_ID: &str = "example";

/// Whom and what a request may be about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// The id of the person whom Ziflow has, if any.
    pub(super) person: Option<&'a str>,
    /// The id of the group in `--group`, if there is one.
    pub(super) group: Option<&'a str>,
}

impl Known<'_> {
    /// The path of the group, made up where none is given.
    fn group_path(self) -> String {
        format!("/Groups/{}", encoded(Some(self.group.unwrap_or(EXAMPLE_ID))))
    }
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

impl Request {
    /// Reads a request. `base_path` is where SCIM begins.
    pub(super) fn parse(text: &str, base_path: &str, known: Known<'_>) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err("the request is empty".to_owned());
        }
        match text.split_once(char::is_whitespace) {
            Some((method, rest)) if METHODS.contains(&method.to_ascii_uppercase().as_str()) => {
                transcript(&method.to_ascii_uppercase(), rest, base_path, known)
            }
            _ => of_body(text, known),
        }
    }

    /// Whether it is about groups.
    pub(super) fn is_about_groups(&self) -> bool {
        self.segments().next() == Some("Groups")
    }

    /// The id of the group that it names in its path.
    pub(super) fn group_id(&self) -> Option<String> {
        self.id_below("Groups")
    }

    /// The id of the person whom a transcript names in its path.
    pub(super) fn person_named(text: &str, base_path: &str) -> Option<String> {
        // Whoever `{id}` may be, it is nobody who is named; other mistakes are told when it is read in earnest.
        Self::parse(text, base_path, Known::default()).ok()?.id_below("Users")
    }

    fn id_below(&self, endpoint: &str) -> Option<String> {
        let mut segments = self.segments();
        let id = segments.next().filter(|segment| *segment == endpoint).and_then(|_| segments.next())?;
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned();
        (id != ".search").then_some(id)
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        let path = self.target.split('?').next().unwrap_or_default();
        path.split('/').filter(|segment| !segment.is_empty())
    }
}

/// `METHOD target [HTTP/1.1]`, headers, an empty line, the body.
fn transcript(method: &str, rest: &str, base_path: &str, known: Known<'_>) -> Result<Request, String> {
    let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    let target = match line.trim().rsplit_once(' ') {
        Some((target, version)) if version.starts_with("HTTP/") => target,
        _ => line.trim(),
    };
    let target = below(target.trim(), base_path)?;
    let target = target.replace(&format!("/Groups/{ID}"), &known.group_path());
    if target.contains(ID) && known.person.is_none() {
        return Err(format!("the request names {ID}, and --user says nobody whose id that could be"));
    }
    let (headers, body) = headers_and_body(rest)?;
    Ok(Request {
        method: method.to_owned(),
        target: target.replace(ID, &encoded(known.person)),
        headers,
        body,
    })
}

/// The headers of RFC 7644 section 3.14 count; a token or a type says nothing that matters here.
const HEADERS: [&str; 2] = ["if-match", "if-none-match"];

fn headers_and_body(text: &str) -> Result<(Headers, Option<String>), String> {
    let (mut headers, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        match (line.trim(), line.split_once(':')) {
            ("", _) => {}
            // Whoever wrote no headers may have left out the empty line as well.
            (text, _) if text.starts_with(['{', '[']) => return Ok((headers, Some(rest.trim().to_owned()))),
            (_, Some((name, value))) if is_header_name(name.trim()) => {
                let name = name.trim().to_ascii_lowercase();
                let counts = HEADERS.contains(&name.as_str());
                headers.extend(counts.then(|| (name, value.trim().to_owned())));
            }
            (text, _) => {
                return Err(format!("`{text}` is neither a header nor the beginning of a JSON body"));
            }
        }
        rest = after;
    }
    Ok((headers, None))
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The part of a path, or of a whole URL, that stands below the base path.
fn below(target: &str, base_path: &str) -> Result<String, String> {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default(),
        None => format!("/{}", target.trim_start_matches('/')),
    };
    let inside = path.strip_prefix(base_path).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let target = inside.unwrap_or(&path);
    if target.trim_matches('/').is_empty() {
        return Err(format!("`{target}` names no endpoint; they look like {base_path}/Users/{ID}"));
    }
    // A filter is written down with its blanks more often than without, and a `#` would end the URL.
    Ok(target.replace(' ', "%20").replace('#', "%23"))
}

/// What the schema of a body asks for.
fn of_body(text: &str, known: Known<'_>) -> Result<Request, String> {
    let body: Value = serde_json::from_str(text).map_err(|error| {
        format!(
            "neither an HTTP request (`PATCH /Users/{ID}`), nor an entry of Entra's provisioning log, nor other JSON: {error}"
        )
    })?;
    let schemas = body.get("schemas").and_then(Value::as_array);
    let says = |word: &str| {
        let texts = schemas.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_ascii_lowercase).any(|schema| schema.ends_with(word))
    };
    let (person, group) = (format!("/Users/{}", encoded(known.person)), known.group_path());
    let is_group = says(":group") || body.get("members").is_some() && body.get("userName").is_none();
    let of_group = known.group.is_some() || changes_members(&body);
    let (method, target) = if says(":patchop") || body.get("Operations").is_some() && !says(":bulkrequest") {
        if known.person.is_none() && !of_group {
            return Err(
                "a PATCH changes somebody: give the person with --user, or the group with --group".to_owned()
            );
        }
        ("PATCH", if of_group { group.as_str() } else { person.as_str() })
    } else if says(":bulkrequest") {
        ("POST", "/Bulk")
    } else if says(":searchrequest") {
        ("POST", "/Users/.search")
    } else if is_group {
        if known.group.is_some() { ("PUT", group.as_str()) } else { ("POST", "/Groups") }
    } else if known.person.is_some() {
        ("PUT", person.as_str())
    } else {
        ("POST", "/Users")
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Request { method, target, headers: Vec::new(), body: Some(text.to_owned()) })
}

/// Whether an operation of a PATCH names members, whom only groups have.
fn changes_members(body: &Value) -> bool {
    let operations = body.get("Operations").and_then(Value::as_array).into_iter().flatten();
    let mut paths = operations.filter_map(|operation| operation.get("path")?.as_str());
    paths.any(|path| path.trim().to_ascii_lowercase().starts_with("members"))
}

pub(super) fn encoded(id: Option<&str>) -> String {
    percent_encoding::utf8_percent_encode(id.unwrap_or_default(), percent_encoding::NON_ALPHANUMERIC)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = r#"{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": []}"#;

    fn parsed(text: &str, id: Option<&str>) -> Result<(String, String, Option<String>), String> {
        parsed_with(text, Known { person: id, group: None })
    }

    fn parsed_with(text: &str, known: Known<'_>) -> Result<(String, String, Option<String>), String> {
        Request::parse(text, "/scim/v2", known).map(|request| (request.method, request.target, request.body))
    }

    #[test]
    fn groups_are_known_by_the_body_or_the_path() {
        let group = r#"{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "x"}"#;
        let members = r#"{"Operations": [{"op": "Add", "path": "members", "value": []}]}"#;
        let both = Known { person: Some("1"), group: Some("a/b") };
        let (nothing, person) = (Known::default(), Known { person: Some("1"), group: None });
        for (text, known, method, target) in [
            (group, nothing, "POST", "/Groups"),
            (group, person, "POST", "/Groups"),
            (r#"{"displayName": "x", "members": []}"#, nothing, "POST", "/Groups"),
            (group, both, "PUT", "/Groups/a%2Fb"),
            (members, nothing, "PATCH", "/Groups/example"),
            (members, person, "PATCH", "/Groups/example"),
            (PATCH, both, "PATCH", "/Groups/a%2Fb"),
            ("DELETE /Groups/{id}", nothing, "DELETE", "/Groups/example"),
            (
                "GET /Groups/{id}?excludedAttributes=members",
                both,
                "GET",
                "/Groups/a%2Fb?excludedAttributes=members",
            ),
            ("DELETE /Users/{id}", both, "DELETE", "/Users/1"),
        ] {
            let (got, at, _) = parsed_with(text, known).unwrap();
            assert_eq!((got.as_str(), at.as_str()), (method, target), "{text}");
        }
        for (target, about, id) in [
            ("/Groups/a%2Fb?x=/Groups", true, Some("a/b")),
            ("/Groups", true, None),
            ("/Groups?filter=id", true, None),
            ("/Groups/.search", true, None),
            ("/Users/Groups", false, None),
        ] {
            let request = Request::parse(&format!("GET {target}"), "/scim/v2", nothing).unwrap();
            assert_eq!((request.is_about_groups(), request.group_id().as_deref()), (about, id), "{target}");
        }
    }

    #[test]
    fn a_body_says_what_is_asked_for() {
        let user = r#"{"userName": "jo@example.com"}"#;
        let bulk = r#"{"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": []}"#;
        let search = r#"{"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}"#;
        for (body, id, method, target) in [
            (user, None, "POST", "/Users"),
            (user, Some("a|1"), "PUT", "/Users/a%7C1"),
            (PATCH, Some("1"), "PATCH", "/Users/1"),
            (bulk, None, "POST", "/Bulk"),
            (search, None, "POST", "/Users/.search"),
        ] {
            let expected = (method.to_owned(), target.to_owned(), Some(body.to_owned()));
            assert_eq!(parsed(body, id), Ok(expected), "{body}");
        }
    }

    #[test]
    fn a_transcript_is_taken_as_it_was_copied() {
        for (text, method, target, body) in [
            ("GET /scim/v2/Users/1", "GET", "/Users/1", None),
            ("get Users", "GET", "/Users", None),
            (
                "DELETE https://scim.example.com/scim/v2/Users/1 HTTP/1.1\r\nHost: x\r\n",
                "DELETE",
                "/Users/1",
                None,
            ),
            (
                "PATCH /Users/{id} HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n{\"a\": 1}\r\n",
                "PATCH",
                "/Users/7",
                Some("{\"a\": 1}"),
            ),
            ("POST /Users\n{\n}", "POST", "/Users", Some("{\n}")),
            (
                "GET /Users?filter=userName eq \"a\" HTTP/1.1",
                "GET",
                "/Users?filter=userName%20eq%20\"a\"",
                None,
            ),
            ("GET /Users?filter=a_b#EXT#@c", "GET", "/Users?filter=a_b%23EXT%23@c", None),
            ("GET /scim/v2ish/x", "GET", "/scim/v2ish/x", None),
        ] {
            let expected = (method.to_owned(), target.to_owned(), body.map(str::to_owned));
            assert_eq!(parsed(text, Some("7")), Ok(expected), "{text}");
        }
    }

    #[test]
    fn conditions_are_kept_and_tokens_are_not() {
        let text = "DELETE /Users/1 HTTP/1.1\nAuthorization: Bearer x\nIF-Match: W/\"1\"\n";
        let request = Request::parse(text, "/scim/v2", Known::default()).unwrap();
        assert_eq!(request.headers, [("if-match".to_owned(), "W/\"1\"".to_owned())]);
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_word_about_it() {
        for (text, expected) in [
            ("", "the request is empty"),
            ("{", "neither an HTTP request"),
            ("GET", "neither an HTTP request"),
            ("GET /scim/v2", "names no endpoint"),
            ("PATCH /Users/{id}", "--user"),
            (PATCH, "--user"),
            ("POST /Users\nnonsense", "neither a header nor"),
        ] {
            let error = parsed(text, None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
