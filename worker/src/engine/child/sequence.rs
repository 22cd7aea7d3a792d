//! One call in the engine loop: its tokens, its sampler, its text.

use encoding_rs::{Decoder, UTF_8};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use super::super::stop::{Passed, StopWatch};
use super::super::wire::Reply;
use super::super::{FinishReason, Generate};
use super::model::Model;
use super::sampler;

pub(super) struct Sequence {
    id: u64,
    /// Prompt and answer: what the model has read or will read next.
    pub tokens: Vec<LlamaToken>,
    pub sampler: LlamaSampler,
    tokens_in: usize,
    /// The row of tokens may not grow beyond this: `max_tokens` or the context.
    tokens_max: usize,
    decoder: Decoder,
    stops: StopWatch,
}

impl Sequence {
    pub fn new(id: u64, prompt: Vec<LlamaToken>, request: Generate, model: &Model) -> Self {
        let context = model.context_tokens as usize;
        let asked =
            request.max_tokens.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        Self {
            id,
            tokens_in: prompt.len(),
            tokens_max: prompt.len().saturating_add(asked).min(context),
            tokens: prompt,
            sampler: sampler::build(&request.sampling, model.llama.n_vocab(), model.context_tokens),
            decoder: UTF_8.new_decoder_without_bom_handling(),
            stops: StopWatch::new(request.stop),
        }
    }

    /// Takes the token that was sampled. Gives what to tell the caller: a delta, and the finish if
    /// this token ends the answer.
    pub fn accept(&mut self, token: LlamaToken, model: &Model) -> (Reply, Option<Reply>) {
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
        self.replies(token, text, reason)
    }

    fn replies(
        &self,
        token: LlamaToken,
        text: String,
        reason: Option<FinishReason>,
    ) -> (Reply, Option<Reply>) {
        let (id, tokens_out) = (self.id, (self.tokens.len() - self.tokens_in) as u64);
        let delta = Reply::Delta { id, tokens: vec![token.0.unsigned_abs()], text };
        (delta, reason.map(|reason| Reply::Finished { id, reason, tokens_out }))
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
