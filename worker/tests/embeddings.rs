//! Embeddings with a real model, held to what its original weights give.
//!
//! `scripts/minilm` makes the model once, out of a Python package, with texts, tokens and vectors to
//! compare with.

use std::num::NonZeroU32;

use chainference_protocol::{Chat, Embedding, Message, Prompt, Task};
use chainference_worker::engine::{Engine, EngineError, EngineOptions, Event, Generate};
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};

use minilm::MODEL;

#[path = "common/minilm.rs"]
mod minilm;

const ENGINE: &str = env!("CARGO_BIN_EXE_chainference-engine");

/// A text, and what the original weights make of it.
#[derive(Deserialize)]
struct Expected {
    text: String,
    tokens: Vec<u32>,
    vector: Vec<f32>,
}

fn expected() -> Vec<Expected> {
    let json = std::fs::read(MODEL.with_file_name("expected.json")).expect("beside the model");
    serde_json::from_slice(&json).expect("texts and vectors")
}

/// An engine that ends with the test.
async fn start(slots: u32) -> (Engine, DropGuard) {
    let mut options = EngineOptions::new(ENGINE.into(), Vec::new(), MODEL.clone());
    options.slots = NonZeroU32::new(slots).expect("at least one");
    options.queue_max = 0;
    let shutdown = CancellationToken::new();
    let engine = Engine::start(options, shutdown.clone()).await.expect("started");
    (engine, shutdown.drop_guard())
}

fn ask(task: Task) -> Generate {
    Generate { task, scope: [0; 32], allowed_tokens: 0 }
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Embedding {
    let inputs = texts.into_iter().map(|text| Prompt::Text(text.to_owned())).collect();
    Embedding { inputs, dimensions: None }
}

/// Tokens in, and the vectors in the order of the texts.
async fn embed(engine: &Engine, asked: Embedding) -> Result<(u64, Vec<Vec<f32>>), EngineError> {
    let mut vectors = vec![Vec::new(); asked.inputs.len()];
    let mut generation = engine.generate(ask(Task::Embed(asked))).await?;
    loop {
        match generation.next().await.expect("the stream goes on until its end")? {
            Event::Embedding { index, vector } => {
                let (numbers, rest) = vector.as_chunks::<4>();
                assert!(rest.is_empty());
                let place = &mut vectors[index as usize];
                assert!(place.is_empty(), "{index} came twice");
                *place = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            }
            Event::End { tokens_out, .. } => {
                assert_eq!(tokens_out, 0);
                return Ok((generation.tokens_in(), vectors));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Of vectors of length 1.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn length(vector: &[f32]) -> f32 {
    cosine(vector, vector).sqrt()
}

#[tokio::test]
async fn vectors_are_those_of_the_original_weights() {
    let (engine, _end) = start(1).await;
    let facts = engine.facts();
    assert_eq!((facts.embedding_width, facts.context_tokens), (Some(384), 512));
    let expected = expected();
    let all = texts(expected.iter().map(|one| one.text.as_str()));
    let (tokens_in, vectors) = embed(&engine, all).await.expect("embedded");
    let tokens: usize = expected.iter().map(|one| one.tokens.len()).sum();
    assert_eq!(tokens_in, tokens as u64, "what is billed is what the original tokenizer counts");
    for (one, vector) in expected.iter().zip(&vectors) {
        assert!((length(vector) - 1.0).abs() < 1e-5);
        // Weights of 16 bits: as close as they can be.
        let close = cosine(vector, &one.vector);
        assert!(close > 0.9999, "{}: {close}", one.text);
    }
}

#[tokio::test]
async fn similar_texts_lie_closer_than_others() {
    let (engine, _end) = start(1).await;
    let asked = texts([
        "How do I reset my password?",
        "I forgot my login and need a new one.",
        "The recipe needs two eggs and some flour.",
    ]);
    let (_, vectors) = embed(&engine, asked).await.expect("embedded");
    let near = cosine(&vectors[0], &vectors[1]);
    let far = cosine(&vectors[0], &vectors[2]);
    assert!(near > far + 0.3, "{near} against {far}");
}

#[tokio::test]
async fn tokens_give_what_their_text_gives_whatever_stands_beside_it() {
    let (engine, _end) = start(1).await;
    let expected = expected();
    let text = &expected[0];
    let alone = embed(&engine, texts([text.text.as_str()])).await.expect("embedded").1;
    // 200 texts of many lengths: several batches.
    let long = "word ".repeat(90);
    let mut inputs: Vec<_> = (0..199).map(|n| Prompt::Text(long[..=n].to_owned())).collect();
    inputs.insert(100, Prompt::Tokens(text.tokens.clone()));
    let many = Embedding { inputs, dimensions: None };
    let (_, vectors) = embed(&engine, many).await.expect("embedded");
    assert!(vectors.iter().all(|vector| vector.len() == 384));
    assert!(cosine(&vectors[100], &alone[0]) > 0.99999);
}

#[tokio::test]
async fn fewer_dimensions_are_the_first_ones_and_of_length_one() {
    let (engine, _end) = start(1).await;
    let whole = embed(&engine, texts(["A short text."])).await.expect("embedded").1.remove(0);
    let short = Embedding { dimensions: Some(64), ..texts(["A short text."]) };
    let short = embed(&engine, short).await.expect("embedded").1.remove(0);
    assert_eq!(short.len(), 64);
    assert!((length(&short) - 1.0).abs() < 1e-5);
    let scale = length(&whole[..64]);
    assert!(whole.iter().zip(&short).all(|(whole, short)| (whole / scale - short).abs() < 1e-5));
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_by_name() {
    let (engine, _end) = start(1).await;
    let error = embed(&engine, texts(["fine", &"word ".repeat(600)])).await.expect_err("too long");
    let EngineError::ContextOverflow { tokens_in: 602, context_tokens: 512 } = error else {
        panic!("{error}")
    };
    let whole = texts(["word ".repeat(510).as_str()]);
    assert_eq!(embed(&engine, whole).await.expect("512 tokens fit").0, 512);

    let chat = Chat { messages: vec![Message::text("user", "Hi")], ..Chat::default() };
    let tokens = |tokens| Embedding { inputs: vec![Prompt::Tokens(tokens)], dimensions: None };
    let wide = Embedding { dimensions: Some(385), ..texts(["x"]) };
    for (task, expected) in [
        (Task::Chat(chat), "model"),
        (Task::Embed(texts([])), "input"),
        (Task::Embed(tokens(Vec::new())), "input"),
        (Task::Embed(tokens(vec![30_522])), "input"),
        (Task::Embed(wide), "dimensions"),
    ] {
        let refused = engine.generate(ask(task)).await.expect_err("refused");
        let EngineError::Invalid { param, .. } = &refused else { panic!("{refused}") };
        assert_eq!(param, expected);
    }
    assert_eq!(engine.free_seats(), 1);
    embed(&engine, texts(["it goes on"])).await.expect("embedded");
}

#[tokio::test]
async fn calls_share_batches_and_a_short_one_overtakes_a_long_one() {
    let (engine, _end) = start(2).await;
    let line = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let long = async {
        let asked = texts((0..400).map(|_| line.as_str()));
        embed(&engine, asked).await.expect("embedded");
        "long"
    };
    let short = async {
        // The other one is well under way.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        embed(&engine, texts(["x"])).await.expect("embedded");
        "short"
    };
    let first = tokio::select! { first = long => first, first = short => first };
    assert_eq!(first, "short");
    // The long one was dropped: its seat is free.
    embed(&engine, texts(["x"])).await.expect("embedded");
    assert_eq!(engine.free_seats(), 2);
}
