//! What the observations of a probe mean, in words for people. Pure.

use std::time::Duration;

use crate::ziflow::observations::{Again, Observations, Reply, Shows};

/// One thing found out, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub about: &'static str,
    /// None when it could not be found out.
    pub verdict: Option<String>,
    pub evidence: String,
}

/// Everything there is to tell, in the order of the experiments.
pub fn findings(seen: &Observations) -> Vec<Finding> {
    vec![
        plain("a wrong key", seen.bad_key.as_ref(), |reply| match reply.status {
            401 | 403 => "is refused, as it should be".to_owned(),
            200..=299 => "is not noticed: whatever answers there does not look at the key".to_owned(),
            status => format!("is answered {status}, which the bridge takes for trouble"),
        }),
        plain("an address that nobody has", seen.unknown.as_ref(), |reply| {
            format!("is answered {}, which the bridge understands", reply.status)
        }),
        plain("a new person", seen.create.as_ref(), |reply| created(reply, seen)),
        again("the same address again", seen.again.as_ref()),
        update(seen),
        answers(seen),
        roles(seen),
        group(seen),
        inactive(seen),
        again("the same address while inactive", seen.again_inactive.as_ref()),
        delete(seen),
        delay(seen),
        pace(seen),
    ]
}

fn plain(about: &'static str, reply: Option<&Reply>, say: impl Fn(&Reply) -> String) -> Finding {
    Finding {
        about,
        verdict: reply.map(say),
        evidence: reply.map(|reply| reply.told.clone()).unwrap_or_default(),
    }
}

fn unknown(about: &'static str, evidence: impl Into<String>) -> Finding {
    Finding { about, verdict: None, evidence: evidence.into() }
}

fn known(about: &'static str, verdict: impl Into<String>, evidence: impl Into<String>) -> Finding {
    Finding { about, verdict: Some(verdict.into()), evidence: evidence.into() }
}

fn created(reply: &Reply, seen: &Observations) -> String {
    match &seen.default_roles {
        Some(roles) if reply.is_success() => {
            format!("is made, with the roles [{}] when none are asked for", roles.join(", "))
        }
        _ if reply.is_success() => "is made; their roles are not shown".to_owned(),
        _ => "is refused".to_owned(),
    }
}

fn again(about: &'static str, again: Option<&Again>) -> Finding {
    let Some(Again { reply, second }) = again else { return unknown(about, "") };
    let verdict = match (reply.status, second) {
        (_, true) => "makes a second person: Ziflow does not keep addresses apart".to_owned(),
        (200..=299, false) => "is taken without a word, and makes nobody new".to_owned(),
        (400 | 409 | 422, false) => format!("is refused with {}, which the bridge understands", reply.status),
        (status, false) => format!("is refused with {status}"),
    };
    known(about, verdict, &*reply.told)
}

fn update(seen: &Observations) -> Finding {
    let about = "an update (PUT) of one field";
    let Some(update) = &seen.update else { return unknown(about, "") };
    if !update.reply.is_success() {
        return unknown(about, format!("it was refused: {}", update.reply.told));
    }
    if !update.shown {
        return unknown(about, format!("{}, but no read showed the new value", update.reply.told));
    }
    if update.lost.is_empty() {
        return known(about, "merges: all other fields stay", &*update.reply.told);
    }
    let evidence = format!("{}; then others were {}", update.reply.told, update.lost.join(", "));
    known(about, "replaces the person: what is not sent is lost", evidence)
}

fn answers(seen: &Observations) -> Finding {
    let about = "the answer to a write";
    let replies = [seen.create.as_ref(), seen.update.as_ref().map(|update| &update.reply)];
    let replies: Vec<_> = replies.into_iter().flatten().filter(|reply| reply.is_success()).collect();
    let evidence = replies.iter().map(|reply| reply.told.as_str()).collect::<Vec<_>>().join(", then ");
    match replies.iter().map(|reply| reply.shows).max_by_key(|shows| match shows {
        Shows::Person => 0,
        Shows::Id => 1,
        Shows::Nobody => 2,
    }) {
        None => unknown(about, evidence),
        Some(Shows::Person) => known(about, "shows the person", evidence),
        Some(Shows::Id) => known(about, "shows the id alone, so each write costs a read more", evidence),
        Some(Shows::Nobody) => {
            known(about, "does not show the person, so each write costs a read more", evidence)
        }
    }
}

fn roles(seen: &Observations) -> Finding {
    let about = "roles in an update";
    let Some(roles) = &seen.roles else { return unknown(about, "") };
    let Some(after) = &roles.after else {
        return unknown(about, format!("[{}] sent: {}", roles.sent.join(", "), roles.reply.told));
    };
    let evidence = format!(
        "they were [{}], [{}] was sent, they are [{}]",
        roles.had.join(", "),
        roles.sent.join(", "),
        after.join(", ")
    );
    if adds(seen) == Some(true) {
        known(about, "are added: a role that is not sent stays", evidence)
    } else {
        known(about, "take the place of the old ones", evidence)
    }
}

/// Whether roles are added to those who are there.
pub(super) fn adds(seen: &Observations) -> Option<bool> {
    let roles = seen.roles.as_ref()?;
    let after = roles.after.as_ref()?;
    Some(after.iter().any(|role| !roles.sent.contains(role)))
}

fn group(seen: &Observations) -> Finding {
    let about = "a group that does not exist";
    match &seen.group {
        None => unknown(about, ""),
        Some(group) if !group.reply.is_success() => known(about, "is refused", &*group.reply.told),
        Some(group) if group.shown => known(about, "is taken as it is", &*group.reply.told),
        Some(group) => known(about, "is ignored", format!("{}, and no read shows it", group.reply.told)),
    }
}

fn inactive(seen: &Observations) -> Finding {
    let about = "a deactivated person";
    let Some(inactive) = &seen.inactive else { return unknown(about, "") };
    if !inactive.took {
        return unknown(about, format!("the deactivation did not show: {}", inactive.reply.told));
    }
    let where_ = |found: bool, place: &str| format!("{} {place}", if found { "in" } else { "not in" });
    let list = inactive.listed.map_or_else(
        || "too many people to look for them in GET /users".to_owned(),
        |listed| where_(listed, "GET /users"),
    );
    let evidence = format!(
        "{list}, {}, {}",
        where_(inactive.by_id, "GET /users/{id}"),
        where_(inactive.contact, "GET /contacts/{id}")
    );
    let verdict = match (inactive.by_id, inactive.contact) {
        (true, _) => "is still found by their id",
        (false, true) => "is found among the contacts only",
        (false, false) => "is found nowhere any more",
    };
    known(about, verdict, evidence)
}

fn delete(seen: &Observations) -> Finding {
    let about = "a delete";
    let Some(delete) = &seen.delete else { return unknown(about, "") };
    let owner = if delete.new_owner.is_some() { "with newOwner" } else { "without newOwner" };
    let evidence = format!("{owner}: {}", delete.reply.told);
    match (delete.reply.is_success(), delete.gone, delete.contact) {
        (false, ..) => known(about, "is refused", evidence),
        (true, true, false) => known(about, "works", evidence),
        (true, true, true) => known(about, "works; the person stays among the contacts", evidence),
        (true, false, _) => unknown(about, format!("{evidence}, and the person was still shown after 10 s")),
    }
}

fn delay(seen: &Observations) -> Finding {
    let about = "until reads show a write";
    if seen.delays.is_empty() {
        return unknown(about, "");
    }
    let each = seen.delays.iter().map(|delay| match delay.after {
        Some(after) => format!("{} {} ms", delay.what, after.as_millis()),
        None => format!("{} more than 10 s", delay.what),
    });
    let evidence = each.collect::<Vec<_>>().join(", ");
    match longest_delay(seen) {
        Some(longest) if is_short(longest) => known(about, "no time passes", evidence),
        Some(longest) => known(about, format!("up to {} ms pass", longest.as_millis()), evidence),
        None => unknown(about, evidence),
    }
}

/// None when some write was never seen.
pub(super) fn longest_delay(seen: &Observations) -> Option<Duration> {
    let all: Option<Vec<_>> = seen.delays.iter().map(|delay| delay.after).collect();
    all?.into_iter().max()
}

/// Less than what a call may take to find its way.
pub(super) fn is_short(delay: Duration) -> bool {
    delay < Duration::from_millis(100)
}

fn pace(seen: &Observations) -> Finding {
    let about = "many calls at once";
    let Some(burst) = &seen.burst else { return unknown(about, early(seen)) };
    let headers = if burst.headers.is_empty() {
        "no header tells a limit".to_owned()
    } else {
        format!("headers: {}", burst.headers.join(", "))
    };
    let evidence = format!("{} calls in {} ms; {headers}", burst.accepted, burst.took.as_millis());
    match &burst.ended {
        None => known(about, "are all answered", evidence),
        Some(reply) if reply.status == 429 => {
            known(about, format!("are answered 429 after {}", burst.accepted), evidence)
        }
        Some(reply) => unknown(about, format!("{evidence}; then {}", reply.told)),
    }
}

pub(super) fn early(seen: &Observations) -> String {
    match seen.throttled {
        0 => String::new(),
        times => format!("{times} calls were answered 429 at the configured pace"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ziflow::observations::{Burst, Delay, Delete, Group, Inactive, Roles, Update};

    type Change = fn(&mut Observations);

    fn reply(status: u16) -> Reply {
        Reply { status, told: format!("HTTP {status}"), shows: Shows::Nobody }
    }

    fn inactive(took: bool, by_id: bool, contact: bool) -> Inactive {
        Inactive { reply: reply(200), took, listed: None, by_id, contact }
    }

    fn roles(status: u16, after: Option<&str>) -> Roles {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (had, sent) = (list("user manager"), list("user"));
        Roles { reply: reply(status), had, sent, after: after.map(list) }
    }

    fn update(status: u16, shown: bool, lost: &[&str]) -> Update {
        let lost = lost.iter().map(|name| (*name).to_owned()).collect();
        Update { reply: reply(status), shown, lost }
    }

    fn delete(status: u16, gone: bool, contact: bool) -> Delete {
        Delete { reply: reply(status), new_owner: None, gone, contact }
    }

    fn burst(ended: Option<u16>) -> Burst {
        Burst { accepted: 7, ended: ended.map(reply), ..Burst::default() }
    }

    /// What was seen, about what, and the beginning of the verdict; none for "not found out".
    const CASES: &[(Change, &str, Option<&str>)] = &[
        (|seen| seen.bad_key = Some(reply(403)), "a wrong key", Some("is refused")),
        (|seen| seen.bad_key = Some(reply(200)), "a wrong key", Some("is not noticed")),
        (|seen| seen.bad_key = Some(reply(500)), "a wrong key", Some("is answered 500")),
        (|seen| seen.create = Some(reply(422)), "a new person", Some("is refused")),
        (|seen| seen.create = Some(reply(201)), "a new person", Some("is made; their roles are not shown")),
        (|seen| seen.again = Some(Again { reply: reply(200), second: true }), AGAIN, Some("makes a second")),
        (|seen| seen.again = Some(Again { reply: reply(200), second: false }), AGAIN, Some("is taken")),
        (
            |seen| seen.again = Some(Again { reply: reply(403), second: false }),
            AGAIN,
            Some("is refused with 403"),
        ),
        (|seen| seen.update = Some(update(200, true, &[])), UPDATE, Some("merges")),
        (|seen| seen.update = Some(update(200, true, &["phone"])), UPDATE, Some("replaces")),
        (|seen| seen.update = Some(update(200, false, &[])), UPDATE, None),
        (|seen| seen.update = Some(update(400, false, &[])), UPDATE, None),
        (|seen| seen.update = Some(update(200, true, &[])), "the answer to a write", Some("does not show")),
        (|seen| seen.roles = Some(roles(200, Some("user"))), ROLES, Some("take the place")),
        (|seen| seen.roles = Some(roles(200, Some("user manager"))), ROLES, Some("are added")),
        (|seen| seen.roles = Some(roles(403, None)), ROLES, None),
        (|seen| seen.group = Some(Group { reply: reply(400), shown: false }), GROUP, Some("is refused")),
        (|seen| seen.group = Some(Group { reply: reply(200), shown: false }), GROUP, Some("is ignored")),
        (|seen| seen.group = Some(Group { reply: reply(200), shown: true }), GROUP, Some("is taken")),
        (|seen| seen.inactive = Some(inactive(true, true, true)), INACTIVE, Some("is still found")),
        (|seen| seen.inactive = Some(inactive(true, false, true)), INACTIVE, Some("is found among")),
        (|seen| seen.inactive = Some(inactive(true, false, false)), INACTIVE, Some("is found nowhere")),
        (|seen| seen.inactive = Some(inactive(false, true, true)), INACTIVE, None),
        (|seen| seen.delete = Some(delete(403, false, false)), "a delete", Some("is refused")),
        (|seen| seen.delete = Some(delete(200, true, true)), "a delete", Some("works; the person stays")),
        (|seen| seen.delete = Some(delete(202, false, false)), "a delete", None),
        (|seen| seen.delays.push(Delay { what: "x", after: None }), DELAY, None),
        (
            |seen| seen.delays.push(Delay { what: "x", after: Some(Duration::from_millis(700)) }),
            DELAY,
            Some("up to 700 ms"),
        ),
        (|seen| seen.burst = Some(burst(None)), PACE, Some("are all answered")),
        (|seen| seen.burst = Some(burst(Some(429))), PACE, Some("are answered 429 after 7")),
        (|seen| seen.burst = Some(burst(Some(500))), PACE, None),
    ];

    const AGAIN: &str = "the same address again";
    const UPDATE: &str = "an update (PUT) of one field";
    const ROLES: &str = "roles in an update";
    const GROUP: &str = "a group that does not exist";
    const INACTIVE: &str = "a deactivated person";
    const DELAY: &str = "until reads show a write";
    const PACE: &str = "many calls at once";

    #[test]
    fn what_was_seen_is_said() {
        for (number, (change, about, expected)) in CASES.iter().enumerate() {
            let mut seen = Observations::default();
            change(&mut seen);
            let all = findings(&seen);
            let verdict = all.iter().find(|finding| finding.about == *about).unwrap().verdict.as_deref();
            match (verdict, expected) {
                (Some(verdict), Some(expected)) => {
                    assert!(verdict.starts_with(expected), "{number}: {verdict}");
                }
                (verdict, expected) => assert_eq!(verdict, *expected, "{number}"),
            }
        }
    }
}
