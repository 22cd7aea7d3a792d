//! What parent and child say to each other: one JSON value a frame, each led by its length (u32,
//! big-endian).

use std::path::PathBuf;
use std::sync::Arc;

use chainference_protocol::{Answered, Recounted, Task};
use serde::{Deserialize, Serialize};

use super::error::CallError;
use super::{Event, Generate, ModelFacts, Tuning};

/// Far above what the HTTP side lets in; a longer frame is a broken peer.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;

/// Parent to child. The first is [`Request::Load`], once.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    Load(Load),
    Generate {
        id: u64,
        request: Box<Generate>,
    },
    /// The call may produce this many tokens in total, over all its answers.
    Allow {
        id: u64,
        tokens_out: u64,
    },
    Cancel {
        id: u64,
    },
    /// To a child that has loaded the vocabulary alone.
    Recount {
        task: Arc<Task>,
        answers: Vec<Answered>,
    },
}

/// What the child needs to know to load its model; fields as in [`super::EngineOptions`].
#[derive(Serialize, Deserialize)]
pub(super) struct Load {
    pub model_path: PathBuf,
    pub context_tokens: Option<u32>,
    pub slots: u32,
    pub threads: Option<u32>,
    pub gpu_layers: u32,
    pub chat_template: Option<String>,
    #[serde(default)]
    pub tuning: Tuning,
    /// Counts tokens and computes nothing: no weights are read.
    #[serde(default)]
    pub vocabulary_only: bool,
}

/// Child to parent. The first is `Loaded` or `LoadFailed`.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    Loaded(ModelFacts),
    LoadFailed {
        detail: String,
    },
    Accepted {
        id: u64,
        tokens_in: u64,
    },
    /// After [`Event::End`] the call is over.
    Event {
        id: u64,
        event: Event,
    },
    Failed {
        id: u64,
        error: CallError,
    },
    /// `None` where the model's template or its tokenizer refuses what was asked.
    Recounted(Option<Recounted>),
}
