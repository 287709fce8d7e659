//! Which conditions can hold at all, and which are answered by an earlier one. What is reported here is
//! certain; what is not certain, or would take too long, is passed over in silence.
//!
//! A condition is taken apart into its cases: each is a list of facts that hold together, and one case is
//! enough.

use super::fact::Fact;
use crate::scim::filter::Filter;
use crate::scim::path::Path;

/// Facts that hold together.
type Case<'a> = Vec<Fact<'a>>;

/// Conditions with more cases than this are not judged.
const MAX_CASES: usize = 128;

/// How many pairs of facts are looked at for one list of rules or paths: some tenths of a second. More than
/// a list has that people write.
const MAX_PAIRS: usize = 500_000;

/// How many pairs of facts are looked at within one condition.
const MAX_PAIRS_WITHIN: usize = 20_000;

/// What may still be looked at.
#[derive(Debug)]
pub(super) struct Budget(usize);

/// The rules above one, as far as they could be read, by their number.
#[derive(Debug, Default)]
pub(super) struct Above<'a> {
    rules: Vec<(usize, &'a Filter, Vec<Case<'a>>)>,
    /// The first that holds for everybody.
    everybody: Option<usize>,
    budget: Budget,
}

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_PAIRS)
    }
}

impl Budget {
    /// `None` when this is more than is left.
    fn spend(&mut self, pairs: usize) -> Option<()> {
        let left = self.0.checked_sub(pairs);
        self.0 = left.unwrap_or(0);
        left.map(drop)
    }
}

/// Why a condition can never hold, and the remedy.
pub(super) fn contradiction(filter: &Filter) -> Option<(String, &'static str)> {
    let cases = cases(filter, true)?;
    let mut budget = Budget(MAX_PAIRS_WITHIN);
    cases.iter().try_for_each(|case| budget.spend(case.len() * case.len()))?;
    let found: Option<Vec<_>> = cases.iter().map(impossible).collect();
    found?.into_iter().next()
}

/// Whether there is something at the earlier path whenever there is something at the later one.
pub(super) fn covers(earlier: &Path, later: &Path, budget: &mut Budget) -> bool {
    let everybody = Fact { path: earlier, compared: None, holds: true }.is_certain();
    let same =
        earlier.schema == later.schema && earlier.attribute == later.attribute && earlier.sub == later.sub;
    let mut selects = || match (&earlier.filter, &later.filter) {
        (None, Some(_)) => true,
        (Some(earlier), Some(later)) => includes(earlier, later, budget).is_some(),
        _ => false,
    };
    everybody || same && selects()
}

impl<'a> Above<'a> {
    /// Takes the next rule, of which all those above were taken before. One without a condition holds for
    /// everybody.
    pub(super) fn push(&mut self, number: usize, when: Option<&'a Filter>) {
        let cases = when.map_or_else(|| Some(vec![Case::new()]), |when| cases(when, true));
        if cases.as_ref().is_some_and(|cases| cases.iter().any(|case| case.iter().all(Fact::is_certain))) {
            self.everybody = self.everybody.or(Some(number));
        }
        // What is kept is paid for as well, since memory has an end, too.
        let cases = cases.filter(|cases| self.budget.spend(cases.iter().map(Vec::len).sum()).is_some());
        self.rules.extend(when.zip(cases).map(|(when, cases)| (number, when, cases)));
    }

    /// Whether one of the rules holds for everybody.
    pub(super) fn hold_for_everybody(&self) -> bool {
        self.everybody.is_some()
    }

    /// Why a rule with this condition is never reached.
    pub(super) fn hide(&mut self, when: Option<&Filter>) -> Option<String> {
        if let Some(number) = self.everybody {
            return Some(format!("rule {number} holds for everybody"));
        }
        let when = when?;
        if let Some((number, ..)) = self.rules.iter().find(|(_, above, _)| *above == when) {
            return Some(format!("rule {number} has the same condition"));
        }
        let numbers: Vec<String> = self.covering(when)?.iter().map(usize::to_string).collect();
        Some(match numbers.as_slice() {
            [number] => format!("rule {number} holds wherever this one does"),
            several => format!("one of rules {} holds wherever this one does", several.join(" and ")),
        })
    }

    /// The numbers of rules that together hold wherever the condition does.
    fn covering(&mut self, when: &Filter) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for case in possible(when, &mut self.budget)? {
            let mut number = None;
            for (above, _, cases) in &self.rules {
                if follows_one(cases, &case, &mut self.budget)? {
                    number = Some(*above);
                    break;
                }
            }
            found.push(number?);
        }
        found.sort_unstable();
        found.dedup();
        (!found.is_empty()).then_some(found)
    }
}

/// Whether the earlier condition holds wherever the later one does; `None` when it is not certain.
fn includes(earlier: &Filter, later: &Filter, budget: &mut Budget) -> Option<()> {
    let earlier = cases(earlier, true)?;
    let later = possible(later, budget)?;
    later.first()?;
    later.iter().try_for_each(|case| follows_one(&earlier, case, budget)?.then_some(()))
}

/// The cases of a condition that can be.
fn possible<'a>(filter: &'a Filter, budget: &mut Budget) -> Option<Vec<Case<'a>>> {
    let mut cases = cases(filter, true)?;
    cases.iter().try_for_each(|case| budget.spend(case.len() * case.len()))?;
    cases.retain(|case| impossible(case).is_none());
    Some(cases)
}

/// Whether one of the earlier cases holds wherever the later one does; `None` when it would take too long.
fn follows_one(earlier: &[Case<'_>], later: &Case<'_>, budget: &mut Budget) -> Option<bool> {
    for case in earlier {
        budget.spend((case.len() * later.len()).max(1))?;
        if follows(case, later) {
            return Some(true);
        }
    }
    Some(false)
}

/// The cases of a condition; `None` when there are too many of them.
fn cases(filter: &Filter, wanted: bool) -> Option<Vec<Case<'_>>> {
    let cases = match (filter, wanted) {
        (Filter::Not(inner), _) => cases(inner, !wanted)?,
        (Filter::And(terms), true) | (Filter::Or(terms), false) => {
            terms.iter().try_fold(vec![Case::new()], |made, term| product(&made, &cases(term, wanted)?))?
        }
        (Filter::Or(terms), true) | (Filter::And(terms), false) => {
            terms.iter().map(|term| cases(term, wanted)).collect::<Option<Vec<_>>>()?.concat()
        }
        (Filter::Present(path), holds) => vec![vec![Fact { path, compared: None, holds }]],
        (Filter::Compare { path, operator, value }, holds) => {
            vec![vec![Fact::compared(path, *operator, value, holds)]]
        }
    };
    (cases.len() <= MAX_CASES).then_some(cases)
}

fn product<'a>(some: &[Case<'a>], others: &[Case<'a>]) -> Option<Vec<Case<'a>>> {
    let both =
        |one: &Case<'a>| others.iter().map(|other| [one.as_slice(), other].concat()).collect::<Vec<_>>();
    (some.len() * others.len() <= MAX_CASES).then(|| some.iter().flat_map(both).collect())
}

/// Two facts of the case that exclude each other, or one that cannot be.
fn impossible(case: &Case<'_>) -> Option<(String, &'static str)> {
    let never = |fact: &&Fact<'_>| Fact { holds: !fact.holds, ..**fact }.is_certain();
    if let Some(fact) = case.iter().find(never) {
        return Some((format!("`{}` is always there", fact.path), "ask for another attribute"));
    }
    let pairs =
        case.iter().enumerate().flat_map(|(index, one)| case.iter().take(index).map(move |two| (two, one)));
    let (one, two) = pairs.into_iter().find(|(one, two)| one.excludes(two))?;
    let why = format!("`{one}` and `{two}` exclude each other");
    Some((why, "with `or` between two comparisons, one is enough"))
}

/// Whether the earlier case holds wherever the later one does.
fn follows(earlier: &Case<'_>, later: &Case<'_>) -> bool {
    earlier.iter().all(|fact| fact.is_certain() || later.iter().any(|known| known.implies(fact)))
}

#[cfg(test)]
mod tests {
    use std::slice;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::resource;
    use super::*;
    use crate::scim::filter::Limits;
    use crate::scim::resource::Resource;
    use crate::scim::schema::USER_TYPE;

    fn parse(text: &str) -> Filter {
        Filter::parse(text, &USER_TYPE, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn above(conditions: &[Filter]) -> Above<'_> {
        let mut above = Above::default();
        for (number, condition) in conditions.iter().enumerate() {
            above.push(number, Some(condition));
        }
        above
    }

    #[test]
    fn some_conditions_can_never_hold() {
        for (condition, why) in [
            (
                r#"userType eq "a" and userType eq "b""#,
                Some(r#"`userType eq "a"` and `userType eq "b"` exclude each other"#),
            ),
            (r#"userType eq "a" and userType eq "A""#, None),
            (
                r#"userType eq "a" and userType sw "b""#,
                Some(r#"`userType eq "a"` and `userType sw "b"` exclude each other"#),
            ),
            (
                r#"userType eq "a" and not (userType pr)"#,
                Some(r#"`userType eq "a"` and `not (userType pr)` exclude each other"#),
            ),
            (
                r#"userType eq "a" and userType eq null"#,
                Some(r#"`userType eq "a"` and `not (userType pr)` exclude each other"#),
            ),
            (
                r#"userType eq "a" and userType ne "A""#,
                Some(r#"`userType eq "a"` and `userType ne "A"` exclude each other"#),
            ),
            (r#"userType ne "a" and userType ne "b""#, None),
            (
                r#"not (userType eq "a" or title pr) and title co "x""#,
                Some(r#"`not (title pr)` and `title co "x"` exclude each other"#),
            ),
            (
                r#"name.givenName eq "a" and not (name pr)"#,
                Some(r#"`name.givenName eq "a"` and `not (name pr)` exclude each other"#),
            ),
            (
                r#"externalId eq "a" and externalId eq "A""#,
                Some(r#"`externalId eq "a"` and `externalId eq "A"` exclude each other"#),
            ),
            (
                "active eq true and active eq false",
                Some("`active eq true` and `active eq false` exclude each other"),
            ),
            ("userName eq null", Some("`userName` is always there")),
            (r#"roles.value eq "a" and roles.value eq "b""#, None),
            (r#"roles.value eq "a" and roles.value ne "a""#, None),
            (r#"(userType eq "a" and userType eq "b") or title pr"#, None),
            ("urn:acme:2.0:User:level eq 5 and urn:acme:2.0:User:level eq 6", None),
            // One person is no proof: `a@example.com` shows that these can hold.
            (r#"emails.value co "@example.com" and not (emails[value eq "@example.com"])"#, None),
            (r#"emails.value pr and not (emails[value co "a"])"#, None),
            (
                r#"emails.value eq "a@b" and not (emails[value ew "@b"])"#,
                Some(r#"`emails.value eq "a@b"` and `not (emails[value ew "@b"] pr)` exclude each other"#),
            ),
            (r#"meta.created eq "2020-01-01T00:00:00Z" and not (meta.created sw "2020")"#, None),
        ] {
            assert_eq!(contradiction(&parse(condition)).map(|(why, _)| why).as_deref(), why, "{condition}");
        }
    }

    /// Earlier conditions, a later one, and which of the earlier ones cover it.
    type Covered = (&'static [&'static str], &'static str, Option<&'static [usize]>);

    #[test]
    fn some_conditions_are_answered_by_earlier_ones() {
        let cases: &[Covered] = &[
            (&[r#"title eq "a" or title eq "b""#], r#"title eq "B""#, Some(&[0])),
            (&["title pr"], r#"title eq "a""#, Some(&[0])),
            (&["title pr"], r#"title sw "a" and active eq true"#, Some(&[0])),
            (&["title pr"], r#"title gt "a""#, Some(&[0])),
            (&["title pr"], r#"title ne "a""#, None),
            (&[r#"title sw "a""#], r#"title sw "Ab""#, Some(&[0])),
            (&[r#"title sw "ab""#], r#"title sw "a""#, None),
            (&[r#"title co "b""#], r#"title ew "abc""#, Some(&[0])),
            (&[r#"title ew "c""#], r#"title co "abc""#, None),
            (&[r#"title ne "a""#], r#"title eq "b""#, Some(&[0])),
            (&[r#"title ne "a""#], "not (title pr)", Some(&[0])),
            (&["not (title pr)"], r#"title ne "a""#, None),
            (&["active eq true"], "active eq false", None),
            (&["active eq true", r#"title eq "a""#], r#"title eq "b" or active eq true"#, None),
            (&["active eq true", r#"title eq "b""#], r#"title eq "b" or active eq true"#, Some(&[0, 1])),
            (&[r#"title eq "a" and active eq true"#], r#"title eq "a""#, None),
            (&[r#"roles.value eq "x""#], r#"roles[value eq "x" and type eq "y"]"#, None),
            (&[r#"roles.value eq "x""#], r#"roles[type eq "y"].value eq "x""#, Some(&[0])),
            (&["roles pr"], r#"roles.value eq "x""#, Some(&[0])),
            (&[r#"roles.value ne "x""#], r#"roles.value eq "y""#, None),
            (
                &[r#"emails[not (primary eq true)].value eq "x""#],
                r#"emails[type eq "work"].value eq "x""#,
                None,
            ),
            (&["emails.value pr"], r#"emails[type eq "work"]"#, None),
            (&["name pr"], "name.givenName pr", Some(&[0])),
            (&[r#"userName pr and title eq "a""#], r#"title eq "a""#, Some(&[0])),
            (&["title pr"], r#"title eq "a" and title eq "b""#, None),
            (&[r#"roles[value eq "Admin"]"#], r#"roles.value sw "Admin""#, None),
            (&[r#"roles[value eq "Admin"]"#], r#"roles.value eq "admin""#, Some(&[0])),
            (&[r#"roles[value sw "A"]"#], r#"roles.value sw "Admin""#, None),
            (&[r#"roles[value eq "a"]"#], r#"roles.value gt "a""#, None),
            (&[r#"name[givenName eq "Jo"]"#], r#"name.givenName sw "Jo""#, None),
            (&[r#"manager[value eq "1"]"#], r#"manager sw "1""#, None),
            (&[r#"roles[type eq "y"]"#], r#"roles[type eq "y"].value sw "x""#, Some(&[0])),
        ];
        for (earlier, later, expected) in cases {
            let earlier: Vec<Filter> = earlier.iter().map(|text| parse(text)).collect();
            let found = above(&earlier).covering(&parse(later));
            assert_eq!(found.as_deref(), *expected, "{earlier:?} {later}");
        }
    }

    #[test]
    fn a_condition_of_very_many_cases_is_passed_over() {
        let one = "(title eq \"a\" or title eq \"b\")";
        let many = [one; 20].join(" and ");
        assert_eq!(contradiction(&parse(&format!("{many} and not (title pr)"))), None);
        assert!(!above(&[parse(&format!("userName pr or {many}"))]).hold_for_everybody());
    }

    #[test]
    fn what_would_take_too_long_is_passed_over() {
        let any = |attribute: &str, from: usize| {
            let terms: Vec<_> = (from..from + 10).map(|n| format!("{attribute} eq \"{n}\"")).collect();
            terms.join(" or ")
        };
        let rules = (0..400).map(|n| format!("({}) and ({})", any("userType", n), any("title", n)));
        let rules: Vec<Filter> = rules.map(|text| parse(&text)).collect();
        let mut judged = Above::default();
        for (number, rule) in rules.iter().enumerate() {
            assert_eq!(judged.hide(Some(rule)), None, "{number}");
            judged.push(number, Some(rule));
        }
        assert_eq!(judged.budget.0, 0, "all of it was spent");
        let first = parse("userType eq \"0\" and title eq \"0\"");
        assert_eq!(judged.hide(Some(&first)), None, "nothing is said without looking");
        judged.budget = Budget::default();
        assert_eq!(judged.hide(Some(&first)).as_deref(), Some("rule 0 holds wherever this one does"));
    }

    const FACTS: &[&str] = &[
        "title pr",
        "title eq \"a\"",
        "title eq \"A\"",
        "title eq \"ab\"",
        "title ne \"a\"",
        "title sw \"a\"",
        "title ew \"b\"",
        "title co \"b\"",
        "title gt \"a\"",
        "title eq null",
        "title ne null",
        "name pr",
        "name.givenName eq \"a\"",
        "active eq true",
        "active ne true",
        "active eq false",
        "roles pr",
        "roles.value pr",
        "roles.value eq \"a\"",
        "roles.value ne \"a\"",
        "roles.value sw \"a\"",
        "roles.value co \"b\"",
        "roles.value gt \"a\"",
        "roles[value eq \"a\"]",
        "roles[value eq \"value\"]",
        "roles[value sw \"a\"]",
        "roles[value co \"b\" and type pr]",
        "roles[value pr]",
        "name.givenName sw \"a\"",
        "name[givenName eq \"a\"]",
        "roles[type eq \"t\"]",
        "roles[type eq \"t\"].value eq \"a\"",
        "roles[type eq \"t\" and value eq \"a\"]",
        "roles[not (type eq \"t\")].value eq \"a\"",
        "roles[type ne \"t\"].value pr",
        "externalId eq \"a\"",
        "externalId eq \"A\"",
        "urn:acme:2.0:User:level eq \"5\"",
        "urn:acme:2.0:User:level eq \"5.0\"",
        "urn:acme:2.0:User:level co \".\"",
        "urn:acme:2.0:User:level pr",
        "userName pr",
    ];

    fn condition() -> impl Strategy<Value = String> {
        let fact = (0..FACTS.len()).prop_map(|index| FACTS[index].to_owned());
        fact.prop_recursive(3, 8, 2, |inner| {
            let two = (inner.clone(), inner.clone());
            prop_oneof![
                inner.prop_map(|one| format!("not ({one})")),
                two.clone().prop_map(|(a, b)| format!("({a} and {b})")),
                two.prop_map(|(a, b)| format!("({a} or {b})")),
            ]
        })
    }

    fn person() -> impl Strategy<Value = Resource> {
        let texts = |texts: &'static [Option<&'static str>]| prop::sample::select(texts);
        let role = (
            texts(&[None, Some("a"), Some("ab"), Some("b"), Some("cb")]),
            texts(&[None, Some("t"), Some("T"), Some("u")]),
        )
            .prop_map(|(value, kind)| json!({"value": value, "type": kind}));
        (
            texts(&[None, Some("a"), Some("A"), Some("ab"), Some("b"), Some("cb")]),
            texts(&[None, Some("a"), Some("ab"), Some("b")]),
            prop::sample::select(vec![json!(null), json!(true), json!(false)]),
            prop::collection::vec(role, 0..3),
            texts(&[None, Some("a"), Some("A")]),
            prop::sample::select(vec![json!(null), json!(5), json!(5.0), json!("5"), json!("x.")]),
        )
            .prop_map(|(title, given, active, roles, external, level)| {
                resource(json!({
                    "userName": "u", "title": title, "name": {"givenName": given}, "active": active,
                    "roles": roles, "externalId": external, "urn:acme:2.0:User": {"level": level},
                }))
            })
    }

    const READ: &[&str] = &[
        "userName",
        "title",
        "name.givenName",
        "roles.value",
        "roles.type",
        "roles[type eq \"t\"].value",
        "roles[type sw \"t\"].value",
        "roles[type pr].value",
        "roles[not (type eq \"t\")].value",
        "roles[value eq \"a\"].value",
        "roles[value sw \"a\"].value",
        "roles[value sw \"a\" or value eq \"b\"].value",
        "roles[value co \"b\"].value",
        "roles[value eq \"a\" and type eq \"t\"].value",
        "roles[value eq \"a\"].type",
        "urn:acme:2.0:User:level",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_said_is_true_of_everybody(
            conditions in prop::collection::vec(condition(), 1..3),
            later in condition(),
            people in prop::collection::vec(person(), 8),
        ) {
            let earlier: Vec<Filter> = conditions.iter().map(|text| parse(text)).collect();
            let later = parse(&later);
            let covered = above(&earlier).covering(&later);
            let always = above(slice::from_ref(&later)).hold_for_everybody();
            for person in people {
                let holds = later.matches(&person);
                prop_assert!(!holds || contradiction(&later).is_none(), "{later} can hold");
                prop_assert!(holds || !always, "{later} need not hold");
                if let Some(covering) = covered.as_ref().filter(|_| holds) {
                    let held = covering.iter().any(|index| earlier[*index].matches(&person));
                    prop_assert!(held, "{later} is not covered by {conditions:?} for {person:?}");
                }
            }
        }

        #[test]
        fn what_is_read_earlier_is_there_whenever_the_later_is(
            earlier in prop::sample::select(READ),
            later in prop::sample::select(READ),
            people in prop::collection::vec(person(), 8),
        ) {
            let path = |text| Path::parse(text, &USER_TYPE).unwrap();
            let (earlier, later) = (path(earlier), path(later));
            for person in people.iter().filter(|person| person.first(&later).is_some()) {
                let there = person.first(&earlier).is_some();
                prop_assert!(there || !covers(&earlier, &later, &mut Budget::default()), "{later} without {earlier} in {person:?}");
            }
        }
    }
}
