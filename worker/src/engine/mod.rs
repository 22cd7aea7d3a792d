//! The engine: llama.cpp in a supervised child process, as the worker sees it.
//!
//! llama.cpp ends its *process* on some faults. So it runs in a child that speaks length-delimited
//! JSON over stdin and stdout: when it dies, the calls in flight get [`EngineError::Crashed`], the
//! supervisor starts it again, and everything that is worth money (vouchers, HTTP, chain) lives on
//! in the parent.

pub mod child;
mod error;
mod generation;
mod process;
mod request;
mod stop;
mod supervisor;
mod tokenizer;
mod tuning;
mod wire;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use error::EngineError;
pub use generation::{Event, Generation};
pub use request::Generate;
pub use tokenizer::Tokenizer;
pub use tuning::{KvType, Tuning};

use crate::models::Gguf;
use supervisor::Command;

/// How to start the engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The program that runs [`child::main`]: usually this very program.
    pub exe: PathBuf,
    /// Its arguments, such as the name of the hidden subcommand.
    pub args: Vec<OsString>,
    pub model_path: PathBuf,
    /// Prompt and answer of one call together. `None`: what the model was trained for, at most
    /// [`CONTEXT_TOKENS_DEFAULT_MAX`].
    pub context_tokens: Option<NonZeroU32>,
    /// Calls that are computed at once. Memory for the KV cache is slots × context.
    pub slots: NonZeroU32,
    /// Calls that may wait for a slot; one more is [`EngineError::Busy`].
    pub queue_max: u32,
    /// `None`: as many as this process may use.
    pub threads: Option<NonZeroU32>,
    /// Layers to put on a GPU; without effect in a build without a GPU back end.
    pub gpu_layers: u32,
    /// A Jinja chat template in the place of the model's own.
    pub chat_template: Option<String>,
    pub tuning: Tuning,
}

/// In a build with a GPU back end all layers that a model may have, else none.
pub const GPU_LAYERS: u32 = if cfg!(feature = "gpu") { u32::MAX } else { 0 };

/// A KV cache for the 128k and more that new models claim would fill most machines; who wants that
/// asks for it.
pub const CONTEXT_TOKENS_DEFAULT_MAX: u32 = 4_096;

/// The context that a model gets. One that embeds gets no more than it was trained for: beyond that
/// it may have no positions at all.
pub fn context_tokens(gguf: &Gguf, asked: Option<u32>) -> u32 {
    let trained = gguf.context_tokens.unwrap_or(CONTEXT_TOKENS_DEFAULT_MAX);
    let asked = asked.unwrap_or(trained.min(CONTEXT_TOKENS_DEFAULT_MAX));
    if gguf.pooling.is_some() { asked.min(trained) } else { asked }
}

impl EngineOptions {
    /// Options with four slots and a queue of four.
    pub fn new(exe: PathBuf, args: Vec<OsString>, model_path: PathBuf) -> Self {
        Self {
            exe,
            args,
            model_path,
            context_tokens: None,
            slots: NonZeroU32::new(4).expect("four is not zero"),
            queue_max: 4,
            threads: None,
            gpu_layers: GPU_LAYERS,
            chat_template: None,
            tuning: Tuning::default(),
        }
    }
}

/// What is known about the model once it is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    pub name: Option<String>,
    /// Prompt and answer of one call together.
    pub context_tokens: u32,
    pub vocabulary_tokens: u32,
    /// Without one, chats are put into ChatML.
    pub has_chat_template: bool,
    /// Length of the vectors of a model that makes embeddings; it does nothing else.
    pub embedding_width: Option<u32>,
}

/// A cheap handle to the engine. The engine ends when its shutdown token is cancelled or the last
/// handle and generation are gone.
#[derive(Clone, Debug)]
pub struct Engine {
    commands: mpsc::UnboundedSender<Command>,
    seats: Arc<Semaphore>,
    facts: Arc<ModelFacts>,
    ready: watch::Receiver<bool>,
    last_id: Arc<AtomicU64>,
}

impl Engine {
    /// Checks the model file, starts the child and returns once the model is loaded.
    ///
    /// # Errors
    /// [`EngineError::Model`] for a file that is no whole GGUF, [`EngineError::Spawn`],
    /// [`EngineError::Load`] when llama.cpp refuses the model, [`EngineError::Stopped`] when
    /// `shutdown` came first.
    pub async fn start(
        options: EngineOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, EngineError> {
        let path = options.model_path.clone();
        tokio::task::spawn_blocking(move || Gguf::open(&path))
            .await
            .map_err(|_| EngineError::Stopped)??;

        let seats = options.slots.get().saturating_add(options.queue_max);
        let started = supervisor::start(options, shutdown).await?;
        Ok(Self {
            commands: started.commands,
            seats: Arc::new(Semaphore::new(seats as usize)),
            facts: Arc::new(started.facts),
            ready: started.ready,
            last_id: Arc::new(AtomicU64::new(0)),
        })
    }

    pub fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    /// Whether a child is up with the model loaded; false while it is restarted.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Returns once the engine has ended: its process is gone, or about to be.
    pub async fn ended(&self) {
        let mut ready = self.ready.clone();
        while ready.changed().await.is_ok() {}
    }

    /// Calls that could be taken now without [`EngineError::Busy`].
    pub fn free_seats(&self) -> usize {
        self.seats.available_permits()
    }

    /// Starts a generation. Returns as soon as the prompt is tokenised, with
    /// [`Generation::tokens_in`] known; prefill goes on by itself.
    ///
    /// # Errors
    /// [`EngineError::Busy`], [`EngineError::Invalid`], [`EngineError::Template`],
    /// [`EngineError::ContextOverflow`]: nothing was computed. [`EngineError::Restarting`],
    /// [`EngineError::Crashed`], [`EngineError::Stopped`]: try elsewhere or later.
    pub async fn generate(&self, request: Generate) -> Result<Generation, EngineError> {
        request.check(&self.facts)?;
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| EngineError::Busy)?;
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (accepted, acceptance) = oneshot::channel();
        // Unbounded, but never longer than the answer, which the context bounds.
        let (events, receiver) = mpsc::unbounded_channel();
        // Made before the command is sent: if the caller gives up while it waits, the drop cancels
        // the call in the child as well.
        let mut generation = Generation::new(id, receiver, self.commands.clone(), seat);
        let command = Command::Generate { id, request: Box::new(request), accepted, events };
        self.commands.send(command).map_err(|_| EngineError::Stopped)?;
        let tokens_in = acceptance.await.map_err(|_| EngineError::Stopped)??;
        generation.set_tokens_in(tokens_in);
        Ok(generation)
    }
}
