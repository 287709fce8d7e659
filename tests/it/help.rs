//! What the commands say about themselves: in 80 columns, with an example wherever that helps, and the same in the manual
//! pages and in what shells complete.

use std::process::Command;

use crate::harness::{Folder, command};

fn printed(arguments: &[&str]) -> String {
    let output = command(arguments, &[("COLUMNS", "80")]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command with its help, the inner ones too.
fn all() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let arguments: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = printed(&arguments);
        open.extend(commands(&help).into_iter().map(|name| [path.clone(), vec![name]].concat()));
        found.push((path, help));
    }
    found
}

#[test]
fn help_fits_into_80_columns_and_shows_how() {
    let all = all();
    assert!(all.len() > 15, "{all:#?}");
    for (path, help) in all {
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{path:?}: {line}");
            assert!(!line.ends_with("..."), "{path:?}: {line}");
        }
        // Whoever has a page of words to read may see an example first; the rest needs none.
        let needs_none = ["status", "release", "drift"];
        let last = path.last().map(String::as_str).unwrap_or_default();
        let shows = help.contains("\nExample") || needs_none.contains(&last) || !commands(&help).is_empty();
        assert!(shows, "{path:?} has no example: {help}");
    }
}

/// Each example is a command line that this program understands, as far as that shows without running it.
#[test]
fn examples_name_commands_and_options_that_exist() {
    let all = all();
    let mut seen = 0;
    for (path, help) in &all {
        let lines = help.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for line in lines.filter(|line| line.contains("ziflow-scim-bridge ")) {
            let words: Vec<_> =
                line.rsplit("ziflow-scim-bridge ").next().unwrap().split_whitespace().collect();
            let of = all.iter().filter(|(path, _)| {
                words.len() >= path.len() && path.iter().zip(&words).all(|(a, b)| a == b)
            });
            let (of, its_help) = of.max_by_key(|(path, _)| path.len()).unwrap();
            assert!(!of.is_empty(), "{path:?}: no such command in `{line}`");
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.trim_end_matches(')');
                assert!(its_help.contains(option), "{path:?}: `{of:?}` has no {option}: `{line}`");
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let page = printed(&["man"]);
    assert!(page.starts_with(".ie") && page.contains(".TH ziflow-scim-bridge 1"), "{page}");
    assert!(page.contains("Exit codes"), "{page}");
    let folder = Folder::new();
    printed(&["man", "--into", folder.path().to_str().unwrap()]);
    for (path, _) in all() {
        let name = ["ziflow-scim-bridge".to_owned()].into_iter().chain(path).collect::<Vec<_>>().join("-");
        assert!(folder.path().join(format!("{name}.1")).exists(), "{name}");
    }
}

#[test]
fn shells_can_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        assert!(script.contains("simulate"), "{shell}: {script}");
    }
    let folder = Folder::new();
    let script = folder.file("completion", &printed(&["completions", "bash"]));
    assert!(Command::new("bash").arg("-n").arg(script).status().unwrap().success());
}
