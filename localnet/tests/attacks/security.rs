//! SECURITY.md says what the tests show: each test that it names exists, and each test of an attack is in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files of this target that hold no attacks.
const NO_ATTACKS: [&str; 5] = ["main", "catalogue", "forge", "security", "support"];

#[test]
fn every_threat_names_tests_that_exist() {
    let rows = rows();
    assert!(rows.len() > 25, "{} threats", rows.len());
    for row in &rows {
        let [threat, defence, tests] = row.as_slice() else { panic!("three cells: {row:?}") };
        assert!(!threat.is_empty() && !defence.is_empty(), "{row:?}");
        let tests = named(tests);
        assert!(!tests.is_empty(), "{threat}: no test");
        for (file, test) in tests {
            let path = folder().join(format!("{file}.rs"));
            let source = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{threat}: {}: {error}", path.display()));
            let found = source.contains(&format!("#[test]\nfn {test}() {{"));
            assert!(found, "{threat}: there is no test {file}::{test}");
        }
    }
}

#[test]
fn every_attack_is_among_the_threats() {
    let listed: BTreeSet<_> = rows().iter().flat_map(|row| named(&row[2])).collect();
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut attacks = BTreeSet::new();
    for path in files {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
        if !NO_ATTACKS.contains(&name) {
            let source = std::fs::read_to_string(&path).unwrap();
            let tests =
                source.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split_once("()"));
            attacks.extend(tests.map(|(test, _)| (name.to_string(), test.to_string())));
        }
    }
    assert!(attacks.len() > 100, "{} attacks", attacks.len());
    assert_eq!(attacks, listed);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks")
}

/// The cells of the table under "Threats", its head and rule left out.
fn rows() -> Vec<Vec<String>> {
    let text = include_str!("../../../SECURITY.md");
    let (_, section) = text.split_once("\n## Threats").expect("the section of the threats");
    let section = section.split("\n## ").next().unwrap_or_default();
    let table = section.lines().filter(|line| line.starts_with('|')).skip(2);
    table
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect())
        .collect()
}

/// The code spans of a cell, as file and test.
fn named(cell: &str) -> Vec<(String, String)> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans
        .map(|span| span.split_once("::").unwrap_or_else(|| panic!("{span} is no file::test")))
        .map(|(file, test)| (file.to_string(), test.to_string()))
        .collect()
}
