//! Which conditions can hold at all, and which are answered by an earlier one. What is reported here is
//! certain; what is not certain is passed over in silence.
//!
//! A condition is taken apart into its cases: each is a list of facts that hold together, and one case is
//! enough. Whether one fact follows from another is tried out on the smallest person of whom it is true.

use std::fmt;

use serde_json::Value;

use crate::scim::filter::{Filter, Operator};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Kind};

/// Facts that hold together.
type Case<'a> = Vec<Fact<'a>>;

/// Conditions with more cases than this are not judged.
const MAX_CASES: usize = 128;

/// One comparison, or one presence, that holds or does not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fact<'a> {
    path: &'a Path,
    /// `None` asks whether there is a value.
    compared: Option<(Operator, &'a Value)>,
    holds: bool,
}

/// Why a condition can never hold, and the remedy.
pub(super) fn contradiction(filter: &Filter) -> Option<(String, &'static str)> {
    let cases = cases(filter, true)?;
    let found: Option<Vec<_>> = cases.iter().map(impossible).collect();
    found?.into_iter().next()
}

/// Whether a condition holds for everybody.
pub(super) fn always(filter: &Filter) -> bool {
    cases(filter, true).is_some_and(|cases| cases.iter().any(|case| case.iter().all(Fact::is_certain)))
}

/// Which of the earlier conditions together hold wherever the later one does, by their index.
pub(super) fn covering<'a>(
    earlier: impl IntoIterator<Item = Option<&'a Filter>>,
    later: &'a Filter,
) -> Option<Vec<usize>> {
    let earlier = earlier.into_iter().enumerate();
    let earlier: Vec<(usize, Vec<Case<'_>>)> =
        earlier.filter_map(|(index, filter)| Some((index, cases(filter?, true)?))).collect();
    let possible = cases(later, true)?.into_iter().filter(|case| impossible(case).is_none());
    let covered = |later: Case<'_>| {
        let covers = |cases: &Vec<Case<'_>>| cases.iter().any(|case| follows(case, &later));
        earlier.iter().find(|(_, cases)| covers(cases)).map(|(index, _)| *index)
    };
    let mut found: Vec<usize> = possible.map(covered).collect::<Option<_>>()?;
    found.sort_unstable();
    found.dedup();
    (!found.is_empty()).then_some(found)
}

/// Whether there is something at the earlier path whenever there is something at the later one.
pub(super) fn covers(earlier: &Path, later: &Path) -> bool {
    let everybody = Fact { path: earlier, compared: None, holds: true }.is_certain();
    let same =
        earlier.schema == later.schema && earlier.attribute == later.attribute && earlier.sub == later.sub;
    let selects = match (&earlier.filter, &later.filter) {
        (None, Some(_)) => true,
        (Some(earlier), Some(later)) => covering([Some(&**earlier)], later).is_some(),
        _ => false,
    };
    everybody || same && selects
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

impl<'a> Fact<'a> {
    fn compared(path: &'a Path, operator: Operator, value: &'a Value, holds: bool) -> Self {
        match operator {
            Operator::Eq if value.is_null() => Self { path, compared: None, holds: !holds },
            Operator::Ne if value.is_null() => Self { path, compared: None, holds },
            // A missing value differs from everything; of several values, one that differs is enough.
            Operator::Ne if is_single(path) => {
                Self { path, compared: Some((Operator::Eq, value)), holds: !holds }
            }
            _ => Self { path, compared: Some((operator, value)), holds },
        }
    }

    /// `userName` is the one attribute that every person has (RFC 7643 section 4.1.1).
    fn is_certain(&self) -> bool {
        let asked = self.holds && self.compared.is_none() && self.path.definition().is_some();
        asked && self.path.to_string() == "userName"
    }

    fn implies(&self, other: &Self) -> bool {
        match (self.holds, other.holds) {
            _ if self == other => true,
            (true, true) => self.shows(other),
            (true, false) => self.excludes(&Self { holds: true, ..*other }),
            (false, false) => Self { holds: true, ..*other }.shows(&Self { holds: true, ..*self }),
            (false, true) => false,
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        match (self.holds, other.holds) {
            (true, true) => self.settles_against(other) || other.settles_against(self),
            (true, false) => self.implies(&Self { holds: true, ..*other }),
            (false, true) => other.implies(&Self { holds: true, ..*self }),
            (false, false) => false,
        }
    }

    /// An equality on a single value says what the value is, and so what it is not.
    fn settles_against(&self, other: &Self) -> bool {
        let equality = matches!(self.compared, Some((Operator::Eq, _)));
        let witness = self.witness().filter(|_| equality && self.path == other.path && is_single(self.path));
        witness.is_some_and(|witness| !other.matches(&witness))
    }

    /// Whether the other is true of everybody of whom this is true; both of them hold.
    fn shows(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let operator = |fact: &Self| fact.compared.map(|(operator, _)| operator);
        let comparable = match (operator(self), operator(other)) {
            (_, Some(Operator::Ne)) | (Some(Operator::Ne), _) => false,
            (Some(Operator::Eq), _) | (_, None) => true,
            (Some(known @ (Operator::Sw | Operator::Ew | Operator::Co)), Some(asked)) => {
                asked == Operator::Co || asked == known
            }
            _ => false,
        };
        // More values, or more in a value, must not make the other untrue.
        let steady = other.path.filter.as_deref().is_none_or(is_steady);
        // One value stands for all others only as long as nobody looks at it twice.
        let decided = operator(self) == Some(Operator::Eq) || !other.selects_by(self.part());
        comparable && steady && decided && self.witness().is_some_and(|witness| other.matches(&witness))
    }

    /// What of a value it is about; a plain value is its own `value` (RFC 7643 section 2.4).
    fn part(&self) -> &str {
        self.path.sub.as_deref().unwrap_or("value")
    }

    /// Whether the brackets look at this part of a value.
    fn selects_by(&self, name: &str) -> bool {
        let paths = self.path.filter.as_deref().map(Filter::paths).unwrap_or_default();
        paths.iter().any(|path| path.attribute.eq_ignore_ascii_case(name))
    }

    /// The smallest person of whom this is true.
    fn witness(&self) -> Option<Resource> {
        // Without a declared type, `5` and `5.0` may be the same, and a moment has many spellings; an object
        // is there by any of its parts.
        let plain = |leaf: &&Attribute| leaf.sub_attributes.is_empty() && leaf.kind != Kind::DateTime;
        let leaf = self.path.leaf().filter(plain)?;
        let value = self.compared.map_or_else(|| Value::from(leaf.name), |(_, value)| value.clone());
        let mut person = Resource::default();
        person.set(self.path, value).then_some(person)
    }

    fn matches(&self, person: &Resource) -> bool {
        let path = self.path.clone();
        let filter = match self.compared {
            None => Filter::Present(path),
            Some((operator, value)) => Filter::Compare { path, operator, value: value.clone() },
        };
        filter.matches(person)
    }
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.compared, self.holds) {
            (None, true) => write!(f, "{} pr", self.path),
            (None, false) => write!(f, "not ({} pr)", self.path),
            (Some((operator, value)), true) => write!(f, "{} {} {value}", self.path, operator.as_str()),
            (Some((Operator::Eq, value)), false) => write!(f, "{} ne {value}", self.path),
            (Some((operator, value)), false) => {
                write!(f, "not ({} {} {value})", self.path, operator.as_str())
            }
        }
    }
}

/// Whether there is at most one value at the path.
fn is_single(path: &Path) -> bool {
    let single = path.definition().is_some_and(|attribute| !attribute.multi_valued);
    single && path.leaf().is_some_and(|leaf| !leaf.multi_valued)
}

/// Whether a filter in brackets stays true of a value to which something is added.
fn is_steady(filter: &Filter) -> bool {
    match filter {
        Filter::Compare { operator, value, .. } => *operator != Operator::Ne && !value.is_null(),
        Filter::Present(_) => true,
        Filter::And(terms) | Filter::Or(terms) => terms.iter().all(is_steady),
        Filter::Not(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::resource;
    use super::*;
    use crate::scim::filter::Limits;
    use crate::scim::schema::USER_TYPE;

    fn parse(text: &str) -> Filter {
        Filter::parse(text, &USER_TYPE, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
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
            let found = covering(earlier.iter().map(Some), &parse(later));
            assert_eq!(found.as_deref(), *expected, "{earlier:?} {later}");
        }
    }

    #[test]
    fn a_condition_of_very_many_cases_is_passed_over() {
        let one = "(title eq \"a\" or title eq \"b\")";
        let many = [one; 20].join(" and ");
        assert_eq!(contradiction(&parse(&format!("{many} and not (title pr)"))), None);
        assert!(!always(&parse(&format!("userName pr or {many}"))));
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
            let covered = covering(earlier.iter().map(Some), &later);
            for person in people {
                let holds = later.matches(&person);
                prop_assert!(!holds || contradiction(&later).is_none(), "{later} can hold");
                prop_assert!(holds || !always(&later), "{later} need not hold");
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
                prop_assert!(there || !covers(&earlier, &later), "{later} without {earlier} in {person:?}");
            }
        }
    }
}
