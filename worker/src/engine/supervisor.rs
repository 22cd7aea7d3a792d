//! Keeps a child running: hands calls to it, their events back, and starts it again when it dies.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::process::Process;
use super::wire::{Reply, Request};
use super::{EngineError, EngineOptions, Event, Generate, ModelFacts};

/// Pause before the first restart; doubles with each death in a row.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A child that lived this long was healthy: its death starts the back-off anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// What handles and generations ask of the supervisor.
pub(super) enum Command {
    Generate {
        id: u64,
        request: Box<Generate>,
        accepted: oneshot::Sender<Result<u64, EngineError>>,
        events: mpsc::UnboundedSender<Result<Event, EngineError>>,
    },
    Allow {
        id: u64,
        tokens_out: u64,
    },
    Cancel {
        id: u64,
    },
}

/// A supervisor whose first child is up.
pub(super) struct Started {
    pub facts: ModelFacts,
    pub commands: mpsc::UnboundedSender<Command>,
    pub ready: watch::Receiver<bool>,
}

/// Starts the first child; its failure is the caller's to know, later ones are retried for ever.
pub(super) async fn start(
    options: EngineOptions,
    shutdown: CancellationToken,
) -> Result<Started, EngineError> {
    let process = tokio::select! {
        () = shutdown.cancelled() => return Err(EngineError::Stopped),
        process = Process::start(&options) => process?,
    };
    let facts = process.facts.clone();
    let (commands, receiver) = mpsc::unbounded_channel();
    let (ready_writer, ready) = watch::channel(true);
    let supervisor =
        Supervisor { options, commands: receiver, calls: HashMap::new(), ready: ready_writer };
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = supervisor.run(process) => {}
        }
        // Here everything is dropped: the child is killed, and open calls see a closed channel,
        // which means `Stopped`.
    });
    Ok(Started { facts, commands, ready })
}

struct Call {
    /// Until the child has tokenised the prompt.
    accepted: Option<oneshot::Sender<Result<u64, EngineError>>>,
    events: mpsc::UnboundedSender<Result<Event, EngineError>>,
}

struct Supervisor {
    options: EngineOptions,
    commands: mpsc::UnboundedReceiver<Command>,
    calls: HashMap<u64, Call>,
    ready: watch::Sender<bool>,
}

/// Why serving ended.
enum Ended {
    ChildDied,
    /// No handle and no generation is left.
    NobodyAsks,
}

impl Supervisor {
    async fn run(mut self, first: Process) {
        let mut process = Some(first);
        let mut back_off = BACK_OFF_MIN;
        loop {
            if let Some(process) = process.take() {
                let since = Instant::now();
                self.ready.send_replace(true);
                if let Ended::NobodyAsks = self.serve(process).await {
                    return;
                }
                self.ready.send_replace(false);
                self.fail_calls();
                if since.elapsed() >= HEALTHY_AFTER {
                    back_off = BACK_OFF_MIN;
                }
            }
            tracing::warn!(?back_off, "the engine is restarted after a pause");
            if self.refuse_during(sleep(back_off)).await.is_none() {
                return;
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
            let options = self.options.clone();
            let Some(started) = self.refuse_during(Process::start(&options)).await else {
                return;
            };
            process = started
                .inspect_err(|error| tracing::error!(%error, "the engine did not restart"))
                .ok();
        }
    }

    async fn serve(&mut self, mut process: Process) -> Ended {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.forward(command, &process),
                    None => return Ended::NobodyAsks,
                },
                reply = process.reply() => match reply {
                    Some(reply) => self.dispatch(reply),
                    None => {
                        tracing::error!(last_words = process.last_words(), "the engine died");
                        return Ended::ChildDied;
                    }
                },
            }
        }
    }

    fn forward(&mut self, command: Command, process: &Process) {
        match command {
            Command::Generate { id, request, accepted, events } => {
                self.calls.insert(id, Call { accepted: Some(accepted), events });
                process.send(&Request::Generate { id, request });
            }
            Command::Allow { id, tokens_out } => process.send(&Request::Allow { id, tokens_out }),
            Command::Cancel { id } => {
                if self.calls.remove(&id).is_some() {
                    process.send(&Request::Cancel { id });
                }
            }
        }
    }

    /// Hands a reply to its call. Calls that were cancelled meanwhile are unknown: their last
    /// replies are dropped here.
    fn dispatch(&mut self, reply: Reply) {
        match reply {
            Reply::Accepted { id, tokens_in } => {
                if let Some(accepted) =
                    self.calls.get_mut(&id).and_then(|call| call.accepted.take())
                {
                    // A caller that gave up has dropped its generation: the cancellation is on its
                    // way.
                    let _ = accepted.send(Ok(tokens_in));
                }
            }
            Reply::Event { id, event } => {
                let last = matches!(event, Event::End { .. });
                if let Some(call) = self.calls.get(&id) {
                    let _ = call.events.send(Ok(event));
                }
                if last {
                    self.calls.remove(&id);
                }
            }
            Reply::Failed { id, error } => {
                if let Some(call) = self.calls.remove(&id) {
                    call.fail(error.into());
                }
            }
            Reply::Loaded(_) | Reply::LoadFailed { .. } | Reply::Recounted(_) => {
                tracing::error!("the engine says what it was not asked");
            }
        }
    }

    fn fail_calls(&mut self) {
        for (_, call) in self.calls.drain() {
            call.fail(EngineError::Crashed);
        }
    }

    /// Waits for `work` and answers calls meanwhile: a caller can go to another worker at once.
    /// `None` when nobody is left to ask.
    async fn refuse_during<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.commands.recv() => match command {
                    Some(Command::Generate { accepted, .. }) => {
                        let _ = accepted.send(Err(EngineError::Restarting));
                    }
                    Some(Command::Allow { .. } | Command::Cancel { .. }) => {}
                    None => return None,
                },
            }
        }
    }
}

impl Call {
    fn fail(self, error: EngineError) {
        match self.accepted {
            Some(accepted) => {
                let _ = accepted.send(Err(error));
            }
            None => {
                let _ = self.events.send(Err(error));
            }
        }
    }
}
