//! The manual's promises about the mapping, kept: each row of the table of keys is run.

use serde_json::{Map, Value};
use ziflow_scim_bridge::mapping::Mapping;
use ziflow_scim_bridge::scim::resource::Resource;
use ziflow_scim_bridge::scim::schema::USER_TYPE;
use ziflow_scim_bridge::yaml;
use ziflow_scim_bridge::ziflow::model::{Field, FieldValue};

const README: &str = include_str!("../../README.md");

/// The cells between the `|`, without the backticks around a whole cell.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = README.split_once(heading).unwrap();
    let table =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split(" | ").map(str::trim).collect();
    table.skip(2).map(cells).collect()
}

fn code(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'))
        .unwrap_or_else(|| panic!("no code: {cell}"))
}

/// The entries of a flow map without its braces.
fn entries(text: &str) -> Value {
    yaml::parse(&format!("{{ {text} }}")).0.unwrap_or_else(|| panic!("no YAML: {text}")).to_json()
}

#[test]
fn every_row_of_the_manual_is_true() {
    let rows = rows("\n### The keys\n");
    assert!(rows.len() > 20, "{rows:#?}");
    for row in rows {
        let [_, scim, entry, becomes] = row.as_slice() else { panic!("{row:?}") };
        let text = format!(
            "user:\n  email: {{ from: userName }}\n  active: {{ from: active }}\n  {}\n",
            code(entry)
        );
        let (mapping, _) =
            Mapping::compile(&text).unwrap_or_else(|problems| panic!("{row:?}: {problems:#?}"));
        let mut person = entries(code(scim));
        person["userName"] = "a@example.com".into();
        let made = mapping.create(&Resource::from_part(person, &USER_TYPE).unwrap().0);
        if let Some(path) = becomes.strip_prefix("refused: ") {
            let refusals = made.unwrap_err();
            assert!(refusals.iter().any(|refusal| refusal.path == code(path)), "{row:?}: {refusals:?}");
            continue;
        }
        let made = made.unwrap_or_else(|refusals| panic!("{row:?}: {refusals:?}"));
        if let Some(field) = becomes.strip_prefix("nothing: ") {
            assert_eq!(made.get(&Field::by_name(code(field)).unwrap()), None, "{row:?}");
            continue;
        }
        for (name, value) in entries(code(becomes)).as_object().unwrap() {
            let got = made.get(&Field::by_name(name).unwrap()).map(FieldValue::to_json);
            assert_eq!(got.as_ref(), Some(value), "{row:?}");
        }
    }
}

#[test]
fn every_row_of_the_manual_about_groups_is_true() {
    let rows = rows("\n### Groups\n");
    assert!(rows.len() > 8, "{rows:#?}");
    for row in rows {
        let [_, group, entries_of_groups, granted] = row.as_slice() else { panic!("{row:?}") };
        let text =
            format!("user:\n  email: {{ from: userName }}\ngroups: {{ {} }}\n", code(entries_of_groups));
        let (mapping, _) =
            Mapping::compile(&text).unwrap_or_else(|problems| panic!("{row:?}: {problems:#?}"));
        let group = entries(code(group));
        let got = mapping.grants(group["displayName"].as_str().unwrap(), group["externalId"].as_str());
        let expected = if *granted == "nothing" { Value::Object(Map::new()) } else { entries(code(granted)) };
        let mut shown = serde_json::to_value(&got).unwrap();
        shown.as_object_mut().unwrap().retain(|_, items| items != &Value::Array(Vec::new()));
        assert_eq!((shown, got.is_empty()), (expected, *granted == "nothing"), "{row:?}");
    }
}

#[test]
fn the_groups_of_the_manual_are_accepted() {
    let (_, section) = README.split_once("\n### Groups\n").unwrap();
    let example = section.split("```").nth(1).unwrap().strip_prefix("yaml\n").unwrap();
    let (mapping, warnings) =
        Mapping::compile(&format!("{example}user:\n  email: {{ from: userName }}\n")).unwrap();
    assert!(warnings.iter().any(|problem| problem.message.contains("become Ziflow admins")), "{warnings:?}");
    assert_eq!(mapping.grants("Anything", None).group, ["Anything"]);
}

#[test]
fn every_entry_of_the_manual_about_entra_is_accepted() {
    for row in rows("\n### From Entra's mapping screen to this file\n") {
        let entry = row.last().unwrap();
        let text = match entry.strip_prefix("in a rule: ") {
            Some(when) => format!(
                "user:\n  email: {{ from: userName }}\n  roles:\n    rules:\n      - {{ {}, value: [user] }}\n",
                code(when)
            ),
            None if code(entry).starts_with("email:") => format!("user:\n  {}\n", code(entry)),
            None => format!("user:\n  email: {{ from: userName }}\n  {}\n", code(entry)),
        };
        assert!(Mapping::compile(&text).is_ok(), "{row:?}: {:#?}", Mapping::compile(&text));
    }
}
