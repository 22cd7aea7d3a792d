//! Answers against the schemas that OpenAI and Anthropic publish, as a package has them.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::client::installed;

/// Answers, each with who publishes the schema that it must fit, and the schema's name.
#[derive(Debug, Default)]
pub struct Answers(Vec<Value>);

impl Answers {
    pub fn openai(&mut self, schema: &str, answer: Value) {
        self.0.push(json!(["openai", schema, answer]));
    }

    pub fn anthropic(&mut self, schema: &str, answer: Value) {
        self.0.push(json!(["anthropic", schema, answer]));
    }

    /// Fails with all that does not fit.
    pub fn check(self) {
        assert!(!self.0.is_empty(), "there is nothing to check");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/schema.py");
        let mut process = Command::new(installed("schemas-").join("bin/python"))
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut input = process.stdin.take().expect("its input");
        input.write_all(Value::Array(self.0).to_string().as_bytes()).expect("it reads");
        drop(input);
        let output = process.wait_with_output().expect("it ends");
        let faults: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
        assert_eq!(faults, json!([]), "{faults:#}");
    }
}
