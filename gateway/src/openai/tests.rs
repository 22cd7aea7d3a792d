//! What several modules' tests are made of, and whether docs/parameters.md tells the truth.

use chainference_protocol::{Candidate, TokenLogprob};

use super::*;

mod parameters;

pub fn facts() -> Facts {
    Facts { id: "chatcmpl-1".into(), created_unix_s: 7, model: "a/b".into() }
}

pub fn settlement() -> Settlement {
    Settlement { job: "J".into(), worker: "W".into(), cost_lamports: 2_000, overhead_ms: 90 }
}

pub fn tokens() -> Tokens {
    Tokens { prompt: 3, cached: 2, completion: 4, reasoning: 1 }
}

pub fn usage() -> Usage {
    Usage::new(tokens(), settlement())
}

pub fn logprob(token: &str, logprob: f32) -> TokenLogprob {
    let chosen = Candidate { id: 1, bytes: token.into(), logprob: Some(logprob) };
    TokenLogprob { top: vec![chosen.clone()], chosen }
}
