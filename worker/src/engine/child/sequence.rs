//! One answer in the engine loop: what was chosen, what of it is told.

use chainference_protocol::{Delta, FinishReason, TokenLogprob};
use llama_cpp_2::token::LlamaToken;

use super::super::Event;
use super::logprobs;
use super::model::Model;
use super::sampler::{SampleError, Sampler};
use super::text::{AnswerText, Shown};
use crate::chat::Thinking;

pub(super) struct Sequence {
    pub choice: u32,
    pub sampler: Sampler,
    pub text: AnswerText,
    /// Tokens that may still be chosen: `max_tokens` or the context's end.
    pub tokens_left: usize,
    /// Alternatives to be told of; `None`: no log-probabilities at all.
    pub logprobs: Option<u32>,
    pub thinking: Thinking,
    /// Whether the grammar waits for the end of thoughts.
    pub grammar_waits: bool,
    /// Special tokens whose text is read.
    pub preserved: Vec<LlamaToken>,
    pub echo: Option<Echo>,
    pub tokens_reasoning: u64,
}

/// A peer refuses frames that are too long, and each entry has up to twenty alternatives.
const ECHO_LOGPROBS_MAX: usize = 64;

/// The prompt, to be told before the answer.
pub(super) struct Echo {
    pub text: String,
    pub prompt: Vec<LlamaToken>,
    /// One for each token that was read, if they are asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// What one step brought.
pub(super) struct Told {
    /// `None` if the answer ended without a further token.
    pub token: Option<LlamaToken>,
    pub deltas: Vec<Delta>,
    /// The answer is complete.
    pub finish: Option<Event>,
}

impl Sequence {
    /// Whether each row of the prompt is asked for.
    pub fn wants_prompt_logprobs(&self) -> bool {
        self.echo.is_some() && self.logprobs.is_some()
    }

    /// The model read the prompt's token `at`; `logits` are about the next one.
    pub fn read_prompt(&mut self, at: usize, logits: &[f32], model: &Model) {
        let (Some(echo), Some(top)) = (&mut self.echo, self.logprobs) else { return };
        let vocab = model.llama.vocab();
        if at == 0 {
            echo.logprobs.extend(echo.prompt.first().map(|&it| logprobs::of_first(it, &vocab)));
        }
        if let Some(&next) = echo.prompt.get(at + 1) {
            echo.logprobs.push(logprobs::of(logits, next, top, &vocab));
        }
    }

    /// Chooses the next token by the model's logits.
    pub fn step(&mut self, logits: &[f32], model: &Model) -> Result<Told, SampleError> {
        let mut deltas: Vec<Delta> = self.echo.take().map(|it| self.echoed(it)).unwrap_or_default();
        if self.tokens_left == 0 {
            let finish = self.finish(FinishReason::Length, &mut Delta::default());
            return Ok(Told { token: None, deltas, finish: Some(finish) });
        }
        let grammar_holds = !(self.grammar_waits && self.thinking.is_inside());
        let token = self.sampler.sample(logits, grammar_holds)?;
        let ends = model.llama.vocab().is_eog(token);
        if !ends {
            self.sampler.accept(token, grammar_holds)?;
        }
        self.tokens_left -= 1;
        let mut delta = Delta { tokens: vec![token.0.unsigned_abs()], ..self.delta() };
        let stopped = ends || self.show(token, logits, model, &mut delta);
        let finish = if stopped {
            Some(self.finish(FinishReason::Stop, &mut delta))
        } else if self.tokens_left == 0 {
            Some(self.finish(FinishReason::Length, &mut delta))
        } else {
            None
        };
        deltas.push(delta);
        Ok(Told { token: Some(token), deltas, finish })
    }

    /// Gives whether a stop text came.
    fn show(
        &mut self,
        token: LlamaToken,
        logits: &[f32],
        model: &Model,
        delta: &mut Delta,
    ) -> bool {
        let vocab = model.llama.vocab();
        let bytes = vocab.token_to_piece(token, self.preserved.contains(&token), None);
        let thought = self.thinking.is_inside();
        self.thinking.push(&String::from_utf8_lossy(&bytes));
        self.tokens_reasoning += u64::from(thought || self.thinking.is_inside());
        let logprob = self.logprobs.map(|top| logprobs::of(logits, token, top, &vocab));
        let shown = self.text.push(&bytes, logprob);
        let stopped = shown.stopped;
        add(delta, shown);
        stopped
    }

    fn finish(&mut self, reason: FinishReason, delta: &mut Delta) -> Event {
        let (shown, reason) = self.text.finish(reason);
        add(delta, shown);
        let (choice, tokens_reasoning) = (self.choice, self.tokens_reasoning);
        Event::Finish { choice, reason, tokens_reasoning, stop: self.text.stopped_by() }
    }

    fn delta(&self) -> Delta {
        Delta { choice: self.choice, ..Delta::default() }
    }

    /// The prompt's text, then what is known of its tokens, in pieces that a frame holds.
    fn echoed(&self, echo: Echo) -> Vec<Delta> {
        let text = Delta { text: echo.text, ..self.delta() };
        let pieces = echo.logprobs.chunks(ECHO_LOGPROBS_MAX);
        let pieces = pieces.map(|some| Delta { logprobs: some.to_vec(), ..self.delta() });
        std::iter::once(text).chain(pieces).collect()
    }
}

fn add(delta: &mut Delta, shown: Shown) {
    delta.text.push_str(&shown.said.text);
    delta.reasoning.push_str(&shown.said.reasoning);
    delta.tool_calls.extend(shown.said.tool_calls);
    delta.logprobs.extend(shown.logprobs);
}
