//! The settings that fit an account, by what a probe has seen of it. Pure.

use std::time::Duration;

use crate::ziflow::findings::{adds, early, is_short, longest_delay};
use crate::ziflow::observations::{Burst, Observations, Shows};

/// The shipped settings that the advice compares with.
const READ_BACK_DELAY_MS: u64 = 500;
const READ_BACK_TRIES: u64 = 3;

/// What of the settings in force the advice depends on.
#[derive(Clone, Debug)]
pub struct InForce {
    pub requests_per_second: u32,
    pub burst: u32,
    pub no_seat_texts: Vec<String>,
    /// Whether deletes are passed on as deletes.
    pub deletes: bool,
}

/// A setting, or a hint about one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The full key; for hints about the mapping, `mapping`.
    pub key: &'static str,
    /// None for a hint alone.
    pub value: Option<String>,
    pub why: String,
}

/// The settings that differ from the defaults or matter for this account, and what could not be found out.
pub fn advice(seen: &Observations, in_force: &InForce) -> Vec<Advice> {
    let mut all = Vec::new();
    all.extend(advise_update(seen));
    all.extend(advise_inactive(seen));
    all.extend(advise_read_back(seen));
    all.extend(advise_seats(seen, in_force));
    all.extend(advise_pace(seen, in_force));
    all.extend(advise_delete(seen, in_force));
    all.extend(advise_roles(seen));
    all.push(advise_group(seen));
    all
}

fn set(key: &'static str, value: impl Into<String>, why: impl Into<String>) -> Advice {
    Advice { key, value: Some(value.into()), why: why.into() }
}

fn hint(key: &'static str, why: impl Into<String>) -> Advice {
    Advice { key, value: None, why: why.into() }
}

fn advise_update(seen: &Observations) -> Option<Advice> {
    let key = "ziflow.update";
    match &seen.update {
        Some(update) if update.shown && update.lost.is_empty() => None,
        Some(update) if update.shown => {
            Some(set(key, "full_object", "an update forgets what it is not sent"))
        }
        _ => Some(hint(key, "not found out; the bridge notices a loss by itself and says so in its log")),
    }
}

fn advise_inactive(seen: &Observations) -> Option<Advice> {
    let key = "ziflow.inactive_fallback";
    match &seen.inactive {
        Some(inactive) if !inactive.took => Some(hint(key, NO_DEACTIVATION)),
        Some(inactive) if inactive.by_id => None,
        Some(inactive) if inactive.contact => {
            Some(set(key, "true", "needed: the deactivated are seen among the contacts only"))
        }
        Some(_) => {
            Some(set(key, "true", "the deactivated are found nowhere, so Entra is told that they are gone"))
        }
        None => Some(hint(key, "not found out; keep true")),
    }
}

const NO_DEACTIVATION: &str =
    "not found out: active = false had no effect. Ask Ziflow before the bridge disables people";

fn advise_read_back(seen: &Observations) -> Vec<Advice> {
    let [delay_key, tries_key] = ["ziflow.read_back_delay_ms", "ziflow.read_back_tries"];
    let shows = seen.update.as_ref().map(|update| update.reply.shows);
    let (delay, tries, why) = match longest_delay(seen) {
        _ if seen.delays.is_empty() => return vec![hint(delay_key, "not found out; keep 500, and 3 tries")],
        Some(longest) if is_short(longest) && shows == Some(Shows::Person) => return Vec::new(),
        Some(longest) => {
            let (delay, tries) = read_back(longest);
            (delay, tries, format!("reads show a write after up to {} ms", longest.as_millis()))
        }
        None => (2000, 4, "a write was not shown within 10 s: ask Ziflow how long that may take".to_owned()),
    };
    let spare = "the tries together are to last twice as long";
    vec![set(delay_key, delay.to_string(), why), set(tries_key, tries.to_string(), spare)]
}

/// The defaults if they last twice as long as was seen, else something that does.
fn read_back(longest: Duration) -> (u64, u64) {
    let wanted = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
    if wanted <= READ_BACK_DELAY_MS * READ_BACK_TRIES {
        return (READ_BACK_DELAY_MS, READ_BACK_TRIES);
    }
    let tries = READ_BACK_TRIES + 1;
    (wanted.div_ceil(tries).div_ceil(100) * 100, tries)
}

fn advise_seats(seen: &Observations, in_force: &InForce) -> Option<Advice> {
    let key = "ziflow.no_seat_texts";
    let create = seen.create.as_ref()?;
    let told = create.told.to_lowercase();
    if create.is_success() {
        Some(hint(key, "not found out: the account had a free seat. Keep the words that are there"))
    } else if in_force.no_seat_texts.iter().any(|word| told.contains(&word.to_lowercase())) {
        Some(hint(key, "the refusal holds a word that means \"no free seat\": it is understood"))
    } else {
        Some(hint(key, "if the create was refused for lack of a seat, add a word of its text"))
    }
}

fn advise_pace(seen: &Observations, in_force: &InForce) -> Vec<Advice> {
    let [rate_key, burst_key] = ["rate_limit.requests_per_second", "rate_limit.burst"];
    let Some(burst) = &seen.burst else {
        return vec![hint(
            rate_key,
            format!("not found out; keep what is there. {}", early(seen)).trim_end(),
        )];
    };
    match &burst.ended {
        Some(reply) if reply.status == 429 => {
            let (rate, size, why) = bearable(burst, in_force);
            vec![set(rate_key, rate.to_string(), why), set(burst_key, size.to_string(), "with it")]
        }
        Some(_) => vec![hint(rate_key, "not found out; keep what is there")],
        None if seen.throttled > 0 => vec![hint(rate_key, early(seen))],
        None => vec![hint(rate_key, NO_LIMIT)],
    }
}

const NO_LIMIT: &str = "no limit was met. Keep what is there, and ask Ziflow before raising it";

/// A pace and a burst that fit into what was accepted, and why they are these. The limit is taken to count as long as
/// Ziflow wants a pause, or a second.
fn bearable(burst: &Burst, in_force: &InForce) -> (u32, u32, &'static str) {
    let window = burst.retry_after.unwrap_or_default().max(burst.took).max(Duration::from_secs(1));
    let seconds = u32::try_from(window.as_secs() + u64::from(window.subsec_nanos() > 0)).unwrap_or(u32::MAX);
    let fits = |rate: u32, size: u32| size.saturating_add(rate.saturating_mul(seconds)) <= burst.accepted;
    let (rate, size) = (in_force.requests_per_second, in_force.burst);
    if fits(rate, size) {
        return (rate, size, "stays below the limit that was met");
    }
    // Half of it for the pace and the burst together, so that others find room as well.
    let share = burst.accepted / 4;
    let (rate, size) = ((share / seconds).clamp(1, rate), share.clamp(1, size));
    if fits(rate, size) {
        (rate, size, "half of the limit that was met; others may use the account as well")
    } else {
        (1, 1, "the slowest pace there is, and Ziflow may still ask to slow down now and then")
    }
}

fn advise_delete(seen: &Observations, in_force: &InForce) -> Vec<Advice> {
    let [delete_key, owner_key] = ["policy.on_delete", "policy.new_owner_id"];
    let works = seen.delete.as_ref().filter(|delete| delete.reply.is_success() && delete.gone);
    let Some(delete) = works else {
        let why =
            if seen.delete.is_some() { "a delete did not work: keep deactivate" } else { "not found out" };
        return vec![hint(delete_key, why)];
    };
    match &delete.new_owner {
        Some(owner) if in_force.deletes => {
            vec![set(delete_key, "delete", "works"), set(owner_key, quoted(owner), "was taken as newOwner")]
        }
        Some(owner) => {
            let why = "deactivate, the default, is the safe choice; delete works as well, with policy.new_owner_id:";
            vec![hint(delete_key, format!("{why} {}", quoted(owner)))]
        }
        None => vec![
            hint(delete_key, "a delete works without newOwner, of somebody who has no proofs"),
            hint(owner_key, "not tried: set it, or ziflow.key_user_email"),
        ],
    }
}

/// Ids may hold what YAML would read as something else.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn advise_roles(seen: &Observations) -> Option<Advice> {
    let key = "mapping";
    match adds(seen) {
        Some(false) => None,
        Some(true) => Some(hint(
            key,
            "roles: Ziflow adds roles and takes none away, so a role that Entra takes away stays until somebody \
             takes it away in Ziflow; `owns: true` does not help",
        )),
        None => Some(hint(key, "roles: not found out whether an update replaces them")),
    }
}

fn advise_group(seen: &Observations) -> Advice {
    let why = match &seen.group {
        None => "group: not found out",
        Some(group) if !group.reply.is_success() => {
            "group: only groups that exist are taken; list them with `only` or `values`, with `otherwise: omit`"
        }
        Some(group) if group.shown => "group: any text is taken; a slip of the pen makes a group of its own",
        Some(_) => {
            "group: an unknown one is ignored; list those that exist with `only`, with `otherwise: omit`"
        }
    };
    hint("mapping", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ziflow::findings::findings;
    use crate::ziflow::observations::{Again, Delay, Delete, Group, Inactive, Reply, Roles, Update};

    type Change = fn(&mut Observations);

    fn reply(status: u16, shows: Shows) -> Reply {
        Reply { status, told: format!("HTTP {status}"), shows }
    }

    fn good() -> Observations {
        let ok = || reply(200, Shows::Person);
        let roles = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Observations {
            bad_key: Some(reply(401, Shows::Nobody)),
            unknown: Some(reply(404, Shows::Nobody)),
            create: Some(ok()),
            default_roles: Some(roles(&["user"])),
            again: Some(Again { reply: reply(409, Shows::Nobody), second: false }),
            update: Some(Update { reply: ok(), shown: true, lost: Vec::new() }),
            roles: Some(Roles {
                reply: ok(),
                had: roles(&["user", "manager"]),
                sent: roles(&["user"]),
                after: Some(roles(&["user"])),
            }),
            group: Some(Group { reply: ok(), shown: true }),
            inactive: Some(Inactive {
                reply: ok(),
                took: true,
                listed: Some(true),
                by_id: true,
                contact: true,
            }),
            again_inactive: Some(Again { reply: reply(409, Shows::Nobody), second: false }),
            delete: Some(Delete {
                reply: reply(204, Shows::Nobody),
                new_owner: Some("auth0|1".to_owned()),
                gone: true,
                contact: false,
            }),
            delays: vec![Delay { what: "an update", after: Some(Duration::ZERO) }],
            burst: Some(Burst { accepted: 50, took: Duration::from_millis(900), ..Burst::default() }),
            throttled: 0,
        }
    }

    fn in_force() -> InForce {
        let no_seat_texts = vec!["seat".to_owned()];
        InForce { requests_per_second: 5, burst: 10, no_seat_texts, deletes: false }
    }

    /// The settings that are advised, as `key=value`.
    fn settings(seen: &Observations) -> Vec<String> {
        let value = |advice: Advice| Some(format!("{}={}", advice.key, advice.value?));
        advice(seen, &in_force()).into_iter().filter_map(value).collect()
    }

    #[test]
    fn an_account_that_behaves_needs_no_settings() {
        assert_eq!(settings(&good()), Vec::<String>::new());
        assert!(findings(&good()).iter().all(|finding| finding.verdict.is_some()));
    }

    #[test]
    fn what_was_seen_becomes_settings() {
        let delays = |ms| vec![Delay { what: "x", after: Some(Duration::from_millis(ms)) }];
        let throttled = |accepted, wait| Burst {
            accepted,
            took: Duration::from_millis(100),
            ended: Some(reply(429, Shows::Nobody)),
            retry_after: Some(Duration::from_secs(wait)),
            headers: Vec::new(),
        };
        let cases: [(Change, &[&str]); 3] = [
            (
                |seen| seen.update.as_mut().unwrap().lost = vec!["first_name".to_owned()],
                &["ziflow.update=full_object"],
            ),
            (|seen| seen.inactive.as_mut().unwrap().by_id = false, &["ziflow.inactive_fallback=true"]),
            (
                |seen| seen.update.as_mut().unwrap().reply.shows = Shows::Nobody,
                &["ziflow.read_back_delay_ms=500", "ziflow.read_back_tries=3"],
            ),
        ];
        for (change, expected) in cases {
            let mut seen = good();
            change(&mut seen);
            assert_eq!(settings(&seen), expected);
        }
        for (ms, expected) in [(300, (500, 3)), (750, (500, 3)), (751, (400, 4)), (4000, (2000, 4))] {
            let seen = Observations { delays: delays(ms), ..good() };
            let (delay, tries) = expected;
            let expected =
                [format!("ziflow.read_back_delay_ms={delay}"), format!("ziflow.read_back_tries={tries}")];
            assert_eq!(settings(&seen), expected, "{ms}");
        }
        for (accepted, wait, rate, burst) in
            [(20, 1, 5, 10), (14, 1, 3, 3), (40, 60, 1, 1), (1, 1, 1, 1), (0, 1, 1, 1)]
        {
            let seen = Observations { burst: Some(throttled(accepted, wait)), ..good() };
            let expected =
                [format!("rate_limit.requests_per_second={rate}"), format!("rate_limit.burst={burst}")];
            assert_eq!(settings(&seen), expected, "{accepted} in {wait} s");
        }
    }

    #[test]
    fn what_was_not_seen_is_said_to_be_unknown() {
        let nothing = Observations::default();
        assert_eq!(settings(&nothing), Vec::<String>::new());
        assert!(findings(&nothing).iter().all(|finding| finding.verdict.is_none()));
        let hints = advice(&nothing, &in_force());
        assert!(hints.len() >= 5 && hints.iter().all(|hint| hint.why.contains("not found out")), "{hints:?}");
    }

    #[test]
    fn the_advice_knows_the_shipped_settings() {
        let text = include_str!("../../config/bridge.yaml");
        for line in [
            format!("read_back_delay_ms: {READ_BACK_DELAY_MS}\n"),
            format!("read_back_tries: {READ_BACK_TRIES}\n"),
        ] {
            assert!(text.contains(&line), "{line}");
        }
    }
}
