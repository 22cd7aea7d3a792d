//! Ten times the calls that we can serve: how much of the peak is still served, and how soon the rest
//! hears that we are busy.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::ours::Ours;
use crate::prompts;
use crate::workload::{Answer, Failed};
use chainference_testkit::bench::Spread;

/// How long calls come in.
const LASTS: Duration = Duration::from_secs(12);
const MAX_TOKENS: u32 = 64;
const TIMES: f64 = 10.0;
/// Calls that a worker takes at once: its slots, and its queue by default.
const QUEUE: usize = 4;
/// Jobs for those that are served and those that are just being refused.
const JOBS: usize = 48;

pub struct Overload {
    /// With as many callers as it has room for.
    pub peak_tokens_per_s: f64,
    pub tokens_per_s: f64,
    pub calls: usize,
    pub served: usize,
    /// From the request to "busy".
    pub busy_ms: Spread,
}

impl Overload {
    pub async fn measure(ours: &Ours, slots: u32, rng: &mut StdRng) -> Result<Self, Failed> {
        ours.get_ready(JOBS).await;
        let (peak_tokens_per_s, calls_per_s) = peak(ours, slots as usize + QUEUE, rng).await?;
        let pause = Duration::from_secs_f64(1.0 / (TIMES * calls_per_s));
        let began = Instant::now();
        let mut ticks = tokio::time::interval(pause);
        let calls = stream::poll_fn(|context| ticks.poll_tick(context).map(Some))
            .take_until(tokio::time::sleep(LASTS))
            .map(|_| {
                let prompt = prompts::story(rng);
                async move {
                    let asked = Instant::now();
                    let answer = ours.answer_unless_busy(&prompt, MAX_TOKENS).await?;
                    Ok::<_, Failed>((answer, asked.elapsed()))
                }
            })
            .buffer_unordered(JOBS);
        let outcomes: Vec<(Option<Answer>, Duration)> = calls.try_collect().await?;
        let took_s = began.elapsed().as_secs_f64();
        let served: Vec<&Answer> = outcomes.iter().filter_map(|(it, _)| it.as_ref()).collect();
        let busy = outcomes.iter().filter(|(answer, _)| answer.is_none());
        Ok(Self {
            peak_tokens_per_s,
            tokens_per_s: tokens(served.iter().copied()) / took_s,
            calls: outcomes.len(),
            served: served.len(),
            busy_ms: Spread::of(busy.map(|(_, took)| took.as_secs_f64() * 1e3)),
        })
    }

    pub fn kept(&self) -> f64 {
        self.tokens_per_s / self.peak_tokens_per_s
    }

    pub fn json(&self) -> Value {
        json!({
            "peak_tokens_per_s": self.peak_tokens_per_s,
            "tokens_per_s": self.tokens_per_s,
            "kept": self.kept(),
            "calls": self.calls,
            "served": self.served,
            "busy_ms": self.busy_ms.json(),
        })
    }

    pub fn sentence(&self) -> String {
        format!(
            "With {TIMES} times the calls: {:.1} tokens/s, {:.0} % of the {:.1} with as many callers as there is room for; {} of {} calls served, \
             the others heard that it is busy after {} ms.\n",
            self.tokens_per_s,
            self.kept() * 100.0,
            self.peak_tokens_per_s,
            self.served,
            self.calls,
            self.busy_ms.text(1),
        )
    }
}

/// Tokens and calls per second with so many callers, each asking again once it is served.
async fn peak(ours: &Ours, callers: usize, rng: &mut StdRng) -> Result<(f64, f64), Failed> {
    let began = Instant::now();
    let prompts = std::iter::repeat_with(|| prompts::story(rng));
    let answers: Vec<Answer> = stream::iter(prompts.take_while(|_| began.elapsed() < LASTS))
        .map(|prompt| async move { ours.answer(&prompt, MAX_TOKENS).await })
        .buffer_unordered(callers)
        .try_collect()
        .await?;
    let took_s = began.elapsed().as_secs_f64();
    Ok((tokens(answers.iter()) / took_s, answers.len() as f64 / took_s))
}

fn tokens<'a>(answers: impl Iterator<Item = &'a Answer>) -> f64 {
    answers.map(|answer| answer.tokens_out as f64).sum()
}
