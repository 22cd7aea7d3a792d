//! The engine with a real model: a child process that computes, is stopped, and dies.
//!
//! `CHAINFERENCE_TEST_MODEL` names a GGUF file of SmolLM2-135M-Instruct; without it the quickstart
//! model is fetched once.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chainference_protocol::{Chat, Decoding, Delta, FinishReason, Message, Sampling, Task};
use chainference_worker::engine::{
    Engine, EngineError, EngineOptions, Event, Generate, Generation,
};
use chainference_worker::host::memory::need_bytes;
use chainference_worker::models::{Gguf, Hub, ModelFileError, ModelSource, ModelStore};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

const ENGINE: &str = env!("CARGO_BIN_EXE_chainference-engine");
const COUNT: &str = "Count from one to fifty in words.";
const FRANCE: &str = "Which city is the capital of France?";

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

fn options(slots: u32, queue_max: u32) -> EngineOptions {
    let mut options = EngineOptions::new(ENGINE.into(), Vec::new(), MODEL.clone());
    options.slots = NonZeroU32::new(slots).expect("at least one");
    options.queue_max = queue_max;
    options.context_tokens = NonZeroU32::new(1024);
    options
}

/// An engine that ends with the test.
async fn start(options: EngineOptions) -> (Engine, DropGuard) {
    let shutdown = CancellationToken::new();
    let engine = Engine::start(options, shutdown.clone()).await.expect("started");
    (engine, shutdown.drop_guard())
}

fn ask(content: &str, max_tokens: u32) -> Generate {
    ask_with(content, |chat| chat.decoding.max_tokens = Some(max_tokens))
}

/// A question to be answered greedily, up to the end of the context unless changed.
fn ask_with(content: &str, change: impl FnOnce(&mut Chat)) -> Generate {
    let mut chat = Chat {
        messages: vec![Message::text("user", content)],
        decoding: Decoding {
            sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
            ..Decoding::default()
        },
        ..Chat::default()
    };
    change(&mut chat);
    Generate { task: Task::Chat(chat), scope: [0; 32], allowed_tokens: u64::MAX }
}

#[derive(Debug, PartialEq)]
struct Answer {
    tokens: Vec<u32>,
    text: String,
    reason: FinishReason,
}

/// All that is still to come; the count in the finish must be the count of tokens that came,
/// `before` included.
async fn rest(mut generation: Generation, before: usize) -> Result<Answer, EngineError> {
    let (mut tokens, mut text, mut finish) = (Vec::new(), String::new(), None);
    loop {
        match generation.next().await.expect("the stream goes on until it is finished")? {
            Event::Delta(Delta { tokens: more, text: piece, .. }) => {
                tokens.extend(more);
                text.push_str(&piece);
            }
            Event::Embedding { .. } => panic!("an embedding was not asked for"),
            Event::Finish { reason, .. } => finish = Some(reason),
            Event::End { tokens_out, .. } => {
                assert_eq!(tokens_out, (before + tokens.len()) as u64);
                assert!(generation.next().await.is_none());
                return Ok(Answer { tokens, text, reason: finish.expect("a finish") });
            }
        }
    }
}

async fn answer(engine: &Engine, request: Generate) -> Answer {
    rest(engine.generate(request).await.expect("accepted"), 0).await.expect("answered")
}

#[tokio::test]
async fn a_greedy_answer_is_right_and_the_same_each_time() {
    let (engine, _end) = start(options(2, 0)).await;
    let facts = engine.facts();
    assert_eq!((facts.context_tokens, facts.vocabulary_tokens), (1024, 49_152));
    assert!(facts.has_chat_template);
    let first = answer(&engine, ask(FRANCE, 64)).await;
    assert!(first.text.contains("Paris"), "{}", first.text);
    assert_eq!(first.reason, FinishReason::Stop);
    assert_eq!(answer(&engine, ask(FRANCE, 64)).await, first);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answer_and_another_seed_another() {
    let (engine, _end) = start(options(1, 0)).await;
    let seeded = |seed| {
        let request = ask_with("Invent a name for a boat and say why.", |chat| {
            chat.decoding.max_tokens = Some(48);
            chat.decoding.sampling.temperature = Some(1.2);
            chat.decoding.sampling.seed = Some(seed);
        });
        answer(&engine, request)
    };
    let first = seeded(7).await;
    assert_eq!(seeded(7).await, first);
    assert_ne!(seeded(8).await, first);
}

#[tokio::test]
async fn concurrent_answers_equal_those_given_alone() {
    let (engine, _end) = start(options(2, 0)).await;
    let (one, two) = (ask(FRANCE, 24), ask(COUNT, 8));
    let alone = (answer(&engine, one.clone()).await, answer(&engine, two.clone()).await);
    let together = tokio::join!(answer(&engine, one), answer(&engine, two));
    assert_eq!(together, alone);
}

#[tokio::test]
async fn the_models_default_system_message_is_part_of_the_prompt() {
    let (engine, _end) = start(options(2, 0)).await;
    let by_default = engine.generate(ask("Hi", 1)).await.expect("accepted").tokens_in();
    let content = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    let spelled_out =
        ask_with("Hi", |chat| chat.messages.insert(0, Message::text("system", content)));
    let generation = engine.generate(spelled_out).await.expect("accepted");
    assert_eq!(generation.tokens_in(), by_default);
    assert!(by_default > 20, "{by_default}");
}

#[tokio::test]
async fn a_chat_template_of_ones_own_stands_for_the_models() {
    let with = |template: &str| EngineOptions {
        chat_template: Some(template.to_owned()),
        ..options(1, 0)
    };
    let own = "{% for message in messages %}{{ message['content'] }}{% endfor %}";
    let (engine, _end) = start(with(own)).await;
    let generation = engine.generate(ask("Hi", 1)).await.expect("accepted");
    assert_eq!(generation.tokens_in(), 1);

    let broken = Engine::start(with("{% for %}"), CancellationToken::new()).await;
    let Err(EngineError::Load { detail }) = broken else { panic!("a template that is none") };
    assert!(detail.contains("template"), "{detail}");
}

#[tokio::test]
async fn max_tokens_and_the_end_of_the_context_end_with_length() {
    let options = EngineOptions { context_tokens: NonZeroU32::new(256), ..options(1, 0) };
    let (engine, _end) = start(options).await;
    let short = answer(&engine, ask(COUNT, 3)).await;
    assert_eq!((short.reason, short.tokens.len()), (FinishReason::Length, 3));

    let endless = ask_with(COUNT, |chat| {
        // The tokens that end a turn.
        chat.decoding.sampling.logit_bias = [(0, -100.0), (2, -100.0)].into();
    });
    let generation = engine.generate(endless).await.expect("accepted");
    let tokens_in = generation.tokens_in();
    let whole = rest(generation, 0).await.expect("answered");
    assert_eq!(whole.reason, FinishReason::Length);
    assert_eq!(tokens_in + whole.tokens.len() as u64, 256);
}

#[tokio::test]
async fn a_prompt_beyond_the_context_is_refused_with_both_numbers() {
    let options = EngineOptions { context_tokens: NonZeroU32::new(256), ..options(1, 0) };
    let (engine, _end) = start(options).await;
    let error = engine.generate(ask(&"word ".repeat(400), 1)).await.expect_err("too long");
    let EngineError::ContextOverflow { tokens_in, context_tokens: 256 } = error else {
        panic!("{error}")
    };
    assert!(tokens_in > 400);
    assert_eq!(engine.free_seats(), 1);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_before_it() {
    let (engine, _end) = start(options(1, 0)).await;
    let whole = answer(&engine, ask(COUNT, 40)).await;
    let stop: String = whole.text.chars().skip(20).take(9).collect();
    let stopping = ask_with(COUNT, |chat| {
        chat.decoding.max_tokens = Some(40);
        chat.decoding.stop = vec![stop.clone()];
    });
    let stopped = answer(&engine, stopping).await;
    assert_eq!(stopped.reason, FinishReason::Stop);
    assert_eq!(Some(stopped.text.as_str()), whole.text.split(&stop).next());
}

#[tokio::test]
async fn a_dropped_generation_frees_its_slot() {
    let (engine, _end) = start(options(1, 0)).await;
    let mut first = engine.generate(ask(COUNT, 900)).await.expect("accepted");
    first.next().await.expect("an event").expect("a delta");
    assert!(matches!(engine.generate(ask(FRANCE, 8)).await, Err(EngineError::Busy)));
    drop(first);
    let next = timeout(Duration::from_secs(2), answer(&engine, ask(FRANCE, 8)));
    assert_eq!(next.await.expect("a free slot").tokens.len(), 8);
}

#[tokio::test]
async fn an_allowance_stops_one_answer_and_lets_it_go_on_while_others_run() {
    let (engine, _end) = start(options(2, 0)).await;
    let free = answer(&engine, ask(COUNT, 30)).await;
    let request = Generate { allowed_tokens: 0, ..ask(COUNT, 30) };
    let mut limited = engine.generate(request).await.expect("accepted");
    assert!(limited.tokens_in() > 0, "known before anything is allowed");
    let pause = Duration::from_millis(300);
    timeout(pause, limited.next()).await.expect_err("nothing is allowed yet");

    limited.allow(5);
    let mut tokens = Vec::new();
    while tokens.len() < 5 {
        let Some(Ok(Event::Delta(Delta { tokens: more, .. }))) = limited.next().await else {
            panic!("a delta")
        };
        tokens.extend(more);
    }
    timeout(pause, limited.next()).await.expect_err("five were allowed");
    let other = answer(&engine, ask(FRANCE, 64)).await;
    assert!(other.text.contains("Paris"), "the other slot goes on");

    limited.allow(u64::MAX);
    tokens.extend(rest(limited, 5).await.expect("answered").tokens);
    assert_eq!(tokens, free.tokens);
}

/// The engine behind a shell that notes its process id, so that a test can kill it.
fn options_with_pid(pid_file: &Path) -> EngineOptions {
    let script = format!("echo $$ > '{}'; exec '{ENGINE}'", pid_file.display());
    let args = vec!["-c".into(), script.into()];
    EngineOptions { exe: "/bin/sh".into(), args, ..options(1, 0) }
}

fn pid(pid_file: &Path) -> String {
    fs::read_to_string(pid_file).expect("the shell wrote it").trim().to_owned()
}

#[tokio::test]
async fn a_killed_engine_fails_its_calls_and_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let pid_file = dir.path().join("pid");
    let (engine, _end) = start(options_with_pid(&pid_file)).await;
    let mut generation = engine.generate(ask(COUNT, 900)).await.expect("accepted");
    generation.next().await.expect("an event").expect("a delta");
    let killed = Command::new("kill").args(["-9", &pid(&pid_file)]).status().expect("kill runs");
    assert!(killed.success());
    assert!(matches!(rest(generation, 1).await, Err(EngineError::Crashed)));
    assert!(!engine.is_ready());
    assert!(matches!(engine.generate(ask(FRANCE, 8)).await, Err(EngineError::Restarting)));

    let back = timeout(Duration::from_secs(20), async {
        while !engine.is_ready() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    back.await.expect("restarted");
    assert!(answer(&engine, ask(FRANCE, 64)).await.text.contains("Paris"));
}

#[tokio::test]
async fn a_shut_down_engine_says_so_and_leaves_no_process() {
    let dir = tempfile::tempdir().expect("a folder");
    let pid_file = dir.path().join("pid");
    let (engine, end) = start(options_with_pid(&pid_file)).await;
    let generation = engine.generate(ask(COUNT, 900)).await.expect("accepted");
    drop(end);
    assert!(matches!(rest(generation, 0).await, Err(EngineError::Stopped)));
    assert!(matches!(engine.generate(ask(FRANCE, 8)).await, Err(EngineError::Stopped)));
    let process = Path::new("/proc").join(pid(&pid_file));
    let deadline = Instant::now() + Duration::from_secs(5);
    while process.exists() {
        assert!(Instant::now() < deadline, "the child is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The most that the process ever held.
fn peak_bytes(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1_024
}

#[tokio::test]
async fn a_model_takes_no_more_memory_than_is_reckoned() {
    let dir = tempfile::tempdir().expect("a folder");
    let pid_file = dir.path().join("pid");
    let options =
        EngineOptions { context_tokens: NonZeroU32::new(2_048), ..options_with_pid(&pid_file) };
    let gguf = Gguf::open(&MODEL).expect("a model");
    let file_bytes = fs::metadata(&*MODEL).expect("there").len();
    let need = need_bytes(&gguf, file_bytes, &options);
    let (engine, _end) = start(options).await;
    // A prompt that fills the context touches all that there is to touch.
    answer(&engine, ask(&"word ".repeat(1_900), 8)).await;
    let peak = peak_bytes(&pid(&pid_file));
    // How much of a step's room is touched depends on the pieces in which a prompt is read, and they
    // on the machine's speed.
    assert!(peak <= need && need < 3 * peak, "{peak} against {need}");
}

/// What a worker's death by SIGKILL looks like from inside the child: stdin closes in the middle of
/// a step.
#[test]
fn a_child_whose_parent_is_gone_ends_while_it_computes() {
    let mut command = Command::new(ENGINE);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = child.stdout.take().expect("piped");
    let mut send = |request: serde_json::Value| {
        let frame = request.to_string();
        stdin.write_all(&(frame.len() as u32).to_be_bytes()).expect("written");
        stdin.write_all(frame.as_bytes()).expect("written");
    };
    let mut reply = || {
        let mut length = [0; 4];
        stdout.read_exact(&mut length).expect("a reply");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stdout.read_exact(&mut frame).expect("a whole reply");
        String::from_utf8(frame).expect("JSON")
    };
    send(json!({ "Load": {
        "model_path": *MODEL, "context_tokens": 4096, "slots": 1, "threads": null, "gpu_layers": 0
    }}));
    assert!(reply().contains("Loaded"));
    send(json!({ "Generate": { "id": 1, "request": ask(&COUNT.repeat(200), 4_000) } }));
    assert!(reply().contains("Accepted"));

    drop(stdin);
    let deadline = Instant::now() + Duration::from_secs(2);
    while child.try_wait().expect("a state").is_none() {
        assert!(Instant::now() < deadline, "the child computes for nobody");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn refusal(model_path: &Path) -> EngineError {
    let options = EngineOptions { model_path: model_path.to_owned(), ..options(1, 0) };
    Engine::start(options, CancellationToken::new()).await.expect_err("no model")
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("model.gguf");
    let whole = fs::read(&*MODEL).expect("readable");

    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    let error = refusal(&path).await;
    let EngineError::Model(ModelFileError::Truncated { has_bytes, needs_bytes, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((has_bytes + 1, needs_bytes), (whole.len() as u64, whole.len() as u64));

    fs::write(&path, b"<html>not found</html>").expect("written");
    let error = refusal(&path).await;
    assert!(matches!(error, EngineError::Model(ModelFileError::NotGguf { .. })), "{error}");

    // A whole GGUF of an architecture that llama.cpp doesn't have: its own words are passed on.
    let mut foreign = whole;
    let key = b"general.architecture";
    let at = foreign.windows(key.len()).position(|window| window == key).expect("there");
    let value = at + key.len() + 4 + 8;
    foreign[value..value + 5].copy_from_slice(b"lxama");
    fs::write(&path, &foreign).expect("written");
    let error = refusal(&path).await;
    let EngineError::Load { detail } = &error else { panic!("{error}") };
    assert!(detail.contains("unknown model architecture") && detail.contains("lxama"), "{detail}");

    let options = EngineOptions { exe: dir.path().join("no-engine"), ..options(1, 0) };
    let error = Engine::start(options, CancellationToken::new()).await.expect_err("no program");
    assert!(matches!(error, EngineError::Spawn(_)), "{error}");

    let error = refusal(&dir.path().join("missing.gguf")).await;
    assert!(matches!(error, EngineError::Model(ModelFileError::Io { .. })), "{error}");
}
