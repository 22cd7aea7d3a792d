//! The engine of a model that embeds: texts in, vectors out, nothing to remember between them.
//!
//! As for a model that answers, a front desk reads and tokenises while the loop computes. A batch
//! holds whole texts of many calls; each is a sequence of its own, which the model's pooling makes
//! one vector of.

use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use chainference_protocol::{Embedding, Prompt, Task};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use super::super::error::CallError;
use super::super::wire::{Load, Reply, Request};
use super::super::{Event, Generate};
use super::ChildError;
use super::context::STEP_TOKENS;
use super::model::{LoadError, Model};
use super::pipe::{Input, Output};
use super::threads::{self, Threads};
use queue::{Call, Queue, Text};

mod queue;

/// Texts in one batch; each takes a sequence of the context.
const BATCH_TEXTS_MAX: usize = 64;

enum Order {
    Start(Call),
    Cancel(u64),
}

/// A context that computes whole texts, as many at once as one step holds.
pub(super) fn context<'a>(
    model: &'a Model,
    backend: &LlamaBackend,
    load: &Load,
) -> Result<LlamaContext<'a>, LoadError> {
    let step = u32::try_from(step_tokens(model)).map_err(|_| LoadError::TooLarge)?;
    let threads = threads::most(load)?;
    let params = LlamaContextParams::default()
        .with_embeddings(true)
        .with_n_ctx(NonZeroU32::new(step))
        .with_n_seq_max(BATCH_TEXTS_MAX as u32)
        // A text must be seen whole: pooling looks at one step only.
        .with_n_batch(step)
        .with_n_ubatch(step)
        .with_kv_unified(true)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    Ok(model.llama.new_context(backend, params)?)
}

fn step_tokens(model: &Model) -> usize {
    STEP_TOKENS.max(model.context_tokens) as usize
}

/// Serves until stdin closes.
pub(super) fn serve(
    model: &Model,
    context: LlamaContext<'_>,
    threads: Threads,
    input: Input,
    output: &Output,
) -> Result<(), ChildError> {
    let (orders, inbox) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| front(model, input, output, orders));
        let (queue, step_tokens) = (Queue::default(), step_tokens(model));
        let batch = LlamaBatch::new(step_tokens, 1);
        Embedder { context, threads, output, batch, queue, step_tokens }.run(&inbox)
    })
}

fn front(model: &Model, mut input: Input, output: &Output, orders: Sender<Order>) {
    loop {
        let order = match input.next() {
            Ok(Some(Request::Cancel { id })) => Some(Order::Cancel(id)),
            Ok(Some(Request::Generate { id, request })) => start(model, output, id, &request),
            // Vectors are no output tokens: there is nothing to allow.
            Ok(Some(Request::Allow { .. } | Request::Load(_) | Request::Recount { .. })) => None,
            Ok(None) => break,
            Err(error) => {
                eprintln!("error: {error}");
                break;
            }
        };
        if order.is_some_and(|order| orders.send(order).is_err()) {
            break;
        }
    }
    // Nobody is left to compute for; an orderly exit would pull llama.cpp away under the loop.
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
}

/// Accepts a call, or refuses it right away.
fn start(model: &Model, output: &Output, id: u64, request: &Generate) -> Option<Order> {
    let (reply, order) = match texts(model, id, request) {
        Ok(texts) => {
            let tokens_in = texts.iter().map(|text| text.tokens.len() as u64).sum();
            (
                Reply::Accepted { id, tokens_in },
                Some(Order::Start(Call { id, texts: texts.into() })),
            )
        }
        Err(error) => (Reply::Failed { id, error }, None),
    };
    // If stdout is closed the parent is gone, and stdin says so next.
    output.send(&reply).ok()?;
    order
}

fn texts(model: &Model, id: u64, request: &Generate) -> Result<Vec<Text>, CallError> {
    let Task::Embed(Embedding { inputs, dimensions }) = &request.task else {
        return Err(invalid("model", "this model makes embeddings and nothing else"));
    };
    let dimensions = dimensions.map(|dimensions| dimensions as usize);
    let numbered = inputs.iter().enumerate();
    numbered
        .map(|(index, input)| {
            let tokens = tokenize(model, input)?;
            let tokens_in = tokens.len() as u64;
            if tokens.is_empty() {
                return Err(invalid("input", "must not be empty"));
            }
            if tokens_in > u64::from(model.context_tokens) {
                let context_tokens = model.context_tokens;
                return Err(CallError::ContextOverflow { tokens_in, context_tokens });
            }
            let is_last = index + 1 == inputs.len();
            let index = u32::try_from(index).map_err(|_| invalid("input", "has too many texts"))?;
            Ok(Text { call: id, index, tokens, dimensions, is_last })
        })
        .collect()
}

/// Tokens are taken as they are; a text gets those that the model expects around it.
pub(super) fn tokenize(model: &Model, input: &Prompt) -> Result<Vec<LlamaToken>, CallError> {
    match input {
        Prompt::Text(text) => Ok(model.llama.vocab().tokenize(text.as_bytes(), true, true)),
        Prompt::Tokens(tokens) => {
            let vocabulary = model.llama.n_vocab().unsigned_abs();
            if tokens.iter().any(|&token| token >= vocabulary) {
                return Err(invalid("input", "has a token that the model doesn't have"));
            }
            Ok(tokens.iter().map(|&token| LlamaToken(token.cast_signed())).collect())
        }
    }
}

fn invalid(param: &str, detail: &str) -> CallError {
    CallError::Invalid { param: param.to_owned(), detail: detail.to_owned() }
}

struct Embedder<'a> {
    context: LlamaContext<'a>,
    threads: Threads,
    output: &'a Output,
    batch: LlamaBatch<'static>,
    queue: Queue,
    step_tokens: usize,
}

impl Embedder<'_> {
    /// Runs until the front desk is gone. Orders are taken between batches.
    fn run(mut self, inbox: &Receiver<Order>) -> Result<(), ChildError> {
        loop {
            let order = if self.queue.is_empty() {
                inbox.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                inbox.try_recv()
            };
            match order {
                Ok(Order::Start(call)) => self.queue.add(call),
                Ok(Order::Cancel(id)) => self.queue.remove(id),
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => {
                    let texts = self.queue.take(self.step_tokens, BATCH_TEXTS_MAX);
                    self.step(&texts)?;
                }
            }
        }
    }

    fn step(&mut self, texts: &[Text]) -> Result<(), ChildError> {
        let vectors = match self.compute(texts) {
            Ok(vectors) => vectors,
            Err(detail) => return self.fail(texts, &detail),
        };
        for (text, vector) in texts.iter().zip(vectors) {
            let id = text.call;
            let event = Event::Embedding { index: text.index, vector };
            self.output.send(&Reply::Event { id, event })?;
            if text.is_last {
                let event = Event::End { tokens_out: 0, tokens_cached: 0 };
                self.output.send(&Reply::Event { id, event })?;
            }
        }
        Ok(())
    }

    fn compute(&mut self, texts: &[Text]) -> Result<Vec<Vec<u8>>, String> {
        self.context.clear_kv_cache();
        self.batch.clear();
        for (sequence, text) in texts.iter().enumerate() {
            let sequence = i32::try_from(sequence).map_err(|error| error.to_string())?;
            for (position, &token) in text.tokens.iter().enumerate() {
                let position = i32::try_from(position).map_err(|error| error.to_string())?;
                let added = self.batch.add(token, position, &[sequence], true);
                added.map_err(|error| error.to_string())?;
            }
        }
        let decode = || self.context.decode(&mut self.batch);
        self.threads.run(decode).map_err(|error| error.to_string())?;
        let vector = |(sequence, text): (i32, &Text)| {
            let pooled = self.context.embeddings_seq_ith(sequence);
            let pooled = pooled.map_err(|error| error.to_string())?;
            Ok(shape(pooled, text.dimensions))
        };
        (0..).zip(texts).map(vector).collect()
    }

    /// A batch that llama.cpp refused: its calls fail, later ones go on.
    fn fail(&mut self, texts: &[Text], detail: &str) -> Result<(), ChildError> {
        eprintln!("error: a batch of {} texts failed: {detail}", texts.len());
        for id in texts.iter().map(|text| text.call) {
            self.queue.remove(id);
            let error = CallError::Compute { detail: detail.to_owned() };
            self.output.send(&Reply::Failed { id, error })?;
        }
        Ok(())
    }
}

/// As long as was asked for, of length 1, each number as four bytes.
fn shape(vector: &[f32], dimensions: Option<usize>) -> Vec<u8> {
    let kept = &vector[..dimensions.unwrap_or(vector.len()).min(vector.len())];
    let length = kept.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    // A vector of nothing but zeros has no direction to keep.
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    kept.iter().flat_map(|x| ((f64::from(*x) * scale) as f32).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_cut_and_made_as_long_as_one() {
        let numbers = |bytes: Vec<u8>| {
            let (chunks, _) = bytes.as_chunks::<4>();
            chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(shape(&[3.0, 4.0, 12.0], Some(2))), [0.6, 0.8]);
        assert_eq!(numbers(shape(&[0.0, -2.0], None)), [0.0, -1.0]);
        assert_eq!(numbers(shape(&[0.0, 0.0], Some(9))), [0.0, 0.0]);
    }
}
