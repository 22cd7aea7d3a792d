//! What a client asks of a model: the plaintext inside a sealed call.

mod chat;
mod decoding;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

pub use chat::{
    Chat, ContentPart, Message, MessageContent, ResponseFormat, Tool, ToolCall, ToolChoice,
};
pub use decoding::{Decoding, Sampling};

/// One call. Whatever a worker can't honour it refuses by name.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRequest {
    /// The offer's model id.
    pub model: String,
    pub task: Task,
}

// A prompt must never reach a log, not even by accident.
impl fmt::Debug for CallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRequest").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What is to be done with the model.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    Chat(Chat),
    Complete(Completion),
    Embed(Embedding),
}

/// Text to continue, as it is: no chat template.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// At least one. Answer `p × decoding.n + i` is the `i`-th to prompt `p`.
    pub prompts: Vec<Prompt>,
    /// The text that follows what is asked for (fill in the middle).
    #[serde(default)]
    pub suffix: Option<String>,
    /// The prompt comes back in front of the answer.
    #[serde(default)]
    pub echo: bool,
    #[serde(default)]
    pub decoding: Decoding,
}

/// Texts to embed.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    pub inputs: Vec<Prompt>,
    /// Shortens each vector to its first so many numbers, and normalises it again.
    #[serde(default)]
    pub dimensions: Option<u32>,
}

/// Text, or the model's own tokens.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}
