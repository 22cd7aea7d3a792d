//! docs/parameters.md and the code, held together: every parameter that is read or refused has its
//! row, every row its parameter, and every test that a row names exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_aux::serde_introspection::serde_introspect;

use crate::openai::{
    chat::ChatRequest,
    completion::CompletionRequest,
    decoding::DecodingRequest,
    embedding::EmbeddingRequest,
    messages::MessagesRequest,
    refused::{self, Refused},
    response::ResponseRequest,
};

const DOCUMENT: &str = include_str!("../../../../docs/parameters.md");

/// One endpoint's table: parameter → what the document says of it.
fn table(endpoint: &str) -> BTreeMap<&'static str, &'static str> {
    let heading = format!("## POST {endpoint}\n");
    let (_, section) = DOCUMENT.split_once(&heading).expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        for name in quoted(cells[0]) {
            assert!(rows.insert(name, cells[1]).is_none(), "{endpoint}: {name} twice");
        }
        assert!(quoted(cells[2]).next().is_some(), "no test is named: {line}");
    }
    rows
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn check(endpoint: &str, read: &[&[&'static str]], refused: &[&[Refused]]) {
    let rows = table(endpoint);
    let read: BTreeSet<&str> = read.iter().copied().flatten().copied().collect();
    let refused: BTreeSet<&str> = refused.iter().copied().flatten().map(|one| one.name).collect();
    assert_eq!(read.intersection(&refused).count(), 0, "{endpoint}: read and refused");
    let known: BTreeSet<&str> = read.union(&refused).copied().collect();
    let told: BTreeSet<&str> = rows.keys().copied().collect();
    let none: [&&str; 0] = [];
    assert_eq!(known.difference(&told).collect::<Vec<_>>(), none, "{endpoint}: not told");
    assert_eq!(told.difference(&known).collect::<Vec<_>>(), none, "{endpoint}: not known");
    for (name, says) in rows {
        assert_eq!(says.starts_with("refused"), refused.contains(name), "{endpoint}: {name}");
    }
}

#[test]
fn every_parameter_is_in_the_document() {
    let decoding = serde_introspect::<DecodingRequest>();
    let chat = serde_introspect::<ChatRequest>();
    check("/v1/chat/completions", &[chat, decoding], refused::CHAT);
    let completion = serde_introspect::<CompletionRequest>();
    check("/v1/completions", &[completion, decoding], refused::COMPLETION);
    let response = serde_introspect::<ResponseRequest>();
    check("/v1/responses", &[response, decoding], refused::RESPONSE);
    let message = serde_introspect::<MessagesRequest>();
    check("/v1/messages", &[message, decoding], refused::MESSAGE);
    check("/v1/embeddings", &[serde_introspect::<EmbeddingRequest>()], refused::EMBEDDING);
}

#[test]
fn every_test_that_the_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    for folder in ["gateway", "worker", "tests"] {
        gather(&root.join(folder), &mut sources);
    }
    for line in DOCUMENT.lines().filter(|line| line.starts_with("| `")) {
        let (_, tests) = line.trim_end_matches([' ', '|']).rsplit_once(" | ").expect("cells");
        for test in quoted(tests) {
            assert!(sources.contains(&format!("fn {test}()")), "no test '{test}': {line}");
        }
    }
}

fn gather(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}
