//! One request that was asked of late, as it is shown: in a line, and opened with what it said and the calls of Ziflow.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::server::operations::Operation;
use crate::server::status::filter::Filter;
use crate::server::status::view::{self, counted, millis, moment, status_tag};

/// A line that opens.
pub(super) fn shown(operation: &Operation, open: bool, now: Timestamp) -> Markup {
    let whom = operation.id.as_deref().unwrap_or_default();
    html! {
        details open[open] {
            summary {
                (status_tag(operation.status))
                span { (operation.name) @if let Some(number) = operation.part { span.faint { " " (number) } } }
                span.whom title=(whom) {
                    @if !whom.is_empty() { span.mono { (whom) } " " }
                    @if let Some(reason) = &operation.reason { span.faint { (reason) } }
                }
                span.cost { (cost(operation)) }
                (moment(operation.at, now))
            }
            div.inside {
                dl {
                    dt { "Time" } dd { (format!("{:.3}", operation.at)) }
                    dt { "Request" } dd {
                        (operation.method) " by " (operation.who)
                        @if let Some(number) = operation.part { ", operation " (number) " of a bulk request" }
                    }
                    dt { "Request id" } dd.mono { (operation.request_id) }
                    @if let Some(id) = &operation.client_request_id { dt { "Client's id" } dd.mono { (id) } }
                    @if let Some(id) = &operation.id { dt { "SCIM id" } dd.mono { (id) } }
                    @if let Some(target) = &operation.said.target { dt { "Asked" } dd.mono { (target) } }
                    @if let Some(body) = &operation.said.body { dt { "Body" } dd.mono { (body) } }
                    @if let Some(reason) = &operation.reason { dt { "Reason" } dd { (reason) } }
                    @if operation.status.is_none() {
                        dt { "Answer" } dd { "none: the client went away before" }
                    }
                }
                (view::calls(&operation.calls))
            }
        }
    }
}

/// Where the request is shown with its calls.
pub(super) fn link_to(request_id: &str) -> Markup {
    let link = Filter { text: request_id.to_owned(), ..Filter::default() }.link();
    html! { a href=(link) { (request_id) } }
}

pub(super) fn cost(operation: &Operation) -> String {
    let calls = usize::try_from(operation.calls.left()).unwrap_or(usize::MAX);
    format!("{}, {}", counted(calls, "call"), millis(operation.took))
}
