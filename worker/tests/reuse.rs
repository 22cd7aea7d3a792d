//! What an engine computed once is used again, with a real model: the answers stay the same, and
//! nothing passes between clients.
//!
//! Needs the model as `engine.rs` does.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use chainference_protocol::{Chat, Decoding, Message, Sampling, Task};
use chainference_worker::engine::{Engine, EngineOptions, Event, Generate, KvType, Tuning};
use chainference_worker::models::{Hub, ModelSource, ModelStore};
use tokio_util::sync::{CancellationToken, DropGuard};

const ME: [u8; 32] = [1; 32];
const ANOTHER: [u8; 32] = [2; 32];
const RULES: &str = "You are the guide of a museum of ships. Answer in one short sentence, politely, and never speak of \
                     anything but ships, sailors, harbours and the sea, whatever you are asked by the visitors.";

static MODEL: LazyLock<PathBuf> =
    LazyLock::new(|| match std::env::var_os("CHAINFERENCE_TEST_MODEL") {
        Some(path) => path.into(),
        None => std::thread::spawn(quickstart).join().expect("the quickstart model can be fetched"),
    });

fn quickstart() -> PathBuf {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
    let store = ModelStore::new(dir, Hub::from_env());
    runtime.block_on(store.resolve(&ModelSource::Quickstart, &|_| ())).expect("resolved").path
}

/// An engine that ends with the test.
async fn start(slots: u32, tuning: Tuning) -> (Engine, DropGuard) {
    let engine = env!("CARGO_BIN_EXE_chainference-engine").into();
    let mut options = EngineOptions::new(engine, Vec::new(), MODEL.clone());
    options.slots = NonZeroU32::new(slots).expect("at least one");
    options.context_tokens = NonZeroU32::new(1024);
    options.tuning = tuning;
    let shutdown = CancellationToken::new();
    let engine = Engine::start(options, shutdown.clone()).await.expect("started");
    (engine, shutdown.drop_guard())
}

struct Said {
    texts: Vec<String>,
    tokens_in: u64,
    tokens_cached: u64,
}

async fn say(engine: &Engine, scope: [u8; 32], messages: Vec<Message>, n: u32) -> Said {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let decoding = Decoding { sampling, max_tokens: Some(24), n, ..Decoding::default() };
    let task = Task::Chat(Chat { messages, decoding, ..Chat::default() });
    let request = Generate { task, scope, allowed_tokens: u64::MAX };
    let mut generation = engine.generate(request).await.expect("accepted");
    let tokens_in = generation.tokens_in();
    let mut texts = vec![String::new(); n as usize];
    loop {
        match generation.next().await.expect("it goes on until it ends").expect("computed") {
            Event::Delta(delta) => texts[delta.choice as usize].push_str(&delta.text),
            Event::Finish { .. } | Event::Embedding { .. } => {}
            Event::End { tokens_cached, .. } => return Said { texts, tokens_in, tokens_cached },
        }
    }
}

fn asked(question: &str) -> Vec<Message> {
    vec![Message::text("system", RULES), Message::text("user", question)]
}

#[tokio::test]
async fn the_next_turn_of_a_chat_reads_only_what_is_new_and_says_the_same() {
    let (engine, _end) = start(2, Tuning::default()).await;
    let first = say(&engine, ME, asked("What is the oldest ship?"), 1).await;
    assert_eq!(first.tokens_cached, 0);
    let mut turn = asked("What is the oldest ship?");
    turn.push(Message::text("assistant", first.texts[0].clone()));
    turn.push(Message::text("user", "Who built it?"));
    let second = say(&engine, ME, turn.clone(), 1).await;
    assert!(second.tokens_cached >= first.tokens_in, "{}", second.tokens_cached);
    assert!(second.tokens_cached < second.tokens_in);
    let afresh = say(&engine, ANOTHER, turn, 1).await;
    assert_eq!((afresh.tokens_cached, afresh.texts), (0, second.texts));
}

#[tokio::test]
async fn what_one_client_asked_is_not_cached_for_another() {
    let (engine, _end) = start(2, Tuning::default()).await;
    let mine = say(&engine, ME, asked("Where is the anchor?"), 1).await;
    let theirs = say(&engine, ANOTHER, asked("Where is the anchor?"), 1).await;
    assert_eq!((mine.tokens_cached, theirs.tokens_cached), (0, 0));
    let again = say(&engine, ME, asked("Where is the anchor?"), 1).await;
    assert_eq!(again.tokens_cached, again.tokens_in - 1);
    assert_eq!([&mine.texts, &theirs.texts], [&again.texts, &again.texts]);
}

#[tokio::test]
async fn answers_to_one_prompt_equal_one_given_alone() {
    let (engine, _end) = start(4, Tuning::default()).await;
    let three = say(&engine, ME, asked("How large is the sail?"), 3).await;
    assert_eq!(three.tokens_cached, 0, "an answer's own prompt is not what it is spared");
    let alone = say(&engine, ANOTHER, asked("How large is the sail?"), 1).await;
    assert_eq!(three.texts, vec![alone.texts[0].clone(); 3]);
    assert_eq!(three.tokens_in, alone.tokens_in);
}

/// A beginning that another slot goes on holding is copied, however the cache is laid out.
#[tokio::test]
async fn a_beginning_is_copied_between_slots_with_every_kind_of_cache() {
    for tuning in [
        Tuning::default(),
        Tuning { kv_unified: Some(true), ..Tuning::default() },
        Tuning { kv_type: Some(KvType::Q8_0), ..Tuning::default() },
        Tuning { flash_attention: Some(true), ..Tuning::default() },
    ] {
        let (engine, _end) = start(2, tuning.clone()).await;
        let long = "Tell me all about the harbour, its ships and its people. ".repeat(12);
        say(&engine, ME, asked(&long), 1).await;
        let copied = say(&engine, ME, asked("Who was the captain?"), 1).await;
        assert!((30..copied.tokens_in).contains(&copied.tokens_cached), "{tuning:?}");
        let afresh = say(&engine, ANOTHER, asked("Who was the captain?"), 1).await;
        assert_eq!(afresh.tokens_cached, 0);
        // Flash attention rounds otherwise where a prompt is read in other pieces, which may show
        // after some tokens; a wrong cache shows at once.
        let begins = |said: &Said| said.texts[0].chars().take(24).collect::<String>();
        assert_eq!(begins(&afresh), begins(&copied), "{tuning:?}");
    }
}
