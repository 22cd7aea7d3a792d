//! What whoever has a model's tokenizer is asked about a call, and says.

use serde::{Deserialize, Serialize};

use crate::{Delta, FinishReason};

/// One answer as its frames brought it. Not `Debug`: answers don't belong in logs.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub choice: u32,
    pub tokens: Vec<u32>,
    pub said: Shown,
    /// `None`: it goes on, or broke off.
    pub finish: Option<FinishReason>,
}

/// What a client was shown of an answer.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub text: String,
    pub reasoning: String,
    pub tool_calls: Vec<ShownCall>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCall {
    pub name: String,
    pub arguments: String,
}

impl Answered {
    pub fn new(choice: u32) -> Self {
        Self { choice, ..Self::default() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, delta: &Delta) {
        self.tokens.extend(&delta.tokens);
        self.said.push(delta);
    }
}

impl Shown {
    /// Takes what a piece shows.
    pub fn push(&mut self, delta: &Delta) {
        self.text.push_str(&delta.text);
        self.reasoning.push_str(&delta.reasoning);
        for piece in &delta.tool_calls {
            if piece.index as usize == self.tool_calls.len() {
                self.tool_calls.push(ShownCall::default());
            }
            // One that follows no other is none: who reads frames refuses it.
            if let Some(call) = self.tool_calls.get_mut(piece.index as usize) {
                call.name.push_str(piece.name.as_deref().unwrap_or_default());
                call.arguments.push_str(&piece.arguments);
            }
        }
    }

    /// All of it, one after the other.
    pub fn all(&self) -> String {
        let calls = self.tool_calls.iter().flat_map(|call| [&call.name, &call.arguments]);
        [&self.reasoning, &self.text].into_iter().chain(calls).map(String::as_str).collect()
    }
}

/// What the model's tokenizer says of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recounted {
    /// Of all prompts, each counted once, as the model's own template writes them.
    pub tokens_in: u64,
    /// In the order in which they were asked about.
    pub answers: Vec<RecountedAnswer>,
}

/// What it says of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecountedAnswer {
    /// Whether its tokens, turned back into text and read as the model's own template has it, are what was
    /// shown. Of an answer that is not complete only that its tokens can follow each other.
    pub is_as_shown: bool,
    /// How many tokens the tokenizer makes of the text that its tokens become.
    pub tokens: u64,
    /// How many it makes of what was shown.
    pub shown_tokens: u64,
}
