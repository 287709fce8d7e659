//! The manual's promises, kept: each row of the table of keys is run, each text of the troubleshooting is one that the
//! bridge says, each link leads somewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use ziflow_scim_bridge::mapping::Mapping;
use ziflow_scim_bridge::scim::resource::Resource;
use ziflow_scim_bridge::scim::schema::USER_TYPE;
use ziflow_scim_bridge::yaml;
use ziflow_scim_bridge::ziflow::model::{Field, FieldValue};

const MAPPING: &str = include_str!("../../docs/mapping.md");

/// The cells between the `|`, without the backticks around a whole cell.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = MAPPING.split_once(heading).unwrap();
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
    let rows = rows("\n## The keys\n");
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
    let rows = rows("\n## Groups\n");
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
    let (_, section) = MAPPING.split_once("\n## Groups\n").unwrap();
    let example = section.split("```").nth(1).unwrap().strip_prefix("yaml\n").unwrap();
    let (mapping, warnings) =
        Mapping::compile(&format!("{example}user:\n  email: {{ from: userName }}\n")).unwrap();
    assert!(warnings.iter().any(|problem| problem.message.contains("become Ziflow admins")), "{warnings:?}");
    assert_eq!(mapping.grants("Anything", None).group, ["Anything"]);
}

#[test]
fn every_entry_of_the_manual_about_entra_is_accepted() {
    for row in rows("\n## From Entra's mapping screen to this file\n") {
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

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found
}

fn manual() -> BTreeMap<PathBuf, String> {
    let mut pages = files(&root().join("docs"), ".md");
    for page in std::fs::read_dir(root()).unwrap() {
        let page = page.unwrap().path();
        if page.extension().is_some_and(|end| end == "md") {
            pages.push(page);
        }
    }
    pages.into_iter().map(|page| (page.clone(), std::fs::read_to_string(page).unwrap())).collect()
}

/// A page without what stands in its blocks of code.
fn prose(page: &str) -> String {
    page.split("\n```").step_by(2).collect()
}

/// How a heading is named in a link: as GitHub makes it of the text.
pub fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ' ';
    heading.to_lowercase().chars().filter(|c| kept(*c)).collect::<String>().replace(' ', "-")
}

fn anchors(page: &str) -> Vec<String> {
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_of_the_manual_leads_somewhere() {
    let pages = manual();
    assert!(pages.len() > 8, "{:?}", pages.keys());
    let mut links = 0;
    for (page, text) in &pages {
        for link in prose(text).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, part) = link.split_once('#').map_or((link, None), |(file, part)| (file, Some(part)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let target =
                target.canonicalize().unwrap_or_else(|_| panic!("{}: {link} is not there", page.display()));
            if let Some(part) = part {
                let there = std::fs::read_to_string(&target).unwrap();
                assert!(
                    anchors(&there).iter().any(|anchor| anchor == part),
                    "{}: no heading for {link}",
                    page.display()
                );
            }
        }
    }
    assert!(links > 30, "{links} links");
}

/// What the code says in its texts, with the lines of one text put together again.
fn said() -> String {
    let mut out = String::new();
    for file in files(&root().join("src"), ".rs") {
        let mut continued = false;
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let line = if continued { line.trim_start() } else { line };
            let begun = line.strip_suffix('\\');
            out.push_str(begun.unwrap_or(line));
            continued = begun.is_some();
            if !continued {
                out.push('\n');
            }
        }
    }
    out
}

/// Whoever pastes a text from Entra's log into a search must find the row, and no row may be about a text of yesterday.
#[test]
fn every_text_of_the_troubleshooting_is_one_that_is_said() {
    let said = said();
    let page = include_str!("../../docs/troubleshooting.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() > 30, "{rows:#?}");
    for row in rows {
        let sign = row.trim_start_matches("| ").split(" | ").next().unwrap();
        for text in sign.split('`').skip(1).step_by(2) {
            for piece in text.split('…').map(str::trim).filter(|piece| piece.len() > 3) {
                assert!(said.contains(piece), "nobody says `{piece}`:\n{row}");
            }
        }
    }
}
