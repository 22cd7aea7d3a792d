//! The child process: loads one model and answers requests from stdin until stdin closes.
//!
//! Two threads. The front desk reads requests, applies the chat template and tokenises, so that a
//! caller knows the size of its prompt while others compute. The engine loop owns the context and
//! computes one step after another. When stdin closes (the parent ended, however it did) the front
//! desk ends the process at once, in the middle of a step too: no child is left behind.

mod context;
mod embedder;
mod front;
mod grammar;
mod logprobs;
mod model;
mod pipe;
mod prepare;
mod recount;
mod runner;
mod sampler;
mod sequence;
mod text;
mod threads;

use std::process::ExitCode;
use std::sync::mpsc;

use llama_cpp_2::llama_backend::LlamaBackend;

use super::wire::{Reply, Request};
use model::Model;
use pipe::{Input, Output};
use threads::Threads;

/// The whole life of the child. It takes no arguments: what to load is the first request.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("the pipe to the worker broke: {0}")]
    Pipe(#[from] std::io::Error),
    #[error("a request can't be read: {0}")]
    Request(#[from] serde_json::Error),
    #[error(
        "the first request must be to load a model; this program is started by a Chainference worker, not by hand"
    )]
    NotLoad,
    #[error("llama.cpp can't cut or copy what a slot holds")]
    Cache,
    #[error("llama.cpp did not start: {0}")]
    Backend(#[from] llama_cpp_2::LlamaCppError),
}

fn run() -> Result<(), ChildError> {
    let (mut input, output) = pipe::claim()?;
    let Some(Request::Load(load)) = input.next()? else {
        return Err(ChildError::NotLoad);
    };
    let backend = LlamaBackend::init()?;
    let loaded = Model::load(&backend, &load);
    let model = match &loaded {
        Ok(model) => model,
        Err(error) => return Ok(output.send(&Reply::LoadFailed { detail: error.to_string() })?),
    };
    if load.vocabulary_only {
        crate::chat::log_without_answers();
        output.send(&Reply::Loaded(model.facts()))?;
        return recount::serve(model, input, &output);
    }
    let made = if model.embedding_width.is_some() {
        embedder::context(model, &backend, &load)
    } else {
        context::make(model, &backend, &load)
    };
    let context = match made {
        Ok(context) => context,
        Err(error) => return Ok(output.send(&Reply::LoadFailed { detail: error.to_string() })?),
    };
    crate::chat::log_without_answers();
    let threads = Threads::new(&load);
    output.send(&Reply::Loaded(model.facts()))?;
    if model.embedding_width.is_some() {
        embedder::serve(model, context, threads, input, &output)
    } else {
        serve(model, context, threads, input, &output)
    }
}

fn serve(
    model: &Model,
    context: llama_cpp_2::context::LlamaContext<'_>,
    threads: Threads,
    input: Input,
    output: &Output,
) -> Result<(), ChildError> {
    let (orders, inbox) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| front::run(model, input, output, orders));
        runner::Runner::new(model, context, threads, output).run(&inbox)
    })
}
