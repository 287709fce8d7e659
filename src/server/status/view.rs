//! What every page of the admin listener looks like: the frame around it, times, states, and the calls of Ziflow. All
//! that is shown is escaped by `maud`, in texts and in attributes alike.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::bridge::{Calls, Outcome};

/// A tab of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Status,
    Explain,
}

/// The whole page. `refresh`: it loads itself again after so many seconds.
pub(super) fn frame(tab: Tab, refresh: Option<u32>, aside: &Markup, body: &Markup) -> String {
    let title = match tab {
        Tab::Status => "Status",
        Tab::Explain => "Explain",
    };
    let link = |this: Tab, path: &str, name: &str| {
        html! { a href=(path) aria-current=[(tab == this).then_some("page")] { (name) } }
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(secs) = refresh { meta http-equiv="refresh" content=(secs); }
                title { (title) " · ziflow-scim-bridge" }
                link rel="icon" type="image/svg+xml" href="/icon.svg";
                link rel="stylesheet" href="/style.css";
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    div.brand { img src="/icon.svg" alt=""; "ziflow-scim-bridge" }
                    nav aria-label="Pages" {
                        (link(Tab::Status, "/", "Status"))
                        (link(Tab::Explain, "/explain", "Explain"))
                    }
                    div.aside { (aside) }
                }
                main #main { (body) }
                footer {
                    "Version " (env!("CARGO_PKG_VERSION")) ". Nothing changes over this listener. For programs: "
                    a href="/readyz" { "/readyz" } " and " a href="/metrics" { "/metrics" } "."
                }
            }
        }
    }
    .into_string()
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Odd,
    Bad,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "good",
            Self::Odd => "odd",
            Self::Bad => "bad",
        }
    }

    /// A client's mistake is the client's; what an operator may have to act on stands out.
    pub(super) fn of(status: Option<StatusCode>) -> Self {
        match status {
            Some(status) if status.is_server_error() => Self::Bad,
            Some(status) if status.is_client_error() => Self::Odd,
            Some(_) => Self::Good,
            None => Self::Odd,
        }
    }
}

pub(super) fn tag(tone: Tone, text: &str) -> Markup {
    html! { span.tag.(tone.class()) { (text) } }
}

pub(super) fn status_tag(status: Option<StatusCode>) -> Markup {
    match status {
        Some(status) => tag(Tone::of(Some(status)), status.as_str()),
        None => tag(Tone::Odd, "gone"),
    }
}

/// A moment, as it is said and as it is written.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let exact = format!("{at:.0}");
    html! { time datetime=(exact) title=(exact) { (distance(at, now)) } }
}

/// How far a moment lies behind, or ahead.
pub(super) fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    match seconds {
        -1..=1 => "now".to_owned(),
        2.. => format!("{} ago", length(seconds)),
        _ => format!("in {}", length(-seconds)),
    }
}

fn length(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// `3 calls`.
pub(super) fn counted(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What Ziflow was asked, as a table.
pub(super) fn calls(calls: &Calls) -> Markup {
    if calls.first().is_empty() {
        return html! { p.faint { "Ziflow was not asked by this request itself." } };
    }
    html! {
        div.scroll { table {
            caption.faint { "Calls of Ziflow, in the order in which they ended" }
            thead { tr {
                th scope="col" { "Call" } th scope="col" { "Outcome" }
                th.number scope="col" { "Queued" } th.number scope="col" { "Took" }
            } }
            tbody {
                @for made in calls.first() {
                    tr {
                        td.mono {
                            (made.method) " " (made.said.target.as_ref().unwrap_or(&made.endpoint))
                            @if made.retry > 0 { span.faint { " (again)" } }
                            @if let Some(sent) = &made.said.sent { div.said { span.faint { "sent " } (sent) } }
                            @if let Some(answered) = &made.said.answered { div.said { span.faint { "answered " } (answered) } }
                        }
                        td { (tag(tone_of(made.outcome), &made.outcome.to_string())) }
                        td.number { (millis(made.waited)) }
                        td.number { (millis(made.took)) }
                    }
                }
            }
        } }
        @if calls.further() > 0 { p.faint { "And " (calls.further()) " more, which are not kept." } }
    }
}

fn tone_of(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Answered(200..=399) => Tone::Good,
        // Somebody who is not there is an answer like any other.
        Outcome::Answered(404) => Tone::Plain,
        Outcome::Answered(500..) | Outcome::Cut(_) | Outcome::TimedOut | Outcome::Lost => Tone::Bad,
        Outcome::Answered(_) | Outcome::NotSent => Tone::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (then, said) in [
            (1_000_000, "now"),
            (999_970, "30 s ago"),
            (999_000, "16 min ago"),
            (990_000, "2 h ago"),
            (700_000, "3 days ago"),
            (1_000_090, "in 90 s"),
            (1_500_000, "in 5 days"),
        ] {
            assert_eq!(distance(at(then), at(1_000_000)), said);
        }
    }

    #[test]
    fn whatever_stands_in_a_page_stays_text() {
        let nasty = r#"</title><script>alert(1)</script>" onload='x' &amp;"#;
        let page = frame(Tab::Status, None, &html! { (nasty) }, &html! { p title=(nasty) { (nasty) } });
        assert!(!page.contains("<script") && !page.contains("\" onload"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 3, "{page}");
    }
}
