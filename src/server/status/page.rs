//! The status page: whether Entra is served, what wants a look, whom the bridge could not serve and why, and what was
//! asked of late.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::bridge::figures::Door;
use crate::bridge::in_force::InForce;
use crate::mask::Values;
use crate::server::operations::Operation;
use crate::server::readiness::{Look, Part};
use crate::server::reloads::{Refusal, Tally};
use crate::server::status::filter::{Filter, REFRESH_SECS, Shown};
use crate::server::status::request;
use crate::server::status::view::{Tab, Tone, counted, frame, moment, status_tag, tag};
use crate::server::tokens::Tokens;

/// What there is to see at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) now: Timestamp,
    pub(super) look: Look,
    pub(super) tally: Tally,
    pub(super) mapping: Arc<InForce>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) pace: Door,
    pub(super) values: Values,
    /// The latest first, as the two others are.
    pub(super) operations: Vec<Arc<Operation>>,
    pub(super) failures: Vec<Arc<Operation>>,
}

impl Seen {
    pub(super) fn page(&self, filter: &Filter) -> String {
        let aside = html! {
            "Seen at " time datetime=(format!("{:.0}", self.now)) { (self.now.strftime("%H:%M:%S UTC")) } " · "
            @let toggled = Filter { refreshes: !filter.refreshes, ..filter.clone() };
            a href=(toggled.link()) {
                @if filter.refreshes { "stop refreshing" } @else { "refresh every " (REFRESH_SECS) " s" }
            }
        };
        let body = html! {
            (self.verdict())
            div.cards { (self.last_request()) (self.pace()) (self.mapping()) (self.tokens()) }
            (self.failures())
            (self.requests(filter))
            (self.parts())
        };
        frame(Tab::Status, filter.refreshes.then_some(REFRESH_SECS), &aside, &body)
    }

    fn verdict(&self) -> Markup {
        let odd: Vec<&Part> = self.look.parts.iter().filter(|part| is_odd(part)).collect();
        let (tone, sentence) = match (self.look.ready, odd.len()) {
            (false, _) => (Tone::Bad, "Entra is not served.".to_owned()),
            (true, 0) => match self.failures.len() {
                0 => (Tone::Good, "Entra is served.".to_owned()),
                some => {
                    (Tone::Odd, format!("Entra is served, but for {some} that it asked for: see Not served."))
                }
            },
            (true, 1) => (Tone::Odd, "Entra is served; one thing wants a look.".to_owned()),
            (true, some) => (Tone::Odd, format!("Entra is served; {some} things want a look.")),
        };
        html! {
            section.verdict.(tone.class()) {
                h1 { (sentence) }
                @if !odd.is_empty() {
                    ul { @for part in odd { li {
                        (part_tag(part)) " " b { (part.name) } " since " (self.since(part)) ": " (part.detail)
                    } } }
                }
            }
        }
    }

    fn since(&self, part: &Part) -> Markup {
        match part.since.parse() {
            Ok(since) => moment(since, self.now),
            Err(_not_a_time) => html! { (part.since) },
        }
    }

    fn last_request(&self) -> Markup {
        html! {
            section {
                h2 { "Last asked" }
                @match self.operations.iter().find(|operation| operation.is_known) {
                    None => p.faint { "Nobody with a right credential has asked since the start." }
                    Some(last) => {
                        p { (status_tag(last.status)) " " b { (last.name) } " " (moment(last.at, self.now)) }
                        dl {
                            dt { "From" } dd { (last.who) }
                            @if let Some(id) = &last.id { dt { "About" } dd.mono { (id) } }
                            dt { "Cost" } dd { (request::cost(last)) }
                            @if let Some(reason) = &last.reason { dt { "Reason" } dd { div.brief { (reason) } } }
                            dt { "Request" } dd.mono { (request::link_to(&last.request_id)) }
                        }
                    }
                }
            }
        }
    }

    fn pace(&self) -> Markup {
        let Door { pace, pace_now, lately, in_flight, most_in_flight, pause_left, .. } = &self.pace;
        let waiting: usize = self.pace.waiting.iter().map(|(_, waiting)| waiting).sum();
        html! {
            section {
                h2 { "Pace towards Ziflow" }
                p #used { b { (format!("{lately:.1}")) } " of " (format!("{pace_now:.1}")) " calls/s over the last 10 s" }
                meter aria-labelledby="used" min="0" max=(pace_now) value=(format!("{lately:.1}")) {}
                dl {
                    dt { "Under way" } dd { (in_flight) " of " (most_in_flight) }
                    dt { "Waiting" } dd { (waiting) }
                    @if *pace_now < f64::from(*pace) {
                        dt { "Slowed" } dd { "from " (pace) " calls/s, since Ziflow asked to slow down" }
                    }
                    @if !pause_left.is_zero() {
                        dt { "Paused" } dd { (tag(Tone::Odd, "by Ziflow")) " for another " (pause_left.as_secs() + 1) " s" }
                    }
                }
            }
        }
    }

    fn mapping(&self) -> Markup {
        let Tally { succeeded, refused, last_success, refusal } = &self.tally;
        html! {
            section {
                h2 { "Mapping in force" }
                dl {
                    dt { "File" } dd.mono { (self.mapping.file) }
                    dt { "Version" } dd.mono { (self.mapping.digest) }
                    dt { "Since" } dd { @match self.mapping.since.parse() {
                        Ok(since) => (moment(since, self.now)),
                        Err(_not_a_time) => (self.mapping.since),
                    } }
                    dt { "Last loaded" } dd { (moment(*last_success, self.now)) }
                    dt { "Reloads" } dd { (succeeded) " taken over, " (refused) " refused" }
                }
                @if let Some(refusal) = refusal { (self.refusal(refusal)) }
            }
        }
    }

    fn refusal(&self, refusal: &Refusal) -> Markup {
        html! {
            h3 { (tag(Tone::Odd, "refused")) " The reload of " (moment(refusal.at, self.now)) " is not in force" }
            @for problem in &refusal.problems { pre { (problem) } }
            @if refusal.further > 0 { p.faint { "And " (refusal.further) " more: see the log." } }
        }
    }

    fn tokens(&self) -> Markup {
        html! {
            section {
                h2 { "Tokens" }
                dl {
                    @for token in self.tokens.iter() {
                        dt { (token.name) @if token.read_only { ", read-only" } }
                        dd { @match token.expires {
                            None => "no end",
                            Some(end) => { @if end > self.now { "ends " } @else { "ended " } (moment(end, self.now)) }
                        } }
                    }
                }
            }
        }
    }

    fn failures(&self) -> Markup {
        html! {
            section {
                h2 #failed { "Not served" }
                p.faint {
                    "Whose last change failed, by SCIM id. One that succeeds takes its entry away. The request id also \
                     stands in Entra's provisioning log."
                }
                @if self.failures.is_empty() { p { "Nobody: every last change has succeeded." } }
                @else { div.scroll { table.stack aria-labelledby="failed" {
                    thead { tr {
                        th scope="col" { "Status" } th scope="col" { "Who" } th scope="col" { "Why" }
                        th scope="col" { "When" } th scope="col" { "Request" }
                    } }
                    tbody { @for failed in &self.failures { tr {
                        td { (status_tag(failed.status)) }
                        td.mono.id { @match &failed.id { Some(id) => (id), None => { "somebody new" } } }
                        td { (failed.name) @if let Some(reason) = &failed.reason { ": " (reason) } }
                        td.still data-name="When" { (moment(failed.at, self.now)) }
                        td.mono.still data-name="Request" {
                            (request::link_to(&failed.request_id))
                        }
                    } } }
                } } }
            }
        }
    }

    fn requests(&self, filter: &Filter) -> Markup {
        let wanted: Vec<_> = self.operations.iter().filter(|operation| filter.wants(operation)).collect();
        let (found, of) = (wanted.len(), self.operations.len());
        let (shown, more) = filter.cut(wanted);
        // Whoever looks for a single one wants to see it.
        let open = filter.chooses() && found == 1;
        html! {
            section {
                h2 { "Requests of late" }
                (self.form(filter))
                p.faint role="status" {
                    @if filter.chooses() { (found) " of the last " (counted(of, "request")) "." " " a href="/" { "Show all" } }
                    @else { "The last " (counted(of, "request")) ", the latest first." }
                }
                p.faint { @match self.values {
                    Values::Hidden => { "Values are hidden; " code { "log.personal_data: true" } " shows them." }
                    Values::Shown => {
                        (tag(Tone::Odd, "values are shown")) " People can be seen here, since " code { "log.personal_data" } " is true. \
                         Passwords, keys and tokens stay hidden."
                    }
                } }
                ol.requests { @for operation in shown { li { (request::shown(operation, open, self.now)) } } }
                div.pages {
                    @if filter.page > 0 {
                        a href=(Filter { page: filter.page - 1, ..filter.clone() }.link()) { "Later" }
                    }
                    @if more {
                        a href=(Filter { page: filter.page + 1, ..filter.clone() }.link()) { "Earlier" }
                    }
                }
            }
        }
    }

    fn form(&self, filter: &Filter) -> Markup {
        let mut names: BTreeSet<&str> = self.operations.iter().map(|operation| operation.name).collect();
        // What is asked for can be seen, also when there is nothing of it.
        names.extend(Some(&*filter.operation).filter(|name| !name.is_empty()));
        html! {
            form.filter method="get" action="/" {
                div.grow {
                    label for="q" { "Request id, SCIM id, client or reason" }
                    input #q type="search" name="q" value=(filter.text) autocomplete="off" spellcheck="false";
                }
                div {
                    label for="operation" { "Operation" }
                    select #operation name="operation" {
                        option value="" { "all" }
                        @for name in names { option value=(name) selected[name == filter.operation] { (name) } }
                    }
                }
                div {
                    label for="show" { "Outcome" }
                    select #show name="show" {
                        @for (value, name, shown) in Shown::ALL {
                            option value=(value) selected[shown == filter.outcome] { (name) }
                        }
                    }
                }
                @if filter.refreshes { input type="hidden" name="refresh" value="on"; }
                button type="submit" { "Filter" }
            }
        }
    }

    fn parts(&self) -> Markup {
        html! {
            section {
                h2 #parts { "Parts" }
                div.scroll { table.stack aria-labelledby="parts" {
                    thead { tr {
                        th scope="col" { "Part" } th scope="col" { "State" } th scope="col" { "Since" }
                        th scope="col" { "Detail" }
                    } }
                    tbody { @for part in &self.look.parts { tr {
                        th scope="row" { (part.name) }
                        td { (part_tag(part)) }
                        td.still data-name="Since" { (self.since(part)) }
                        td { (part.detail) }
                    } } }
                } }
            }
        }
    }
}

/// Unknown is what nobody has asked for yet.
fn is_odd(part: &Part) -> bool {
    !matches!(part.state, "ok" | "unknown")
}

fn part_tag(part: &Part) -> Markup {
    let tone = match part.state {
        "ok" => Tone::Good,
        "unknown" => Tone::Plain,
        "failing" => Tone::Bad,
        _ => Tone::Odd,
    };
    tag(tone, part.state)
}
