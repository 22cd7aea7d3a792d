//! One call in the engine loop: its tokens, its sampler, its text.

use encoding_rs::{Decoder, UTF_8};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use super::super::Event;
use super::super::stop::{Passed, StopWatch};
use super::model::Model;
use super::sampler;
use chainference_protocol::{Decoding, Delta, FinishReason};

pub(super) struct Sequence {
    choice: u32,
    /// Prompt and answer: what the model has read or will read next.
    pub tokens: Vec<LlamaToken>,
    pub sampler: LlamaSampler,
    /// The row of tokens may not grow beyond this: `max_tokens` or the context.
    tokens_max: usize,
    decoder: Decoder,
    stops: StopWatch,
}

impl Sequence {
    pub fn new(choice: u32, prompt: Vec<LlamaToken>, decoding: Decoding, model: &Model) -> Self {
        let context = model.context_tokens as usize;
        let asked = decoding.max_tokens.map_or(usize::MAX, |max| max as usize);
        Self {
            choice,
            tokens_max: prompt.len().saturating_add(asked).min(context),
            tokens: prompt,
            sampler: sampler::build(
                &decoding.sampling,
                model.llama.n_vocab(),
                model.context_tokens,
            ),
            decoder: UTF_8.new_decoder_without_bom_handling(),
            stops: StopWatch::new(decoding.stop),
        }
    }

    /// Takes the token that was sampled. Gives what to tell the caller: a delta, and the finish if
    /// this token ends the answer.
    pub fn accept(&mut self, token: LlamaToken, model: &Model) -> (Delta, Option<Event>) {
        self.tokens.push(token);
        let vocab = model.llama.vocab();
        let ends = vocab.is_eog(token);
        let passed = if ends {
            Passed::default()
        } else {
            let piece = self.decode(&vocab.token_to_piece(token, false, None));
            self.stops.push(&piece)
        };
        let reason = if ends || passed.stopped {
            Some(FinishReason::Stop)
        } else if self.tokens.len() >= self.tokens_max {
            Some(FinishReason::Length)
        } else {
            None
        };
        let mut text = passed.text;
        if reason.is_some() {
            // What looked like the beginning of a stop string was none; after a stop string nothing
            // is held.
            text.push_str(&self.stops.finish());
        }
        let delta = Delta {
            choice: self.choice,
            tokens: vec![token.0.unsigned_abs()],
            text,
            ..Delta::default()
        };
        let finish = |reason| Event::Finish { choice: self.choice, reason, tokens_reasoning: 0 };
        (delta, reason.map(finish))
    }

    /// Bytes to text; a character that is cut between tokens waits in the decoder, and one that the
    /// answer ends within is dropped.
    fn decode(&mut self, bytes: &[u8]) -> String {
        let needed = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(usize::MAX);
        let mut text = String::with_capacity(needed);
        let _ = self.decoder.decode_to_string(bytes, &mut text, false);
        text
    }
}
