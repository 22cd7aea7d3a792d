//! Keeps a child process alive: its log, its restarts, its orderly end, and its end when we are killed.
//!
//! Each child's standard input is a pipe that only we hold. However this process ends, the pipe closes and the child,
//! which watches it, ends too. Children live in process groups of their own, so that Ctrl-C reaches us alone and the
//! market is taken down in order.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    os::unix::{fs::OpenOptionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::error::CliError;

const RESTART_DELAY_MIN: Duration = Duration::from_millis(500);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(30);
/// A child that lived this long has recovered from what ended it before.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
const LOG_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Clone)]
pub struct Spec {
    pub name: &'static str,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub log: PathBuf,
    /// How long it may take to end after SIGTERM before it is killed.
    pub drain: Duration,
}

/// What is known of a child from outside.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub pid: Option<u32>,
    /// It was ready once, so it is worth starting again.
    pub ready: bool,
    /// How often it ended unasked, and how it did so last.
    pub exits: u32,
    pub last_exit: String,
}

/// All children by name, for whoever shows them.
pub type Board = BTreeMap<&'static str, State>;

pub struct Supervised {
    spec: Spec,
    board: watch::Sender<Board>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Supervised {
    /// Starts the child. Once it has been [`ready`](Self::ready), it is started again whenever it ends.
    pub fn start(spec: Spec, board: &watch::Sender<Board>) -> Result<Self, CliError> {
        rotate(&spec.log)?;
        let child = spawn(&spec)?;
        let state = State { pid: child.process.id(), ..State::default() };
        board.send_modify(|board| drop(board.insert(spec.name, state)));
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_alive(spec.clone(), child, board.clone(), stop.clone()));
        Ok(Self { spec, board: board.clone(), stop, task })
    }

    fn state(&self) -> State {
        self.board.borrow().get(self.spec.name).cloned().unwrap_or_default()
    }

    /// Waits until `probe` says yes. A child that ends before that has failed: its log's last line says why.
    pub async fn ready<F: Future<Output = bool>>(
        &self,
        within: Duration,
        probe: impl Fn() -> F,
    ) -> Result<(), CliError> {
        let deadline = Instant::now() + within;
        loop {
            if probe().await {
                self.board.send_modify(|board| {
                    board.entry(self.spec.name).or_default().ready = true;
                });
                return Ok(());
            }
            let state = self.state();
            let failed = |message| CliError::ChildFailed {
                name: self.spec.name,
                message,
                log: self.spec.log.clone(),
            };
            if state.exits > 0 {
                return Err(failed(last_line(&self.spec.log).unwrap_or(state.last_exit)));
            }
            if Instant::now() > deadline {
                return Err(failed(format!("not ready after {} s", within.as_secs())));
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Asks the child to end and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            eprintln!("! {}: {error}", self.spec.name);
        }
    }
}

async fn keep_alive(
    spec: Spec,
    mut child: Running,
    board: watch::Sender<Board>,
    stop: CancellationToken,
) {
    let mut delay = RESTART_DELAY_MIN;
    loop {
        let began = Instant::now();
        let status = tokio::select! {
            status = child.process.wait() => status,
            () = stop.cancelled() => return end(&spec, child).await,
        };
        let how = status.map_or_else(|error| error.to_string(), describe);
        let mut ready = false;
        board.send_modify(|board| {
            let state = board.entry(spec.name).or_default();
            (state.pid, state.exits, state.last_exit) = (None, state.exits + 1, how.clone());
            ready = state.ready;
        });
        // One that never got ready won't for being started again; `up` says why and ends.
        if !ready {
            return;
        }
        if began.elapsed() > HEALTHY_AFTER {
            delay = RESTART_DELAY_MIN;
        }
        eprintln!("! {} ended ({how}) and is started again", spec.name);
        let Some(again) = stop.run_until_cancelled(restart(&spec, &mut delay)).await else {
            return;
        };
        child = again;
        board.send_modify(|board| board.entry(spec.name).or_default().pid = child.process.id());
    }
}

async fn restart(spec: &Spec, delay: &mut Duration) -> Running {
    loop {
        sleep(*delay).await;
        *delay = (*delay * 2).min(RESTART_DELAY_MAX);
        match spawn(spec) {
            Ok(child) => return child,
            Err(error) => eprintln!("! {}: {error}", spec.name),
        }
    }
}

/// SIGTERM, then time to drain, then SIGKILL.
async fn end(spec: &Spec, mut child: Running) {
    if let Some(pid) = child.process.id().and_then(|pid| i32::try_from(pid).ok()) {
        // Not yet waited for, so the number is still this child's.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(spec.drain, child.process.wait()).await.is_err() {
        eprintln!("! {} didn't end within {} s and is killed", spec.name, spec.drain.as_secs());
        let _ = child.process.kill().await;
    }
}

/// A child, and the pipe whose closing tells it that we are gone. Held apart from the process, since waiting for that
/// would close it.
struct Running {
    process: Child,
    _lifeline: Option<ChildStdin>,
}

fn spawn(spec: &Spec) -> Result<Running, CliError> {
    let log = open_log(&spec.log)?;
    let errors = log.try_clone().map_err(CliError::file(&spec.log))?;
    let mut command = Command::new(&spec.program);
    // All settings come by file. One from the environment would beat what a flag of ours put there.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAINFERENCE_") && name != "CHAINFERENCE_LOG" {
            command.env_remove(name);
        }
    }
    let mut process = command
        .args(&spec.args)
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CliError::ChildFailed {
            name: spec.name,
            message: format!("{}: {error}", spec.program.display()),
            log: spec.log.clone(),
        })?;
    let lifeline = process.stdin.take();
    Ok(Running { process, _lifeline: lifeline })
}

fn open_log(path: &Path) -> Result<File, CliError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(CliError::file(path))
}

/// One older log is kept, so that a home doesn't grow for ever.
fn rotate(path: &Path) -> Result<(), CliError> {
    match fs::metadata(path) {
        Ok(facts) if facts.len() > LOG_BYTES_MAX => {
            fs::rename(path, path.with_extension("log.1")).map_err(CliError::file(path))
        }
        _ => Ok(()),
    }
}

fn last_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("hint:"))
        .map(str::to_owned)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(folder: &tempfile::TempDir, script: &str) -> Spec {
        Spec {
            name: "child",
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            log: folder.path().join("child.log"),
            drain: Duration::from_millis(300),
        }
    }

    fn alive(pid: u32) -> bool {
        kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), None).is_ok()
    }

    async fn eventually(what: &str, check: impl Fn() -> bool) {
        for _ in 0..200 {
            if check() {
                return;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("never: {what}");
    }

    fn start(spec: Spec) -> Supervised {
        Supervised::start(spec, &watch::Sender::default()).expect("spawned")
    }

    #[tokio::test]
    async fn child_that_fails_at_start_is_reported_with_its_last_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let child = start(spec(&folder, "echo 'error: the model is truncated' >&2; exit 1"));
        let error =
            child.ready(Duration::from_secs(5), || async { false }).await.expect_err("failed");
        assert!(error.to_string().contains("the model is truncated"), "{error}");
        child.stop().await;
    }

    #[tokio::test]
    async fn child_that_is_killed_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let child = start(spec(&folder, "exec sleep 60"));
        child.ready(Duration::from_secs(1), || async { true }).await.expect("taken for ready");
        let first = child.state().pid.expect("runs");
        kill(Pid::from_raw(i32::try_from(first).expect("a pid")), Signal::SIGKILL).expect("killed");
        eventually("a new process", || child.state().pid.is_some_and(|pid| pid != first)).await;
        let second = child.state().pid.expect("runs again");
        child.stop().await;
        assert!(!alive(second));
    }

    #[tokio::test]
    async fn child_that_ignores_the_request_to_end_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let child = start(spec(&folder, "trap '' TERM; while :; do sleep 0.05; done"));
        let pid = child.state().pid.expect("runs");
        sleep(Duration::from_millis(100)).await;
        child.stop().await;
        assert!(!alive(pid));
    }
}
