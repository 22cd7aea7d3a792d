//! All that can be asked of an answer, with a real model. One engine for all tests: what else runs
//! beside a test changes nothing.
//!
//! `CHAINFERENCE_TEST_MODEL` names a GGUF file of SmolLM2-135M-Instruct; without it the quickstart
//! model is fetched once.

mod completions;
mod engine;
mod formats;
mod infill;
mod likelihood;
mod recount;
mod sampling;
mod thoughts;
mod tools;
