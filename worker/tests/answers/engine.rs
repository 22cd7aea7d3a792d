//! The engine that all tests ask.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use chainference_protocol::{
    Chat, Completion, Delta, FinishReason, Message, Prompt, Recounted, Task, TokenLogprob,
};
use chainference_worker::engine::{Engine, EngineError, EngineOptions, Event, Generate, Tokenizer};
use chainference_worker::models::{Hub, ModelSource, ModelStore};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

static ENGINE: LazyLock<Served> = LazyLock::new(start);

/// For answers that must be the same to the last bit, drawn by chance as they are: what is computed
/// beside them changes how the model's numbers are rounded.
static QUIET: LazyLock<Served> = LazyLock::new(start);

/// An engine, and who counts again what it says to have counted.
pub struct Served {
    engine: Engine,
    tokenizer: Tokenizer,
}

fn start() -> Served {
    start_with(model(), |_| ())
}

/// An engine of the test's own.
pub fn start_with(model: PathBuf, change: impl FnOnce(&mut EngineOptions)) -> Served {
    let exe = env!("CARGO_BIN_EXE_chainference-engine");
    let mut options = EngineOptions::new(exe.into(), Vec::new(), model);
    options.queue_max = 64;
    options.context_tokens = NonZeroU32::new(2048);
    change(&mut options);
    RUNTIME.block_on(async {
        let tokenizer = Tokenizer::new(options.clone());
        let engine = Engine::start(options, CancellationToken::new()).await.expect("started");
        Served { engine, tokenizer }
    })
}

/// What the tokenizer says of these answers to the question.
pub fn recount(task: &Task, answers: Vec<chainference_protocol::Answered>) -> Option<Recounted> {
    RUNTIME.block_on(ENGINE.tokenizer.recount(Arc::new(task.clone()), answers))
}

pub fn model() -> PathBuf {
    if let Some(path) = std::env::var_os("CHAINFERENCE_TEST_MODEL") {
        return path.into();
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
    let store = ModelStore::new(dir, Hub::from_env());
    let resolved = store.resolve(&ModelSource::Quickstart, &|_| ());
    RUNTIME.block_on(resolved).expect("the quickstart model can be fetched").path
}

/// One answer, put together from its deltas.
#[derive(Clone, Default, PartialEq)]
pub struct Answer {
    pub tokens: Vec<u32>,
    pub text: String,
    pub reasoning: String,
    /// Id, name and arguments.
    pub calls: Vec<(String, String, String)>,
    pub logprobs: Vec<TokenLogprob>,
    pub reason: Option<FinishReason>,
    pub tokens_reasoning: u64,
}

impl Answer {
    fn add(&mut self, delta: Delta) {
        self.tokens.extend(delta.tokens);
        self.text.push_str(&delta.text);
        self.reasoning.push_str(&delta.reasoning);
        self.logprobs.extend(delta.logprobs);
        for call in delta.tool_calls {
            if call.index as usize == self.calls.len() {
                let (id, name) = (call.id.expect("an id"), call.name.expect("a name"));
                self.calls.push((id, name, call.arguments));
            } else {
                assert!(call.id.is_none() && call.name.is_none(), "given once");
                self.calls[call.index as usize].2.push_str(&call.arguments);
            }
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    pub fn arguments(&self, call: usize) -> Value {
        let arguments = &self.calls[call].2;
        serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error} in {arguments:?}"))
    }
}

/// The answers to a call, and the prompt tokens that it costs.
pub struct Answered {
    pub tokens_in: u64,
    pub answers: Vec<Answer>,
}

pub fn try_ask(task: Task) -> Result<Answered, EngineError> {
    ask_engine(&ENGINE, task)
}

/// Asks an engine that does nothing else.
pub fn ask_quiet(task: Task) -> Answered {
    ask_engine(&QUIET, task).expect("answered")
}

/// Asks, and has every answer counted again.
pub fn ask_engine(served: &Served, task: Task) -> Result<Answered, EngineError> {
    let asked = Arc::new(task.clone());
    let request = Generate { task, scope: [7; 32], allowed_tokens: u64::MAX };
    RUNTIME.block_on(async {
        let mut generation = served.engine.generate(request).await?;
        let mut answers: BTreeMap<u32, Answer> = BTreeMap::new();
        let mut all: BTreeMap<u32, chainference_protocol::Answered> = BTreeMap::new();
        loop {
            match generation.next().await.expect("the stream goes on until its end")? {
                Event::Delta(delta) => {
                    let choice = delta.choice;
                    all.entry(choice).or_insert_with(|| recounted(choice)).push(&delta);
                    let answer = answers.entry(delta.choice).or_default();
                    assert!(answer.reason.is_none(), "nothing follows a finish");
                    answer.add(delta);
                }
                Event::Finish { choice, reason, tokens_reasoning, .. } => {
                    let answer = answers.entry(choice).or_default();
                    answer.tokens_reasoning = tokens_reasoning;
                    all.entry(choice).or_insert_with(|| recounted(choice)).finish = Some(reason);
                    assert!(answer.reason.replace(reason).is_none(), "one finish each");
                }
                Event::Embedding { .. } => panic!("an embedding was not asked for"),
                Event::End { tokens_out, .. } => {
                    let told: usize = answers.values().map(|answer| answer.tokens.len()).sum();
                    assert_eq!(tokens_out, told as u64, "what is billed is what was told");
                    assert!(answers.values().all(|answer| answer.reason.is_some()));
                    let tokens_in = generation.tokens_in();
                    let all: Vec<_> = all.into_values().collect();
                    let again = served.tokenizer.recount(asked, all.clone()).await.expect("told");
                    assert_eq!(again.tokens_in, tokens_in, "the prompt has as many tokens");
                    for (answer, again) in all.iter().zip(again.answers) {
                        assert!(
                            again.is_as_shown,
                            "{}: {}",
                            answer.tokens.len(),
                            answer.said.all()
                        );
                    }
                    return Ok(Answered { tokens_in, answers: answers.into_values().collect() });
                }
            }
        }
    })
}

fn recounted(choice: u32) -> chainference_protocol::Answered {
    chainference_protocol::Answered::new(choice)
}

pub fn refused(task: Task) -> String {
    match try_ask(task) {
        Ok(_) => panic!("it was not refused"),
        Err(error @ EngineError::Invalid { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

/// A greedy chat unless changed.
pub fn chat(question: &str, change: impl FnOnce(&mut Chat)) -> Task {
    let mut chat = Chat { messages: vec![Message::text("user", question)], ..Chat::default() };
    chat.decoding.sampling.temperature = Some(0.0);
    change(&mut chat);
    Task::Chat(chat)
}

/// A greedy completion unless changed.
pub fn completion(prompt: &str, change: impl FnOnce(&mut Completion)) -> Task {
    let mut completion = Completion {
        prompts: vec![Prompt::Text(prompt.into())],
        suffix: None,
        echo: false,
        decoding: Default::default(),
    };
    completion.decoding.sampling.temperature = Some(0.0);
    change(&mut completion);
    Task::Complete(completion)
}

pub fn ask_all(task: Task) -> Answered {
    try_ask(task).expect("answered")
}

/// The one answer.
pub fn ask(task: Task) -> Answer {
    let mut answered = ask_all(task);
    assert_eq!(answered.answers.len(), 1);
    answered.answers.remove(0)
}
