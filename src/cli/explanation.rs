//! What `explain` found out, as text of 80 columns for people and as JSON for machines.

use std::fmt;

use serde_json::{Value, json};

use crate::bridge::record::Event;
use crate::cli::granted::{self, GroupSeen, Turn};
use crate::cli::outcome::{self, Asked, Explained};
use crate::cli::props::Props;
use crate::cli::request::Request;
use crate::cli::text::{hanging, indented};
use crate::mapping::trace::Step;
use crate::server::status::explain::{self as page, Answer, Called};
use crate::simulator::Call;

/// Everything about one request.
#[derive(Debug)]
pub(super) struct Explanation {
    pub(super) request: Request,
    pub(super) base_path: String,
    /// Where the mapping comes from.
    pub(super) mapping: String,
    /// The id of the person whom Ziflow has, if one was given.
    pub(super) id: Option<String>,
    /// What was put in place for a request about a group.
    pub(super) props: Props,
    pub(super) events: Vec<Event>,
    pub(super) calls: Vec<Call>,
    /// Warnings and errors that the service would log.
    pub(super) log: Vec<String>,
    pub(super) status: u16,
    pub(super) answer: Value,
}

impl Explanation {
    pub(super) fn to_json(&self) -> Value {
        let fields = |asked: &Asked| -> Vec<Value> { asked.fields.iter().map(Explained::to_json).collect() };
        let mapping: Vec<Value> =
            self.asked().iter().map(|asked| json!({"about": asked.about, "fields": fields(asked)})).collect();
        let mut explained = json!({
            "request": {"method": self.request.method, "path": self.path(), "user": self.id},
            "mapping": {"file": self.mapping, "asked": mapping},
            "ziflow": self.calls.iter().map(call_json).collect::<Vec<_>>(),
            "log": self.log,
            "answer": {"status": self.status, "body": self.answer},
        });
        if let (true, Some(object)) = (self.is_about_groups(), explained.as_object_mut()) {
            let groups: Vec<Value> = self.groups().iter().map(GroupSeen::to_json).collect();
            let turns: Vec<Value> = self.turns().iter().map(Turn::to_json).collect();
            object.insert(
                "groups".to_owned(),
                json!({"before": self.props.to_json(), "granting": groups, "people": turns}),
            );
        }
        explained
    }

    /// Also people come into it, by what their groups grant, and groups by what a bulk request holds.
    fn is_about_groups(&self) -> bool {
        let told = |event: &Event| matches!(event, Event::Group { .. } | Event::Turn { .. });
        self.request.is_about_groups() || self.props.group.is_some() || self.events.iter().any(told)
    }

    /// The groups as the mapping sees them: before, and where that is another thing, after.
    fn groups(&self) -> Vec<GroupSeen> {
        let before = self.props.group.as_ref().filter(|_| self.request.is_about_groups());
        let mut groups: Vec<GroupSeen> = before.map(|group| group.seen.clone()).into_iter().collect();
        for group in granted::groups(&self.events) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    fn turns(&self) -> Vec<Turn> {
        granted::turns(&self.events, &self.calls)
    }

    fn path(&self) -> String {
        format!("{}{}", self.base_path, self.request.target)
    }

    fn asked(&self) -> Vec<Asked> {
        outcome::asked(&self.events, &self.calls)
    }
}

/// For the status page.
impl From<Explanation> for Answer {
    fn from(explanation: Explanation) -> Self {
        let shown = |body: &Value| if body.is_null() { String::new() } else { format!("{body:#}") };
        let person = explanation.id.as_ref().map(|id| format!("Ziflow has the person {id}."));
        Self {
            request: format!("{} {}", explanation.request.method, explanation.path()),
            notes: person.into_iter().chain(explanation.props.lines()).collect(),
            asked: explanation.told(),
            calls: explanation
                .calls
                .iter()
                .map(|call| Called { call: line_of(call), status: call.status, body: shown(&call.body) })
                .collect(),
            status: explanation.status,
            body: shown(&explanation.answer),
            log: explanation.log,
        }
    }
}

impl Explanation {
    /// What the mapping makes of people and groups, for the status page.
    fn told(&self) -> Vec<page::Asked> {
        let mapping = &self.mapping;
        let asked = self.asked().into_iter().map(|asked| page::Asked {
            about: format!("The mapping, {mapping}, makes of {}", asked.about),
            fields: fields_told(&asked.fields),
        });
        let groups = self.groups().into_iter().map(|group| page::Asked {
            about: format!("The mapping, {mapping}, grants to members of `{}`", group.name),
            fields: group.lines().into_iter().map(plain_line).collect(),
        });
        let turns = self.turns().into_iter().map(|turn| page::Asked {
            about: format!("{}, {}, gains or loses after the answer", turn.id, turn.email),
            fields: turn.lines().into_iter().map(plain_line).collect(),
        });
        let mut told: Vec<_> = asked.collect();
        if self.is_about_groups() {
            told.extend(groups.chain(turns));
        }
        told
    }
}

fn fields_told(fields: &[Explained]) -> Vec<page::Field> {
    let changed = fields.iter().filter(|explained| !explained.is_unchanged()).map(|explained| page::Field {
        headline: explained.headline(),
        steps: explained.steps.iter().map(sentence).collect(),
    });
    changed.chain(unchanged(fields).map(plain_line)).collect()
}

fn plain_line(headline: String) -> page::Field {
    page::Field { headline, steps: Vec::new() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Request: {} {}", self.request.method, self.path())?;
        if let Some(id) = &self.id {
            writeln!(f, "Ziflow has the person {id}.")?;
        }
        self.props.lines().iter().try_for_each(|line| writeln!(f, "{}", hanging(line, 0, 0)))?;
        let asked = self.asked();
        for asked in &asked {
            writeln!(f, "\nThe mapping, {}, makes of {}:", self.mapping, asked.about)?;
            write_fields(f, &asked.fields)?;
        }
        if self.is_about_groups() {
            self.write_groups(f)?;
        } else if asked.is_empty() {
            writeln!(f, "\nThe mapping has no part in this request.")?;
        }
        write_calls(f, &self.calls)?;
        if !self.log.is_empty() {
            writeln!(f, "\nThe log would say:")?;
            self.log.iter().try_for_each(|line| writeln!(f, "{}", hanging(line, 2, 4)))?;
        }
        writeln!(f, "\nThe answer: {}", self.status)?;
        write_body(f, &self.answer)
    }
}

impl Explanation {
    fn write_groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.groups() {
            let head = format!("The mapping, {}, grants to members of `{}`:", self.mapping, group.name);
            writeln!(f, "\n{}", hanging(&head, 0, 0))?;
            group.lines().iter().try_for_each(|line| writeln!(f, "{}", hanging(line, 2, 6)))?;
        }
        let turns = self.turns();
        if turns.is_empty() {
            return writeln!(f, "\nNobody gains or loses anything in Ziflow.");
        }
        writeln!(f, "\nWho gains or loses what in Ziflow, after the answer:")?;
        for turn in turns {
            writeln!(f, "{}", hanging(&format!("{}, {}:", turn.id, turn.email), 2, 6))?;
            turn.lines().iter().try_for_each(|line| writeln!(f, "{}", hanging(line, 6, 10)))?;
        }
        Ok(())
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[Explained]) -> fmt::Result {
    for explained in fields.iter().filter(|explained| !explained.is_unchanged()) {
        writeln!(f, "{}", hanging(&explained.headline(), 2, 6))?;
        explained.steps.iter().try_for_each(|step| writeln!(f, "{}", hanging(&sentence(step), 6, 10)))?;
    }
    unchanged(fields).map_or(Ok(()), |text| writeln!(f, "{}", hanging(&text, 2, 6)))
}

/// The fields that the request has nothing to do with, in a line.
fn unchanged(fields: &[Explained]) -> Option<String> {
    let names: Vec<_> =
        fields.iter().filter(|field| field.is_unchanged()).map(|field| field.field.name()).collect();
    (!names.is_empty())
        .then(|| format!("{}: nothing that they are made of is changed by this request", names.join(", ")))
}

fn write_calls(f: &mut fmt::Formatter<'_>, calls: &[Call]) -> fmt::Result {
    if calls.is_empty() {
        return writeln!(f, "\nZiflow is not asked for anything.");
    }
    writeln!(f, "\nCalls of Ziflow:")?;
    for (index, call) in calls.iter().enumerate() {
        let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let line = format!("{}. {} ({status})", index + 1, line_of(call));
        writeln!(f, "{}", hanging(&line, 2, 6))?;
        write_body(f, &call.body)?;
    }
    Ok(())
}

fn line_of(call: &Call) -> String {
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    let path = percent_encoding::percent_decode_str(&call.path).decode_utf8_lossy();
    format!("{} {path}{query}", call.method)
}

fn write_body(f: &mut fmt::Formatter<'_>, body: &Value) -> fmt::Result {
    if body.is_null() {
        return Ok(());
    }
    writeln!(f, "{}", indented(body, 5))
}

fn call_json(call: &Call) -> Value {
    json!({
        "method": call.method,
        "path": call.path,
        "query": call.query,
        "body": call.body,
        "status": call.status,
    })
}

fn sentence(step: &Step) -> String {
    match step {
        Step::Absent { path } => format!("{path} is not there"),
        Step::Read { path, value } => format!("{path} holds {}", quoted(value)),
        Step::Template { value } => format!("the template makes {}", quoted(value)),
        Step::Rule { number, when: None, .. } => format!("rule {number} holds for everybody"),
        Step::Rule { number, when: Some(when), holds: true } => format!("rule {number} holds: {when}"),
        Step::Rule { number, when: Some(when), holds: false } => {
            format!("rule {number} does not hold: {when}")
        }
        Step::Transform { transform, value } => format!("{transform} makes {}", quoted(value)),
        Step::Row { row, value } => format!("the row `{row}` of values says {value}"),
        Step::Spelling { value } => format!("Ziflow spells it {}", quoted(value)),
        Step::Unknown { value } => format!("{} is not known", quoted(value)),
        Step::Excluded { value } => format!("{} fits nothing in `only`", quoted(value)),
        Step::Otherwise { otherwise } => format!("otherwise: {}", plain(otherwise)),
        Step::Default { value } => format!("default: {}", plain(value)),
        Step::Constant { value } => format!("value: {}", plain(value)),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
