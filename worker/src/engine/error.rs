//! Everything that can go wrong with a generation, each with what the caller can do about it.

use serde::{Deserialize, Serialize};

use crate::models::ModelFileError;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model file is not a whole GGUF; starting again won't help.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    #[error("the engine process could not be started: {0}")]
    Spawn(#[source] std::io::Error),
    /// llama.cpp refused the model, with its own last words.
    #[error("the model could not be loaded: {detail}")]
    Load { detail: String },
    /// All slots and the queue are taken.
    #[error("all slots of the engine are taken")]
    Busy,
    /// Another model holds the memory, or this one takes long to load.
    #[error("the model is not in memory, and could not be loaded in time")]
    NotLoaded,
    #[error(
        "{name} needs about {} MB of memory, all models together may take {} MB: give it fewer slots, a shorter context or a larger memory budget",
        need_bytes / 1_000_000, budget_bytes / 1_000_000
    )]
    TooLarge { name: String, need_bytes: u64, budget_bytes: u64 },
    /// The engine died a moment ago and is being started again.
    #[error("the engine is being restarted")]
    Restarting,
    /// The engine died while it worked on this call.
    #[error("the engine ended unexpectedly during this call")]
    Crashed,
    /// It lives, but nothing comes of it.
    #[error("the engine says nothing")]
    Silent,
    /// The worker is shutting down.
    #[error("the engine is shutting down")]
    Stopped,
    /// The prompt leaves no room for one token of answer.
    #[error(
        "the prompt has {tokens_in} tokens, the context holds {context_tokens} with the answer"
    )]
    ContextOverflow { tokens_in: u64, context_tokens: u32 },
    /// The model's chat template refused the messages, for example an unknown role.
    #[error("the messages don't fit the model's chat template: {detail}")]
    Template { detail: String },
    /// A value that no model can honour; `param` is its name in the request.
    #[error("{param}: {detail}")]
    Invalid { param: String, detail: String },
    /// llama.cpp reported a failure for this step; the engine itself goes on.
    #[error("the model failed to compute: {detail}")]
    Compute { detail: String },
}

/// Why the child refused or gave up one call; the part of [`EngineError`] that travels.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CallError {
    ContextOverflow { tokens_in: u64, context_tokens: u32 },
    Template { detail: String },
    Invalid { param: String, detail: String },
    Compute { detail: String },
}

impl From<CallError> for EngineError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::ContextOverflow { tokens_in, context_tokens } => {
                Self::ContextOverflow { tokens_in, context_tokens }
            }
            CallError::Template { detail } => Self::Template { detail },
            CallError::Invalid { param, detail } => Self::Invalid { param, detail },
            CallError::Compute { detail } => Self::Compute { detail },
        }
    }
}
