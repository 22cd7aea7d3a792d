//! The child process itself: started, loaded, spoken to, killed when dropped.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::wire::{FRAME_BYTES_MAX, Load, Reply, Request};
use super::{EngineError, EngineOptions, ModelFacts};

/// Lines of the child's stderr that are kept to explain its death.
const LAST_WORDS_MAX: usize = 32;

/// A child with its model loaded.
pub(super) struct Process {
    pub facts: ModelFacts,
    replies: FramedRead<ChildStdout, LengthDelimitedCodec>,
    outbox: mpsc::UnboundedSender<Bytes>,
    last_words: LastWords,
    /// Killed and reaped on drop.
    _child: Child,
}

impl Process {
    /// Starts the child and waits until its model is loaded.
    pub async fn start(options: &EngineOptions) -> Result<Self, EngineError> {
        Self::start_with(options, load(options)).await
    }

    /// The same for the model's vocabulary alone.
    pub async fn start_vocabulary(options: &EngineOptions) -> Result<Self, EngineError> {
        Self::start_with(options, Load { vocabulary_only: true, ..load(options) }).await
    }

    async fn start_with(options: &EngineOptions, load: Load) -> Result<Self, EngineError> {
        let mut child = command(options).spawn().map_err(EngineError::Spawn)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(EngineError::Spawn(std::io::Error::other("the child has no pipes")));
        };
        let last_words = LastWords::default();
        let stderr_end = tokio::spawn(read_stderr(stderr, last_words.clone()));
        let outbox = spawn_writer(stdin);
        let mut replies = FramedRead::new(stdout, codec());

        send(&outbox, &Request::Load(load));
        match next_reply(&mut replies).await {
            Some(Reply::Loaded(facts)) => {
                Ok(Self { facts, replies, outbox, last_words, _child: child })
            }
            refused => {
                // Without a pipe it ends: its stderr ends with it, and holds the reason.
                drop(outbox);
                let _ = stderr_end.await;
                let detail = match &refused {
                    Some(Reply::LoadFailed { detail }) => detail,
                    _ => "the process ended",
                };
                Err(EngineError::Load { detail: last_words.explain(detail) })
            }
        }
    }

    /// Queues a request; what comes after the child's death goes nowhere.
    pub fn send(&self, request: &Request) {
        send(&self.outbox, request);
    }

    /// What the child said last, once it is gone.
    pub fn last_words(&self) -> String {
        self.last_words.explain("the process ended")
    }

    /// The next reply; `None` when the child is gone or talks nonsense. Cancel-safe.
    pub async fn reply(&mut self) -> Option<Reply> {
        next_reply(&mut self.replies).await
    }
}

/// Asks glibc to have large pages for what it takes from the system. Weights and caches are read for each
/// token, and small pages cost a tenth of the speed. Nothing happens where kernel or library don't know them.
const LARGE_PAGES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

fn command(options: &EngineOptions) -> Command {
    let mut command = Command::new(&options.exe);
    let (name, value) = LARGE_PAGES;
    if std::env::var_os(name).is_none() {
        command.env(name, value);
    }
    command
        .args(&options.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C goes to a terminal's whole foreground group; calls in flight are to be drained by the
    // parent, so the child has its own.
    #[cfg(unix)]
    command.process_group(0);
    command
}

fn load(options: &EngineOptions) -> Load {
    Load {
        model_path: options.model_path.clone(),
        context_tokens: options.context_tokens.map(Into::into),
        slots: options.slots.get(),
        threads: options.threads.map(Into::into),
        gpu_layers: options.gpu_layers,
        chat_template: options.chat_template.clone(),
        tuning: options.tuning.clone(),
        vocabulary_only: false,
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

/// Writes in a task of its own: a child that is slow to read must not keep us from reading, or both
/// would wait for each other.
fn spawn_writer(stdin: ChildStdin) -> mpsc::UnboundedSender<Bytes> {
    let (outbox, mut frames) = mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        let mut stdin = FramedWrite::new(stdin, codec());
        while let Some(frame) = frames.recv().await {
            // The reading side notices the death and tells everybody.
            if stdin.send(frame).await.is_err() {
                break;
            }
        }
    });
    outbox
}

fn send(outbox: &mpsc::UnboundedSender<Bytes>, request: &Request) {
    let frame =
        serde_json::to_vec(request).expect("requests have string keys and no failing Serialize");
    let _ = outbox.send(frame.into());
}

async fn next_reply(replies: &mut FramedRead<ChildStdout, LengthDelimitedCodec>) -> Option<Reply> {
    let frame = replies.next().await?.ok()?;
    serde_json::from_slice(&frame)
        .inspect_err(|error| tracing::error!(%error, "unreadable reply from the engine"))
        .ok()
}

/// The end of what the child wrote to stderr: llama.cpp's log, which holds no prompts.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_WORDS_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// `detail` and the first line that speaks of an error: later ones only repeat that something
    /// failed.
    fn explain(&self, detail: &str) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tells = |line: &&String| {
            line.contains("error") || line.contains("failed") || line.contains("panicked")
        };
        match lines.iter().find(tells).or(lines.back()) {
            Some(line) => format!("{detail}: {}", line.trim()),
            None => detail.to_owned(),
        }
    }
}

async fn read_stderr(stderr: ChildStderr, last_words: LastWords) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Thousands of lines each start: for who asks for them.
        tracing::trace!(target: "chainference_worker::engine::child", "{line}");
        last_words.push(line);
    }
}
