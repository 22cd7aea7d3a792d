//! What is measured, of whom.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;

use crate::ours::Ours;
use crate::overload::Overload;
use crate::peer::Peer;
use crate::place;
use crate::prompts;

/// An answer that failed.
pub type Failed = Box<dyn std::error::Error>;

/// One of the workloads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// So many at once, each with a prompt of its own.
    Streams(usize),
    /// Prompts that share nine tenths, asked a few at a time.
    SharedPrefix,
}

/// Calls of the workload with one stream, one after the other.
const CALLS_ALONE: usize = 3;
const SHARED_CALLS: usize = 8;
const SHARED_AT_ONCE: usize = 4;

impl Point {
    pub const ALL: [Self; 5] = [
        Self::Streams(1),
        Self::Streams(2),
        Self::Streams(4),
        Self::Streams(8),
        Self::SharedPrefix,
    ];

    pub fn name(self) -> String {
        match self {
            Self::Streams(count) => format!("streams_{count}"),
            Self::SharedPrefix => "shared_prefix".into(),
        }
    }

    pub fn at_once(self) -> usize {
        match self {
            Self::Streams(count) => count,
            Self::SharedPrefix => SHARED_AT_ONCE,
        }
    }

    fn max_tokens(self) -> u32 {
        match self {
            Self::Streams(_) => 64,
            Self::SharedPrefix => 32,
        }
    }

    pub fn prompts(self, rng: &mut StdRng) -> Vec<String> {
        match self {
            Self::Streams(count) => (0..count.max(CALLS_ALONE))
                .map(|_| prompts::story(rng))
                .take(self.calls())
                .collect(),
            Self::SharedPrefix => prompts::shared(rng, SHARED_CALLS),
        }
    }

    fn calls(self) -> usize {
        match self {
            Self::Streams(1) => CALLS_ALONE,
            Self::Streams(count) => count,
            Self::SharedPrefix => SHARED_CALLS,
        }
    }
}

/// Who answers.
#[expect(clippy::large_enum_variant, reason = "there are two of them in a run")]
pub enum Target {
    Ours(Ours),
    Peer(Peer),
}

/// One call's answer.
pub struct Answer {
    pub text: String,
    pub tokens_out: u64,
    /// From the request to the first text.
    pub first_s: f64,
}

/// One measurement of a workload.
#[derive(Clone, Copy, Default)]
pub struct Figure {
    /// Output tokens of all streams, by the time from the first request to the last token.
    pub tokens_per_s: f64,
    /// The mean of the calls.
    pub first_s: f64,
}

impl Figure {
    /// Larger is better; alone, the time to the first token counts as much as the speed.
    pub fn score(&self, point: Point) -> f64 {
        match point {
            Point::Streams(1) => (self.tokens_per_s.ln() - self.first_s.ln()) / 2.0,
            _ => self.tokens_per_s.ln(),
        }
    }
}

impl Target {
    pub async fn answer(&self, prompt: &str, max_tokens: u32) -> Result<Answer, Failed> {
        match self {
            Self::Ours(ours) => ours.answer(prompt, max_tokens).await,
            Self::Peer(peer) => peer.answer(prompt, max_tokens).await,
        }
    }

    /// Stops or continues the process that computes. One whose threads wait by spinning would take the
    /// other's cores though nobody asks it.
    fn signal(&self, name: &str) {
        let pid = match self {
            Self::Ours(_) => place::engine_of(std::process::id()),
            Self::Peer(peer) => peer.pid(),
        };
        place::signal(&[pid.to_string()], name);
    }

    /// Ours alone, with more calls than it has room for.
    pub async fn overload(&self, slots: u32, rng: &mut StdRng) -> Result<Overload, Failed> {
        let Self::Ours(ours) = self else { return Err("only ours is measured so".into()) };
        self.signal("-CONT");
        Overload::measure(ours, slots, rng).await
    }

    /// Whatever must be there before the time runs: for us, locked jobs.
    pub async fn get_ready(&self, point: Point) {
        if let Self::Ours(ours) = self {
            ours.get_ready(point.calls()).await;
        }
    }
}

pub async fn measure(target: &Target, point: Point, prompts: &[String]) -> Result<Figure, Failed> {
    target.signal("-CONT");
    let began = Instant::now();
    let calls = prompts.iter().map(|prompt| target.answer(prompt, point.max_tokens()));
    let answers: Vec<Answer> =
        stream::iter(calls).buffer_unordered(point.at_once()).try_collect().await?;
    let took_s = began.elapsed().as_secs_f64();
    target.signal("-STOP");
    let tokens: u64 = answers.iter().map(|answer| answer.tokens_out).sum();
    let first_s: f64 = answers.iter().map(|answer| answer.first_s).sum();
    Ok(Figure { tokens_per_s: tokens as f64 / took_s, first_s: first_s / answers.len() as f64 })
}
