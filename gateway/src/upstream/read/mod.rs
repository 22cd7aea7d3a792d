//! From an upstream's answers and chunks to events. Pure.

use std::collections::VecDeque;

use base64::{Engine, prelude::BASE64_STANDARD};
use chainference_market::{Lamports, Totals};
use chainference_protocol::{Delta, FinishReason, ToolCallDelta};
use serde::Deserialize;
use serde_json::Value;

use super::{
    error::{Said, Trouble},
    tokens::Logprobs,
};
use crate::settlement::{Ended, Event, Pieces, Room, Text};

/// A chunk of a stream, or a whole answer: they differ in names only.
#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    delta: Option<Words>,
    #[serde(default)]
    message: Option<Words>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
    #[serde(default)]
    finish_reason: Option<String>,
    /// vLLM's: the stop text, or the id of the token that ended it.
    #[serde(default)]
    stop_reason: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Words {
    content: Option<String>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    /// Whole answers have none: their calls stand in order.
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

/// Reads one answer; knows what came before.
#[derive(Debug)]
pub(super) struct Reader {
    pieces: Pieces,
    /// Of each answer: the tool calls that have begun, by the numbers that the upstream gives them.
    calls: Vec<Vec<u32>>,
    /// Which answers have ended: some upstreams say so twice.
    ended: Vec<bool>,
    usage: Option<Usage>,
    /// Pieces of text: about as many as tokens, where nobody counts.
    told: u64,
}

impl std::fmt::Debug for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} + {}", self.prompt_tokens, self.completion_tokens)
    }
}

impl Reader {
    pub fn of_texts(answers: usize) -> Self {
        let texts = vec![Text::default(); answers];
        let pieces = Pieces::Texts { answers: texts, tokens_max: u64::MAX, room: Room::ANY };
        let (calls, ended) = (vec![Vec::new(); answers], vec![false; answers]);
        Self { pieces, calls, ended, usage: None, told: 0 }
    }

    pub fn of_vectors(inputs: usize) -> Self {
        let pieces = Pieces::Vectors { came: vec![false; inputs], dimensions: None };
        Self { pieces, calls: Vec::new(), ended: Vec::new(), usage: None, told: 0 }
    }

    /// Reads a chunk of a stream.
    pub fn chunk(&mut self, data: &[u8], ready: &mut VecDeque<Event>) -> Result<(), Trouble> {
        let piece: Piece = serde_json::from_slice(data).map_err(broken)?;
        if let Some(error) = piece.error {
            let said = Said::in_json(error).unwrap_or_default();
            return Err(Trouble::Failed { status: 500, said });
        }
        self.usage = piece.usage.or(self.usage);
        piece.choices.into_iter().try_for_each(|choice| self.choice(choice, ready))
    }

    /// Reads an answer that is not streamed.
    pub fn answer(&mut self, body: &[u8], ready: &mut VecDeque<Event>) -> Result<(), Trouble> {
        match self.pieces {
            Pieces::Texts { .. } => self.chunk(body, ready)?,
            Pieces::Vectors { .. } => self.vectors(body, ready)?,
        }
        self.end(ready)
    }

    /// The upstream says that this is all.
    pub fn end(&mut self, ready: &mut VecDeque<Event>) -> Result<(), Trouble> {
        self.pieces.all().map_err(broken)?;
        let usage = self.usage.unwrap_or_default();
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        let thought = usage.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        ready.push_back(Event::Ended(Ended {
            totals: self.totals(),
            tokens_cached: cached.unwrap_or_default(),
            tokens_reasoning: thought.unwrap_or_default(),
            cost: Lamports::ZERO,
        }));
        Ok(())
    }

    /// Whether all answers have ended, though the upstream may still tell the usage.
    pub fn is_complete(&self) -> bool {
        self.pieces.all().is_ok()
    }

    /// What was used so far, as the upstream counts; where it doesn't, as far as that can be seen.
    pub fn totals(&self) -> Totals {
        match self.usage {
            Some(usage) => {
                Totals { tokens_in: usage.prompt_tokens, tokens_out: usage.completion_tokens }
            }
            None => Totals { tokens_in: 0, tokens_out: self.told },
        }
    }

    fn choice(&mut self, choice: Choice, ready: &mut VecDeque<Event>) -> Result<(), Trouble> {
        let index = choice.index;
        let words = choice.delta.or(choice.message).unwrap_or_default();
        let mut text = words.content.or(choice.text).unwrap_or_default();
        text.push_str(&words.refusal.unwrap_or_default());
        let delta = Delta {
            choice: index,
            tokens: Vec::new(),
            text,
            reasoning: words.reasoning_content.or(words.reasoning).unwrap_or_default(),
            tool_calls: self.calls(index, words.tool_calls.unwrap_or_default()),
            logprobs: choice.logprobs.map(Logprobs::read).unwrap_or_default(),
        };
        let is_empty = delta.text.is_empty()
            && delta.reasoning.is_empty()
            && delta.tool_calls.is_empty()
            && delta.logprobs.is_empty();
        if is_empty && self.ended.get(index as usize) == Some(&true) {
            return Ok(());
        }
        if !is_empty {
            self.pieces.delta(&delta).map_err(broken)?;
            self.told = self.told.saturating_add(1);
            ready.push_back(Event::Delta(delta));
        }
        if let Some(reason) = choice.finish_reason {
            self.pieces.finished(index).map_err(broken)?;
            if let Some(ended) = self.ended.get_mut(index as usize) {
                *ended = true;
            }
            let stop = choice.stop_reason.and_then(|stop| stop.as_str().map(str::to_owned));
            ready.push_back(Event::Finished {
                choice: index,
                reason: finish_reason(&reason),
                stop,
            });
        }
        Ok(())
    }

    /// Tool calls by our own numbers, each with its id and name in its first piece and never again.
    fn calls(&mut self, choice: u32, calls: Vec<Call>) -> Vec<ToolCallDelta> {
        let Some(begun) = self.calls.get_mut(choice as usize) else { return Vec::new() };
        let mut pieces = Vec::with_capacity(calls.len());
        for (at, call) in (0..).zip(calls) {
            let theirs = call.index.unwrap_or(at);
            let function = call.function.unwrap_or_default();
            let arguments = function.arguments.unwrap_or_default();
            let known = begun.iter().position(|number| *number == theirs);
            let begins = known.is_none();
            let index = known.unwrap_or(begun.len());
            if begins {
                begun.push(theirs);
            }
            let id = || call.id.unwrap_or_else(|| format!("call_{:016x}", rand::random::<u64>()));
            pieces.push(ToolCallDelta {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                id: begins.then(id),
                // Without one, the call has no beginning, and the answer is refused.
                name: function.name.filter(|_| begins),
                arguments,
            });
        }
        pieces
    }

    fn vectors(&mut self, body: &[u8], ready: &mut VecDeque<Event>) -> Result<(), Trouble> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<Entry>,
            #[serde(default)]
            usage: Option<Usage>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            index: u32,
            embedding: Vector,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Vector {
            Float(Vec<f32>),
            Base64(String),
        }
        let List { data, usage } = serde_json::from_slice(body).map_err(broken)?;
        self.usage = usage;
        for Entry { index, embedding } in data {
            let vector = match embedding {
                Vector::Float(numbers) => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
                Vector::Base64(text) => BASE64_STANDARD.decode(text).map_err(broken)?,
            };
            self.pieces.embedding(index, &vector).map_err(broken)?;
            ready.push_back(Event::Embedding { index, vector });
        }
        Ok(())
    }
}

fn broken(error: impl std::fmt::Display) -> Trouble {
    Trouble::Broken(error.to_string())
}

fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests;
