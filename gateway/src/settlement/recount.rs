//! A call's tokens, counted again beside its answer, where the model's tokenizer is at hand. Nothing waits for it
//! but the call's last voucher, and that not for long.

use std::{future::pending, sync::Arc};

use chainference_protocol::{Answered, Delta, FinishReason, Recounted, Task};
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::exact::{Billed, Finding, Terms};
use crate::{
    limits::{RECOUNT_DEADLINE, RECOUNT_TOKENS},
    routing::Candidate,
    tokenizers::{self, Fit, Tokenizers},
};

/// One call's.
pub(super) struct Recount {
    by: Arc<dyn tokenizers::Recount>,
    terms: Terms,
    task: Arc<Task>,
    /// Tokens of the prompt as the worker says, once it has.
    said: Option<u64>,
    /// And by the tokenizer, once it has answered.
    counted: Option<u64>,
    answers: Vec<Answered>,
    tokens: u64,
    /// The answer is looked at again when it has so many tokens.
    next_look: u64,
    looking: Option<BoxFuture<'static, Look>>,
}

/// What was billed when the tokenizer was asked, and what it says.
struct Look {
    billed: Vec<Billed>,
    again: Option<Recounted>,
}

impl Recount {
    /// Begins with the prompt, which the worker reads just now. `None` without the offer's tokenizer.
    pub fn begin(tokenizers: &Tokenizers, candidate: &Candidate, task: &Task) -> Option<Self> {
        let Fit { by, knows_template } = tokenizers.of(candidate)?;
        let mut recount = Self {
            by,
            terms: Terms::of(task, knows_template),
            task: Arc::new(task.clone()),
            said: None,
            counted: None,
            answers: Vec::new(),
            tokens: 0,
            next_look: RECOUNT_TOKENS,
            looking: None,
        };
        recount.looking = Some(recount.look());
        Some(recount)
    }

    /// The worker says that the prompt has so many tokens.
    pub fn accepted(&mut self, tokens_in: u64) -> Finding {
        self.said = Some(tokens_in);
        self.input()
    }

    /// The next piece of an answer has come.
    pub fn delta(&mut self, delta: &Delta) {
        self.answer(delta.choice).push(delta);
        self.tokens = self.tokens.saturating_add(delta.tokens.len() as u64);
        if self.tokens >= self.next_look && self.looking.is_none() {
            self.next_look = self.tokens.saturating_mul(2);
            self.looking = Some(self.look());
        }
    }

    pub fn finished(&mut self, choice: u32, reason: FinishReason) {
        self.answer(choice).finish = Some(reason);
    }

    /// What is found while the answer comes; waits for ever where nothing is looked at. Cancel-safe.
    pub async fn found(recount: &mut Option<Self>) -> Finding {
        let Some(recount) = recount else { return pending().await };
        let Some(looking) = &mut recount.looking else { return pending().await };
        let look = looking.await;
        recount.looking = None;
        recount.judge(look)
    }

    /// What is found in the end; `None` where the tokenizer doesn't tell in time.
    pub async fn last(mut self) -> Option<Finding> {
        let look = async {
            // Of an embedding the prompt is all there is.
            match self.looking.take() {
                Some(first) if self.answers.is_empty() => first.await,
                None if self.answers.is_empty() => {
                    let again = self
                        .counted
                        .map(|tokens_in| Recounted { tokens_in, ..Recounted::default() });
                    Look { billed: Vec::new(), again }
                }
                _ => self.look().await,
            }
        };
        let look = timeout(RECOUNT_DEADLINE, look).await.ok()?;
        look.again.is_some().then(|| self.judge(look))
    }

    fn look(&self) -> BoxFuture<'static, Look> {
        let billed = self.answers.iter().map(|answer| Billed {
            choice: answer.choice,
            tokens: answer.tokens.len() as u64,
            tool_calls: answer.said.tool_calls.len() as u64,
        });
        let billed = billed.collect();
        let again = self.by.recount(self.task.clone(), self.answers.clone());
        Box::pin(async move { Look { billed, again: again.await } })
    }

    fn judge(&mut self, look: Look) -> Finding {
        let Some(again) = look.again else { return Finding::RIGHT };
        self.counted = Some(again.tokens_in);
        let answers: Vec<_> = look.billed.into_iter().zip(again.answers).collect();
        let (input, output) = (self.input(), self.terms.output(&answers));
        let mut most = input.most;
        most.tokens_out = output.most.tokens_out;
        Finding { input: input.input, output: output.output, most }
    }

    fn input(&self) -> Finding {
        match (self.said, self.counted) {
            (Some(said), Some(counted)) => self.terms.input(said, counted),
            _ => Finding::RIGHT,
        }
    }

    fn answer(&mut self, choice: u32) -> &mut Answered {
        let at = self.answers.iter().position(|answer| answer.choice == choice);
        let at = at.unwrap_or_else(|| {
            self.answers.push(Answered::new(choice));
            self.answers.len() - 1
        });
        &mut self.answers[at]
    }
}

/// How many tokens a prompt has; `None` where nobody here can tell exactly.
pub(super) async fn prompt(
    tokenizers: &Tokenizers,
    candidate: &Candidate,
    task: &Task,
) -> Option<u64> {
    let Fit { by, knows_template } = tokenizers.of(candidate)?;
    if matches!(task, Task::Chat(_)) && !knows_template {
        return None;
    }
    let again = by.recount(Arc::new(task.clone()), Vec::new());
    Some(timeout(RECOUNT_DEADLINE, again).await.ok()??.tokens_in)
}
