//! The keys of mapping.yaml and what each is for, in the words that an editor shows beside them. A key that is not
//! here is refused.

use std::ops::RangeInclusive;

use super::spec::Direction;
use crate::ziflow::model::Field;

/// Keys or words, each with what it is for.
pub(super) type Keys = &'static [(&'static str, &'static str)];

/// The file itself.
pub(super) const FILE: Keys = &[
    (
        "user",
        "The fields of a Ziflow user, and where each of them comes from in SCIM, the language that Entra speaks.",
    ),
    (
        "scim",
        "What a person shows in SCIM where Entra never wrote anything, such as somebody who was made in Ziflow. \
         The placeholders are fields of Ziflow, as in \"{first_name} {last_name}\".",
    ),
    (
        "groups",
        "What membership in an Entra group grants in Ziflow. A group is declared by its object id or by its name; `*` is \
         every group that is not declared.",
    ),
    (
        "examples",
        "What should come out. `ziflow-scim-bridge check` tries each example and shows what came out otherwise.",
    ),
];

/// One field under `user`.
pub(super) const FIELD: Keys = &[
    (
        "from",
        "The SCIM attribute that the field comes from: the target in Entra's attribute mapping. A list means the first \
         of them that is present.",
    ),
    (
        "template",
        "A text made of SCIM attributes, as in \"{name.givenName} {name.familyName}\". What is missing leaves no gap.",
    ),
    ("value", "The same value for everybody. It is given to new people only."),
    ("rules", "The value of the first rule whose condition holds. When none does, `otherwise` decides."),
    (
        "transform",
        "Small changes to the text on its way to Ziflow: one of them, or a list that is worked off in order.",
    ),
    (
        "values",
        "A table from SCIM's words to Ziflow's, without regard to upper and lower case. `*` stands for anything; read \
         backwards, the first row without `*` is what Entra is shown.",
    ),
    (
        "only",
        "What the field takes, as it is after the transforms: a pattern or a list of them, as in \"*@example.com\". `*` \
         stands for anything, upper and lower case are the same; `otherwise` decides about the rest.",
    ),
    (
        "otherwise",
        "For a value that the mapping does not know, or when no rule holds: refuse (the default), omit (as if there were \
         no value), keep (leave what Ziflow has), or a value to take instead.",
    ),
    ("default", "The value for new people who lack the source."),
    ("required", "With true, people who lack the source are refused, with the reason in Entra's log."),
    (
        "direction",
        "Which way the field is carried: both (the default), to_ziflow (never shown in SCIM), or to_scim (never sent to \
         Ziflow).",
    ),
    (
        "owns",
        "With true, the bridge also takes away items of the list that it did not give. With false, the default, what \
         somebody gave by hand in Ziflow stays.",
    ),
];

/// Of these keys, each field has exactly one.
pub(super) const SOURCES: &[&str] = &["from", "template", "value", "rules"];

/// One of `rules`.
pub(super) const RULE: Keys = &[
    (
        "when",
        "A SCIM filter over the whole person, as in 'userType eq \"Contractor\"'. A rule without one holds for everybody.",
    ),
    ("value", "What the field becomes for whom the condition holds."),
];

/// Transforms that are a word.
pub(super) const WORDS: Keys = &[
    ("trim", "takes away blanks at both ends"),
    ("lowercase", "writes all letters small"),
    ("uppercase", "writes all letters large"),
    ("collapse_spaces", "leaves one blank between words and none around them"),
];

/// Transforms with an argument.
pub(super) const STEPS: Keys = &[
    ("truncate", "Keeps so many characters and cuts off the rest."),
    ("replace", "Replaces whatever a regular expression finds."),
];

/// How many characters `truncate` can keep.
pub(super) const LENGTH: RangeInclusive<u64> = 1..=1000;

/// The argument of `replace`.
pub(super) const REPLACE: Keys = &[
    ("pattern", "A regular expression in the syntax of Rust's regex crate, which has no look-around."),
    (
        "with",
        "The text that takes its place; `${1}` is the first group of the pattern, and an empty text takes it away.",
    ),
];

/// Which way a field is carried.
pub(super) const DIRECTIONS: &[(&str, Direction)] =
    &[("both", Direction::Both), ("to_ziflow", Direction::ToZiflow), ("to_scim", Direction::ToScim)];

/// What `otherwise` can be beside a value.
pub(super) const OTHERWISE: &[&str] = &["refuse", "omit", "keep"];

/// One of `groups`.
pub(super) const GROUP: Keys = &[
    (
        "roles",
        "The roles that members have in Ziflow. `admin` is granted to a group by its object id only; `lite_user` stands \
         alone.",
    ),
    (
        "group",
        "The groups of reviewers in Ziflow to which members belong. `{displayName}` stands for the group's own name.",
    ),
];

/// The key under `groups` for every group that is not declared.
pub(super) const UNDECLARED: &str = "*";

/// The placeholder of `group` under `groups`.
pub(super) const DISPLAY_NAME: &str = "displayName";

/// One of `examples`.
pub(super) const EXAMPLE: Keys = &[
    ("name", "What `check` calls the example."),
    ("scim", "A person as Entra sends them."),
    (
        "ziflow",
        "What becomes of the person in Ziflow. Only the fields that are listed are compared; null means that nothing is \
         sent.",
    ),
    ("refused", "In place of `ziflow`: nobody is made, and this attribute of SCIM is why."),
    (
        "to_scim",
        "What Entra is shown of the person under `ziflow`, if they were made in Ziflow: SCIM attributes and their values.",
    ),
];

/// What a field of Ziflow is, for somebody who fills it.
pub(super) fn about(field: Field) -> &'static str {
    match field {
        Field::Email => {
            "The e-mail address, by which Ziflow knows the person. Ziflow stores it in lower case and cannot change it \
             later."
        }
        Field::FirstName => "The first name.",
        Field::LastName => "The last name.",
        Field::Company => "The company. Without it, Ziflow takes the name of your account.",
        Field::Phone => "The telephone number, a text of any form.",
        Field::Language => {
            "The language in which Ziflow speaks to the person. It can be changed and not taken away."
        }
        Field::Timezone => {
            "The time zone, a name of the IANA database such as Europe/Berlin. It can be changed and not taken away."
        }
        Field::Roles => {
            "What the person may do in Ziflow. `lite_user` is a seat of its own and stands alone; everybody keeps one role \
             at least."
        }
        Field::Group => "The groups of reviewers in Ziflow to which the person belongs.",
        Field::Active => "Whether the person can sign in. False frees the seat, true brings the person back.",
    }
}

pub(super) fn names(keys: Keys) -> Vec<&'static str> {
    keys.iter().map(|(name, _)| *name).collect()
}
