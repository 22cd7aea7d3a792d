//! A model's tokenizer and chat template without the model: a child of the engine's program that has read the
//! vocabulary alone. It counts again what a worker says to have counted.

use std::sync::Arc;
use std::time::Duration;

use chainference_protocol::{Answered, Recounted, Task};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::EngineOptions;
use super::process::Process;
use super::wire::{Reply, Request};

/// Questions that may wait; one more is not answered.
const WAITING_MAX: usize = 64;
/// A child that says nothing for so long is ended.
const REPLY_DEADLINE: Duration = Duration::from_secs(10);
/// After a start that failed the next is tried no sooner.
const RESTART_PAUSE: Duration = Duration::from_secs(10);

/// A cheap handle. The child is started with the first question, and ends with the last handle.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    questions: mpsc::Sender<Question>,
}

struct Question {
    task: Arc<Task>,
    answers: Vec<Answered>,
    answered: oneshot::Sender<Option<Recounted>>,
}

impl Tokenizer {
    /// Of the model that an engine with these options has. Must be called within a runtime.
    pub fn new(options: EngineOptions) -> Self {
        let (questions, inbox) = mpsc::channel(WAITING_MAX);
        tokio::spawn(serve(options, inbox));
        Self { questions }
    }

    /// Counts a call's prompt, and each of these answers to it. `None` where the model's template or tokenizer
    /// refuses it, where too many ask at once, and where the child doesn't live.
    pub fn recount(
        &self,
        task: Arc<Task>,
        answers: Vec<Answered>,
    ) -> impl Future<Output = Option<Recounted>> + Send + use<> {
        let (answered, answer) = oneshot::channel();
        // What is not taken is dropped here, and the answer's other end with it.
        let _ = self.questions.try_send(Question { task, answers, answered });
        async move { answer.await.ok().flatten() }
    }
}

async fn serve(options: EngineOptions, mut inbox: mpsc::Receiver<Question>) {
    let mut child = None;
    let mut failed: Option<Instant> = None;
    while let Some(Question { task, answers, answered }) = inbox.recv().await {
        if answered.is_closed() || failed.is_some_and(|at| at.elapsed() < RESTART_PAUSE) {
            continue;
        }
        let mut running = match child.take() {
            Some(running) => running,
            None => match Process::start_vocabulary(&options).await {
                Ok(started) => started,
                Err(error) => {
                    let path = options.model_path.display();
                    tracing::error!(%error, %path, "a tokenizer did not start");
                    failed = Some(Instant::now());
                    continue;
                }
            },
        };
        running.send(&Request::Recount { task, answers });
        match timeout(REPLY_DEADLINE, running.reply()).await {
            Ok(Some(Reply::Recounted(recounted))) => {
                answered.send(recounted).ok(); // nobody may wait any more
                child = Some(running);
            }
            _ => {
                tracing::error!(last_words = running.last_words(), "a tokenizer was ended");
                failed = Some(Instant::now());
            }
        }
    }
}
