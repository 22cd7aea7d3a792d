//! The clients that people use: curl, OpenAI's own for Python and Node, async-openai, Anthropic's for Python, LangChain,
//! and llm.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{MODEL, binary, cache, market::Place};

/// The quickstart's model knows the answer, "The capital of France is Paris.", at temperature 0.
pub const QUESTION: &str = "What is the capital of France? Answer in one short sentence.";

/// What curl prints.
pub fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--max-time", "120"])
        .args(args)
        .output()
        .expect("curl is installed");
    String::from_utf8(output.stdout).expect("text")
}

/// An HTTP answer: its status and its body.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// POST /v1/chat/completions with that body, as curl sends it.
pub fn post(place: &Place, key: &str, body: &str) -> Answer {
    post_to(place, "/chat/completions", key, body)
}

/// POST to another endpoint, by its path below /v1.
pub fn post_to(place: &Place, path: &str, key: &str, body: &str) -> Answer {
    let text = curl(&[
        "-s",
        "-w",
        "\n%{http_code}",
        &format!("{}{path}", place.base_url()),
        "-H",
        &format!("authorization: Bearer {key}"),
        "-H",
        "content-type: application/json",
        "-d",
        body,
    ]);
    let (body, status) = text.rsplit_once('\n').expect("curl adds the status");
    Answer {
        status: status.parse().expect("a status"),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// GET of a path below /v1.
pub fn get(place: &Place, path: &str, key: &str) -> Answer {
    let text = curl(&[
        "-s",
        "-w",
        "\n%{http_code}",
        &format!("{}{path}", place.base_url()),
        "-H",
        &format!("authorization: Bearer {key}"),
    ]);
    let (body, status) = text.rsplit_once('\n').expect("curl adds the status");
    Answer {
        status: status.parse().expect("a status"),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// The data of each event that POST to a path below /v1 is streamed, as JSON; marks are left out.
pub fn stream_of(place: &Place, path: &str, body: &Value) -> Vec<Value> {
    let text = curl(&[
        "-sN",
        &format!("{}{path}", place.base_url()),
        "-H",
        &format!("authorization: Bearer {}", place.key()),
        "-H",
        "content-type: application/json",
        "-d",
        &body.to_string(),
    ]);
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// A chat of one message; `more` is laid over it.
pub fn chat(prompt: &str, more: Value) -> Value {
    let mut body = json!({"model": MODEL, "temperature": 0, "messages": [{"role": "user", "content": prompt}]});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[derive(Debug, Clone, Copy)]
pub enum Sdk {
    Python,
    Node,
    /// async-openai.
    Rust,
    Anthropic,
    LangChain,
}

/// Runs one request with an official client. It prints what it got: `content`, `finish_reason`, `usage`, `chunks`; or
/// `error` with the `status`, `type`, `code` and `message` that its user would catch.
pub fn sdk(place: &Place, sdk: Sdk, what: &str, body: &Value) -> Value {
    let output = sdk_command(place, sdk, what, body).output().expect("the client runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{sdk:?}: {error}: {output:?}"))
}

/// The same, not yet started, for tests that do something meanwhile.
pub fn sdk_command(place: &Place, sdk: Sdk, what: &str, body: &Value) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let mut command = match sdk {
        Sdk::Python => {
            let mut command = Command::new(installed("python-").join("bin/python"));
            command.arg(scripts.join("openai_client.py"));
            command
        }
        Sdk::Anthropic => {
            let mut command = Command::new(installed("anthropic-").join("bin/python"));
            command.arg(scripts.join("anthropic_client.py"));
            command
        }
        Sdk::LangChain => {
            let mut command = Command::new(installed("langchain-").join("bin/python"));
            command.arg(scripts.join("langchain_client.py"));
            command
        }
        Sdk::Rust => Command::new(built("async-openai/release/chainference-async-openai-client")),
        Sdk::Node => {
            let mut command = Command::new("node");
            command.arg(scripts.join("openai_client.mjs")).arg(installed("node-"));
            command
        }
    };
    command
        .args([what, &body.to_string()])
        .env("OPENAI_BASE_URL", place.base_url())
        .env("OPENAI_API_KEY", place.key())
        .env("ANTHROPIC_BASE_URL", place.base_url().trim_end_matches("/v1"))
        .env("ANTHROPIC_API_KEY", place.key());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What scripts/setup-test has built beside us.
fn built(path: &str) -> PathBuf {
    let release = binary("chainference");
    let built = release.ancestors().nth(2).expect("…/release/chainference").join(path);
    assert!(built.exists(), "{} is not built: run scripts/setup-test", built.display());
    built
}

/// The newest client of that kind that scripts/setup-test has installed.
pub fn installed(kind: &str) -> PathBuf {
    let clients = cache().join("clients");
    let found =
        std::fs::read_dir(&clients).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = found
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind))
        })
        .collect();
    found.sort();
    found
        .pop()
        .unwrap_or_else(|| panic!("no {kind}* in {}: run scripts/setup-test", clients.display()))
}
