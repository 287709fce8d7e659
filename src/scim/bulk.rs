//! Bulk requests (RFC 7644 section 3.7): many operations in one body, which may refer to people that others of
//! them make. A `Job` hands the operations out one at a time, each when everything it refers to is there, and puts
//! the answer together. Carrying them out is the caller's.

use std::collections::{HashMap, HashSet};
use std::fmt;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::scim::edit::take;
use crate::scim::error::Error;
use crate::scim::operation::{Asked, Method, Target, references, text};
use crate::scim::schema::{GROUP_TYPE, ResourceType, USER_TYPE};
use crate::scim::version::{Conditions, Tags};

/// Schema URN of the answer.
pub const RESPONSE_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// The most that a request may hold, as `/ServiceProviderConfig` tells it (RFC 7644 section 3.7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_operations: usize,
    pub max_payload_bytes: usize,
}

/// What an operation asks for, with ids where it had references.
#[derive(Clone, PartialEq)]
pub enum Action {
    Create(Value),
    Replace(String, Value),
    Patch(String, Value),
    Delete(String),
}

/// What came of an operation that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub status: StatusCode,
    pub id: String,
    pub version: Option<String>,
}

/// A bulk request on its way.
pub struct Job {
    operations: Vec<Operation>,
    /// Places of the operations that have not had their turn, the next one last.
    waiting: Vec<usize>,
    /// The place of the POST for each `bulkId`.
    makers: HashMap<String, usize>,
    fail_on_errors: Option<u64>,
    errors: u64,
}

/// One operation, and what is known of its result.
struct Operation {
    /// As the client wrote it, where it is none that a bulk request may have.
    method: String,
    known: Option<Method>,
    /// What its path is about.
    rt: &'static ResourceType,
    bulk_id: Option<String>,
    /// The version that the client means to change, as `If-Match` would say it.
    version: Option<String>,
    /// Taken when it is the operation's turn.
    asked: Option<Result<Asked, Error>>,
    /// Every `bulkId` that is referred to.
    needs: Vec<String>,
    /// Whom it is about, once that is known.
    id: Option<String>,
    outcome: Option<Result<Done, Error>>,
}

impl Job {
    /// Reads the body. A request is refused as a whole where it could not be answered operation by operation,
    /// and nothing of it happens then.
    pub fn parse(body: Value, max_operations: usize) -> Result<Self, Error> {
        let Value::Object(mut body) = body else {
            return Err(Error::invalid_syntax("the body must be a JSON object with Operations"));
        };
        let Some(Value::Array(given)) = take(&mut body, "Operations") else {
            return Err(Error::invalid_syntax(
                "a bulk request needs Operations, an array: send the BulkRequest message of RFC 7644",
            ));
        };
        if given.len() > max_operations {
            return Err(too_many_operations(max_operations));
        }
        let fail_on_errors = fail_on_errors(take(&mut body, "failOnErrors").as_ref())?;
        let operations = given.into_iter().enumerate().map(|(place, given)| {
            Operation::parse(given).map_err(|mut error| {
                error.detail.insert_str(0, &format!("operation {}: ", place + 1));
                error
            })
        });
        let mut operations = operations.collect::<Result<Vec<_>, _>>()?;
        let makers = makers(&mut operations);
        let mut waiting = order(&operations, &makers);
        waiting.reverse();
        Ok(Self { operations, waiting, makers, fail_on_errors, errors: 0 })
    }

    /// The next operation: its place in the request, and what it asks for or why it cannot be carried out. What
    /// came of it belongs into `settle` before the next turn. After as many errors as the client accepts nobody
    /// has a turn any more.
    pub fn turn(&mut self) -> Option<(usize, Result<Action, Error>)> {
        if self.fail_on_errors.is_some_and(|most| self.errors >= most) {
            return None;
        }
        let place = self.waiting.pop()?;
        let asked = self.operations.get_mut(place)?.asked.take()?;
        Some((place, asked.and_then(|asked| self.resolve(place, asked))))
    }

    /// What must be true of the resource for the operation at this place to be carried out.
    pub fn conditions(&self, place: usize) -> Result<Conditions, Error> {
        let version = self.operations.get(place).and_then(|operation| operation.version.as_deref());
        Ok(Conditions { matches: version.map(Tags::parse).transpose()?, differs: None })
    }

    /// What the operation at this place is about.
    pub fn resource_type(&self, place: usize) -> &'static ResourceType {
        self.operations.get(place).map_or(&USER_TYPE, |operation| operation.rt)
    }

    /// What the client calls the operation at this place.
    pub fn bulk_id(&self, place: usize) -> Option<&str> {
        self.operations.get(place)?.bulk_id.as_deref()
    }

    /// A name for logs of what the operation at this place asks for, whether or not it can be carried out.
    pub fn name(&self, place: usize) -> Option<&'static str> {
        self.operations.get(place).and_then(|operation| Some(name(operation.known?, operation.rt)))
    }

    /// The method of the operation at this place, if it is one that a bulk request may have.
    pub fn method(&self, place: usize) -> Option<&'static str> {
        Some(self.operations.get(place)?.known?.as_str())
    }

    /// Whom the operation at this place is about, by id.
    pub fn id(&self, place: usize) -> Option<&str> {
        self.operations.get(place)?.id.as_deref()
    }

    /// Keeps what came of the operation at this place.
    pub fn settle(&mut self, place: usize, outcome: Result<Done, Error>) {
        self.errors += u64::from(outcome.is_err());
        if let Some(operation) = self.operations.get_mut(place) {
            if let Ok(done) = &outcome {
                operation.id = Some(done.id.clone());
            }
            operation.outcome = Some(outcome);
        }
    }

    /// The answer: every operation that had its turn, in the order of the request (RFC 7644 section 3.7.3).
    pub fn into_json(
        self,
        locate: impl Fn(&'static ResourceType, &str) -> String,
        request_id: &str,
    ) -> Value {
        let results =
            self.operations.into_iter().filter_map(|operation| operation.result(&locate, request_id));
        json!({ "schemas": [RESPONSE_SCHEMA], "Operations": results.collect::<Vec<_>>() })
    }

    fn resolve(&mut self, place: usize, asked: Asked) -> Result<Action, Error> {
        let Asked { method, target, mut data } = asked;
        let id = match target {
            Target::Everybody => String::new(),
            Target::Person(id) => id,
            Target::New(bulk_id) => {
                let id = self.made(&bulk_id)?;
                if let Some(operation) = self.operations.get_mut(place) {
                    operation.id = Some(id.clone());
                }
                id
            }
        };
        references(&mut data, &mut |bulk_id| self.made(bulk_id).map(Some))?;
        Ok(match method {
            Method::Post => Action::Create(data),
            Method::Put => Action::Replace(id, data),
            Method::Patch => Action::Patch(id, data),
            Method::Delete => Action::Delete(id),
        })
    }

    /// The id of the person whom the operation with this `bulkId` has made. Whoever refers to it had to wait for
    /// it, unless both wait for each other.
    fn made(&self, bulk_id: &str) -> Result<String, Error> {
        let maker = self.makers.get(bulk_id).copied();
        let Some((place, operation)) = maker.and_then(|place| Some((place, self.operations.get(place)?)))
        else {
            return Err(Error::invalid_value(
                "it refers to a bulkId that belongs to no single POST of this request: correct the one or the other",
            ));
        };
        match &operation.outcome {
            Some(Ok(done)) => Ok(done.id.clone()),
            Some(Err(error)) => Err(needed(place, error)),
            None => Err(circular(place)),
        }
    }
}

impl Action {
    /// What is to be written.
    pub fn data(&self) -> Option<&Value> {
        match self {
            Self::Create(data) | Self::Replace(_, data) | Self::Patch(_, data) => Some(data),
            Self::Delete(_) => None,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Create(_) => Method::Post,
            Self::Replace(..) => Method::Put,
            Self::Patch(..) => Method::Patch,
            Self::Delete(_) => Method::Delete,
        }
    }
}

/// A name for logs, without anybody in it.
fn name(method: Method, rt: &ResourceType) -> &'static str {
    match (method, rt.id == GROUP_TYPE.id) {
        (Method::Post, false) => "create-user",
        (Method::Post, true) => "create-group",
        (Method::Put, false) => "replace-user",
        (Method::Put, true) => "replace-group",
        (Method::Patch, false) => "patch-user",
        (Method::Patch, true) => "patch-group",
        (Method::Delete, false) => "delete-user",
        (Method::Delete, true) => "delete-group",
    }
}

/// Names only: data is personal.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.method(), &USER_TYPE))
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("operations", &self.operations.len()).finish_non_exhaustive()
    }
}

/// 413: the body is too large, in the words of RFC 7644 section 3.7.4.
pub fn too_large(max_payload_bytes: usize) -> Error {
    let detail = format!(
        "the size of the bulk operation exceeds the maxPayloadSize ({max_payload_bytes}): send it in parts, or \
         raise server.max_body_bytes"
    );
    Error::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn too_many_operations(max_operations: usize) -> Error {
    let detail = format!(
        "the number of operations exceeds the maxOperations ({max_operations}): send them in parts, or raise \
         server.max_bulk_operations"
    );
    Error::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Nothing but a whole number says how many errors a client accepts, and 0 does not say whether it means none or
/// any number.
fn fail_on_errors(given: Option<&Value>) -> Result<Option<u64>, Error> {
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(given) => given.as_u64().filter(|most| *most > 0).map(Some).ok_or_else(|| {
            Error::invalid_value(
                "failOnErrors must be a whole number from 1 on; leave it out to accept all errors",
            )
        }),
    }
}

impl Operation {
    fn is_post(&self) -> bool {
        self.method == Method::Post.as_str()
    }

    fn parse(given: Value) -> Result<Self, Error> {
        let Value::Object(mut given) = given else {
            return Err(Error::invalid_syntax("it must be a JSON object with method, path and data"));
        };
        let method = text(&mut given, "method")?
            .ok_or_else(|| Error::invalid_syntax("method is missing: give POST, PUT, PATCH or DELETE"))?;
        let bulk_id = text(&mut given, "bulkId")?;
        let known = Method::parse(&method);
        let method = known.as_ref().map_or(method, |known| known.as_str().to_owned());
        let path = text(&mut given, "path").and_then(|path| Target::parse(path.as_deref()));
        let (rt, target) = match path {
            Ok((rt, target)) => (rt, Ok(target)),
            Err(error) => (&USER_TYPE, Err(error)),
        };
        let id = match (&known, &target) {
            // RFC 7644 section 3.7.3: only a POST that fails has no location.
            (Ok(Method::Put | Method::Patch | Method::Delete), Ok(Target::Person(id))) => Some(id.clone()),
            _ => None,
        };
        let version = text(&mut given, "version")?;
        let data = take(&mut given, "data").unwrap_or_default();
        let is_known = known.as_ref().ok().copied();
        let mut asked = known.and_then(|known| Asked::parse(known, target?, data, bulk_id.is_some()));
        let needs = asked.as_mut().map(Asked::needs).unwrap_or_default();
        Ok(Self {
            method,
            known: is_known,
            rt,
            bulk_id,
            version,
            asked: Some(asked),
            needs,
            id,
            outcome: None,
        })
    }

    /// RFC 7644 section 3.7.3: where the person is, also after an error, and the error itself.
    fn result(
        self,
        locate: impl Fn(&'static ResourceType, &str) -> String,
        request_id: &str,
    ) -> Option<Value> {
        let outcome = self.outcome?;
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
        if let Some(id) = self.id {
            put("location", locate(self.rt, &id).into());
        }
        put("method", self.method.into());
        if let Some(bulk_id) = self.bulk_id {
            put("bulkId", bulk_id.into());
        }
        match outcome {
            Ok(done) => {
                if let Some(version) = done.version {
                    put("version", version.into());
                }
                put("status", done.status.as_str().into());
            }
            Err(error) => {
                put("status", error.status.as_str().into());
                put("response", error.to_json(request_id));
            }
        }
        Some(Value::Object(shown))
    }
}

/// The operation that makes the person behind each `bulkId`. One that several claim is nobody's, and those
/// operations are refused: which of them a reference means cannot be known.
fn makers(operations: &mut [Operation]) -> HashMap<String, usize> {
    let mut makers = HashMap::new();
    let mut claimed_twice = HashSet::new();
    let posts = operations.iter().enumerate().filter(|(_, operation)| operation.is_post());
    for (place, bulk_id) in posts.filter_map(|(place, post)| Some((place, post.bulk_id.clone()?))) {
        if makers.insert(bulk_id.clone(), place).is_some() {
            claimed_twice.insert(bulk_id);
        }
    }
    makers.retain(|bulk_id, _| !claimed_twice.contains(bulk_id));
    for operation in operations.iter_mut().filter(|operation| operation.is_post()) {
        if operation.bulk_id.as_ref().is_some_and(|bulk_id| claimed_twice.contains(bulk_id)) {
            operation.asked = Some(Err(Error::invalid_value(
                "several POST operations have this bulkId: give each one its own",
            )));
        }
    }
    makers
}

/// The order of the request, save that a POST moves in front of the first operation that refers to it. Nothing else
/// moves, so that changes of one person follow each other as the client wrote them.
fn order(operations: &[Operation], makers: &HashMap<String, usize>) -> Vec<usize> {
    fn visit(
        place: usize,
        operations: &[Operation],
        makers: &HashMap<String, usize>,
        seen: &mut HashSet<usize>,
        order: &mut Vec<usize>,
    ) {
        if !seen.insert(place) {
            return;
        }
        let needs = operations.get(place).map(|operation| operation.needs.as_slice()).unwrap_or_default();
        for maker in needs.iter().filter_map(|bulk_id| makers.get(bulk_id)) {
            visit(*maker, operations, makers, seen, order);
        }
        order.push(place);
    }
    let (mut seen, mut order) = (HashSet::new(), Vec::with_capacity(operations.len()));
    for place in 0..operations.len() {
        visit(place, operations, makers, &mut seen, &mut order);
    }
    order
}

/// Trouble that passes is told as such, so that the client tries again; a 404 would say that somebody is gone.
fn needed(place: usize, error: &Error) -> Error {
    let passes = error.status.is_server_error() || error.status == StatusCode::TOO_MANY_REQUESTS;
    let status = if passes { error.status } else { StatusCode::CONFLICT };
    let detail = format!(
        "not carried out: it refers to the person whom operation {} should have made, which failed with {}",
        place + 1,
        error.status.as_u16()
    );
    Error::new(status, detail)
}

/// RFC 7644 section 3.7.1
fn circular(place: usize) -> Error {
    let detail = format!(
        "not carried out: this operation and operation {} refer to each other in a circle; leave one reference out \
         and set it by a PATCH on /Users/bulkId:… in the same request",
        place + 1
    );
    Error::new(StatusCode::CONFLICT, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(action: &Action) -> Option<&str> {
        match action {
            Action::Create(_) => None,
            Action::Replace(id, _) | Action::Patch(id, _) | Action::Delete(id) => Some(id),
        }
    }

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn parse(operations: &Value) -> Result<Job, Error> {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations,
        });
        Job::parse(body, 50)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the callers make it on the spot")]
    fn post(bulk_id: &str, data: Value) -> Value {
        json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data})
    }

    fn manager(reference: &str) -> Value {
        json!({ ENTERPRISE: {"manager": {"value": reference}} })
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of the things that carry operations out")]
    fn well(action: &Action) -> Result<Done, Error> {
        let (status, id) = match action {
            Action::Create(data) => {
                (StatusCode::CREATED, format!("id {}", data["userName"].as_str().unwrap()))
            }
            Action::Delete(id) => (StatusCode::NO_CONTENT, id.clone()),
            Action::Replace(id, _) | Action::Patch(id, _) => (StatusCode::OK, id.clone()),
        };
        Ok(Done { status, id, version: None })
    }

    /// Carries everything out and shows the actions in their order, with the results.
    fn run(mut job: Job, carry_out: impl Fn(&Action) -> Result<Done, Error>) -> (Vec<Action>, Vec<Value>) {
        let mut carried_out = Vec::new();
        while let Some((place, action)) = job.turn() {
            let outcome = action.and_then(|action| {
                let outcome = carry_out(&action);
                carried_out.push(action);
                outcome
            });
            job.settle(place, outcome);
        }
        let answer = job.into_json(|_, id| format!("https://x/Users/{id}"), "r1");
        assert_eq!(answer["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
        (carried_out, answer["Operations"].as_array().unwrap().clone())
    }

    /// The status of each result, with the beginning of its reason.
    fn statuses(results: &[Value]) -> Vec<String> {
        let shown = |result: &Value| match result["response"]["detail"].as_str() {
            Some(detail) => format!("{} {detail}", result["status"].as_str().unwrap()),
            None => result["status"].as_str().unwrap().to_owned(),
        };
        results.iter().map(shown).collect()
    }

    #[track_caller]
    fn assert_statuses(results: &[Value], expected: &[&str]) {
        let found = statuses(results);
        let fits = |(found, expected): (&String, &&str)| found.starts_with(*expected);
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(fits), "{found:#?}");
    }

    #[test]
    fn each_operation_becomes_what_it_says() {
        let operations = json!([
            {"Method": "post", "PATH": "Users/", "BulkId": "a", "Data": {"userName": "ann"}, "version": null},
            {"method": "PUT", "path": "/Users/auth0%7C1", "data": {"userName": "bob"}},
            {"method": "PATCH", "path": "//users//2", "bulkId": "p", "data": {"Operations": []}},
            {"method": "PATCH", "path": "/Users/3", "data": [{"op": "remove", "path": "title"}]},
            {"method": "DELETE", "path": "/Users/a%2F..%2Fb", "data": {"value": "bulkId:nobody"}},
        ]);
        let (actions, results) = run(parse(&operations).unwrap(), well);
        assert!(
            actions
                == [
                    Action::Create(json!({"userName": "ann"})),
                    Action::Replace("auth0|1".into(), json!({"userName": "bob"})),
                    Action::Patch("2".into(), json!({"Operations": []})),
                    Action::Patch("3".into(), json!({"Operations": [{"op": "remove", "path": "title"}]})),
                    Action::Delete("a/../b".into()),
                ]
        );
        assert_eq!(
            results[..3],
            [
                json!({"location": "https://x/Users/id ann", "method": "POST", "bulkId": "a", "status": "201"}),
                json!({"location": "https://x/Users/auth0|1", "method": "PUT", "status": "200"}),
                json!({"location": "https://x/Users/2", "method": "PATCH", "bulkId": "p", "status": "200"}),
            ]
        );
        assert_statuses(&results[3..], &["200", "204"]);
    }

    #[test]
    fn errors_are_told_with_their_operation() {
        let operations = json!([
            {"method": "DELETE", "path": "/Users/1"},
            {"method": "PUT", "path": "/Users/2", "data": {"userName": "b"}},
            post("c", json!({"userName": "c"})),
        ]);
        let (_, results) = run(parse(&operations).unwrap(), |action| match id_of(action) {
            Some("1") => Err(Error::not_found("there is no such user")),
            Some(id) => {
                Ok(Done { status: StatusCode::OK, id: id.to_owned(), version: Some("W/\"7\"".to_owned()) })
            }
            None => Err(Error::uniqueness("userName: taken")),
        });
        let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
        assert_eq!(
            results,
            [
                json!({"location": "https://x/Users/1", "method": "DELETE", "status": "404", "response":
                    {"schemas": [urn], "status": "404", "detail": "there is no such user (request-id r1)"}}),
                json!({"location": "https://x/Users/2", "method": "PUT", "version": "W/\"7\"", "status": "200"}),
                json!({"method": "POST", "bulkId": "c", "status": "409", "response": {"schemas": [urn],
                    "status": "409", "scimType": "uniqueness", "detail": "userName: taken (request-id r1)"}}),
            ]
        );
    }

    #[test]
    fn references_become_ids_wherever_they_stand() {
        let boss = "bulkId:boss";
        let operations = json!([
            post("boss", json!({"userName": "x|y"})),
            {"method": "PUT", "path": "/Users/1", "data": {
                ENTERPRISE: {"Manager": {"value": boss, "$REF": "../Users/bulkId:boss"}}, "title": "a bulkId:boss"}},
            {"method": "PATCH", "path": "/Users/2", "data": {"Operations": [
                {"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": boss},
                {"op": "add", "value": {"manager.value": boss, "x": [{"$ref": boss}, {"value": [boss]}]}}]}},
            {"method": "PATCH", "path": "/Users/bulkId:boss", "data": {"Operations": []}},
            {"method": "DELETE", "path": "/Users/bulkId%3Aboss"},
        ]);
        let (actions, results) = run(parse(&operations).unwrap(), well);
        let id = "id x|y";
        assert!(
            actions[1..]
                == [
                    Action::Replace(
                        "1".into(),
                        json!({
                        ENTERPRISE: {"Manager": {"value": id, "$REF": "../Users/id%20x%7Cy"}}, "title": "a bulkId:boss"})
                    ),
                    Action::Patch(
                        "2".into(),
                        json!({"Operations": [
                        {"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": id},
                        {"op": "add", "value": {"manager.value": id,
                            "x": [{"$ref": "../Users/id%20x%7Cy"}, {"value": [id]}]}}]})
                    ),
                    Action::Patch(id.into(), json!({"Operations": []})),
                    Action::Delete(id.into()),
                ]
        );
        assert_eq!(results[3]["location"], "https://x/Users/id x|y");
    }

    /// RFC 7644 section 3.7: the order may change only where the result stays the same.
    #[test]
    fn whoever_is_referred_to_comes_first_and_nothing_else_moves() {
        let operations = json!([
            {"method": "PATCH", "path": "/Users/1", "data": manager("bulkId:b")},
            {"method": "DELETE", "path": "/Users/1"},
            post("a", json!({"userName": "a", ENTERPRISE: {"manager": "bulkId:b"}})),
            post("b", json!({"userName": "b", ENTERPRISE: {"manager": "bulkId:c"}})),
            post("c", json!({"userName": "c"})),
            {"method": "DELETE", "path": "/Users/bulkId:a"},
        ]);
        let (actions, results) = run(parse(&operations).unwrap(), well);
        let shown: Vec<_> = actions
            .iter()
            .map(|action| match action {
                Action::Create(data) => format!("{} {}", data["userName"], data[ENTERPRISE]["manager"]),
                action => format!("{action:?} {}", id_of(action).unwrap()),
            })
            .collect();
        let expected = [
            "\"c\" null",
            "\"b\" \"id c\"",
            "patch-user 1",
            "delete-user 1",
            "\"a\" \"id b\"",
            "delete-user id a",
        ];
        assert_eq!(shown, expected);
        let methods: Vec<_> = results.iter().map(|result| result["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["PATCH", "DELETE", "POST", "POST", "POST", "DELETE"], "as asked");
    }

    #[test]
    fn circles_are_refused_and_what_depends_on_them() {
        let circle =
            |detail| format!("409 not carried out: this operation and operation {detail} refer to each");
        let lost =
            |detail| format!("409 not carried out: it refers to the person whom operation {detail} should");
        let operations = json!([
            post("a", manager("bulkId:b")),
            post("b", manager("bulkId:c")),
            post("c", manager("bulkId:a")),
            post("own", manager("bulkId:own")),
            {"method": "PATCH", "path": "/Users/bulkId:c", "data": {"Operations": []}},
            {"method": "PATCH", "path": "/Users/1", "data": {"Operations": []}},
        ]);
        let (actions, results) = run(parse(&operations).unwrap(), well);
        assert_eq!(actions.len(), 1);
        let expected = [lost(2), lost(3), circle(1), circle(4), lost(3), "200".to_owned()];
        assert_statuses(&results, &expected.each_ref().map(String::as_str));
    }

    /// Two people who manage each other are made by setting one of the managers afterwards.
    #[test]
    fn a_circle_can_be_closed_by_a_patch() {
        let operations = json!([
            {"method": "PATCH", "path": "/Users/bulkId:a", "data": {"Operations": [{"value": "bulkId:b"}]}},
            post("a", json!({"userName": "a"})),
            post("b", json!({"userName": "b", "manager": "bulkId:a"})),
        ]);
        let (actions, results) = run(parse(&operations).unwrap(), well);
        assert_statuses(&results, &["200", "201", "201"]);
        assert!(actions[2] == Action::Patch("id a".into(), json!({"Operations": [{"value": "id b"}]})));
    }

    #[test]
    fn whoever_needs_a_failed_operation_fails_and_is_told_whether_it_passes() {
        let operations = json!([
            post("a", json!({"userName": "a"})),
            post("b", manager("bulkId:a")),
            {"method": "DELETE", "path": "/Users/bulkId:b"},
            {"method": "DELETE", "path": "/Users/2"},
        ]);
        let failing = |status: u16| {
            let (actions, results) = run(parse(&operations).unwrap(), |action| match action {
                Action::Create(_) => Err(Error::new(StatusCode::from_u16(status).unwrap(), "no")),
                action => well(action),
            });
            assert_eq!(actions.len(), 2);
            assert_eq!(results[2]["location"], Value::Null);
            statuses(&results)
                .iter()
                .map(|status| status.get(..3).unwrap().parse::<u16>().unwrap())
                .collect::<Vec<_>>()
        };
        for (status, told) in [(400, 409), (409, 409), (404, 409), (429, 429), (502, 502), (503, 503)] {
            assert_eq!(failing(status), [status, told, told, 204]);
        }
    }

    #[test]
    fn an_operation_that_cannot_be_spoils_no_other() {
        let data = json!({"userName": "a"});
        let lone = "400 a POST needs a bulkId";
        let missing = "400 path is missing";
        let elsewhere = "404 a bulk request reaches /Users";
        let nobody = "400 it refers to a bulkId that belongs to no single POST";
        let operations = [
            (json!({"method": "POST", "path": "/Users", "data": data}), lone),
            (json!({"method": "POST", "path": "/Users", "bulkId": "", "data": data}), lone),
            (json!({"method": "POST", "path": "/Users", "bulkId": "b"}), "400 data is missing"),
            (
                json!({"method": "POST", "path": "/Users/1", "bulkId": "c", "data": data}),
                "405 a POST makes somebody or something",
            ),
            (json!({"method": "DELETE", "path": "/Users"}), "405 only a POST is for /Users"),
            (json!({"method": "DELETE"}), missing),
            (json!({"method": "PUT", "path": "", "data": data}), missing),
            (json!({"method": "GET", "path": "/Users/1"}), "400 the method of an operation must be"),
            (
                json!({"method": "PUT", "path": "/Users/1?attributes=id", "data": data}),
                "400 the path of an operation",
            ),
            (json!({"method": "PUT", "path": "/Devices/1", "data": data}), elsewhere),
            (json!({"method": "PUT", "path": "/scim/v2/Users/1", "data": data}), elsewhere),
            (json!({"method": "PUT", "path": "/Users/%FF", "data": data}), elsewhere),
            (json!({"method": "PUT", "path": "/", "data": data}), elsewhere),
            (json!({"method": "PUT", "path": "/Users/bulkId:z", "data": data}), nobody),
            (json!({"method": "PUT", "path": "/Users/1", "data": manager("bulkId:")}), nobody),
            (json!({"method": "PUT", "path": 1, "data": data}), "400 path must be a text"),
            (post("twice", data.clone()), "400 several POST operations have this bulkId"),
            (post("twice", data.clone()), "400 several POST operations have this bulkId"),
            (json!({"method": "DELETE", "path": "/Users/bulkId:twice"}), nobody),
            (json!({"method": "DELETE", "path": "/Users/1", "bulkId": "last"}), "204"),
            (post("last", data.clone()), "201"),
        ];
        let (given, expected): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
        let (actions, results) = run(parse(&json!(given)).unwrap(), well);
        assert_statuses(&results, &expected);
        assert_eq!(actions.len(), 2);
        assert_eq!(results[7]["method"], "GET", "as the client wrote it");
        let nowhere: Vec<_> =
            (0..results.len()).filter(|place| results[*place]["location"].is_null()).collect();
        assert_eq!(nowhere, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18]);
    }

    #[test]
    fn the_client_says_how_many_errors_it_accepts() {
        let gone = json!({"method": "GET", "path": "/Users/1"});
        let fine = json!({"method": "DELETE", "path": "/Users/1"});
        let operations = json!([fine, gone, fine, gone, fine]);
        for (most, results) in [(json!(1), 2), (json!(2), 4), (json!(3), 5), (json!(null), 5)] {
            let body = json!({"FailOnErrors": most, "operations": operations});
            assert_eq!(run(Job::parse(body, 50).unwrap(), well).1.len(), results, "{most}");
        }
        for wrong in [json!(0), json!(-1), json!(1.5), json!("1"), json!(true), json!([])] {
            let error = Job::parse(json!({"failOnErrors": wrong, "Operations": []}), 50).unwrap_err();
            assert!(error.detail.starts_with("failOnErrors must be a whole number from 1 on"), "{error}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_answered_is_refused_as_a_whole() {
        let needs = "a bulk request needs Operations, an array: send the BulkRequest message of RFC 7644";
        let table = [
            (json!([]), "the body must be a JSON object with Operations"),
            (json!({}), needs),
            (json!({"Operations": {"method": "POST"}}), needs),
            (
                json!({"Operations": [{"method": "DELETE", "path": "/Users/1"}, "POST"]}),
                "operation 2: it must be a JSON object with method, path and data",
            ),
            (
                json!({"Operations": [{"path": "/Users/1"}]}),
                "operation 1: method is missing: give POST, PUT, PATCH or DELETE",
            ),
            (json!({"Operations": [{"method": 1}]}), "operation 1: method must be a text"),
            (json!({"Operations": [{"method": "POST", "bulkId": 1}]}), "operation 1: bulkId must be a text"),
        ];
        for (body, detail) in table {
            let error = Job::parse(body, 50).unwrap_err();
            assert_eq!(error, Error::invalid_syntax(detail));
        }
        let error = Job::parse(json!({"Operations": [1, 2, 3]}), 2).unwrap_err();
        assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(
            error.detail.starts_with("the number of operations exceeds the maxOperations (2)"),
            "{error}"
        );
        assert!(
            too_large(7).detail.starts_with("the size of the bulk operation exceeds the maxPayloadSize (7)")
        );
        assert!(run(parse(&json!([])).unwrap(), well).1.is_empty());
    }
}
