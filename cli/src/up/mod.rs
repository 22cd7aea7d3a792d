//! `chainference up`: a whole market on this machine, from nothing to a URL and a key, and down again without a trace.

mod market;
mod ports;
mod supervisor;

use std::{cell::Cell, ffi::OsString, fs, path::Path, time::Duration};

use chainference_chain::{Chain, Commitment, Endpoints};
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

pub use ports::ports;

use crate::{
    args::LogFormat,
    error::CliError,
    home::Home,
    progress::Steps,
    settings::{self, Settings},
    status::{answers, base_url, ready_url},
};
use supervisor::{Board, Spec, Supervised};

const CHAIN_READY_WITHIN: Duration = Duration::from_secs(60);
/// Reading a model from a slow disk is most of it.
const WORKER_READY_WITHIN: Duration = Duration::from_secs(300);
const GATEWAY_READY_WITHIN: Duration = Duration::from_secs(60);
/// A gateway lets running calls end; a worker waits for its claims.
const DRAIN: Duration = Duration::from_secs(45);

/// What the quickstart's small model knows for sure.
const QUESTION: &str = "What is the capital of France? Answer in one short sentence.";

pub async fn up(
    home: Home,
    settings: Settings,
    log_format: Option<LogFormat>,
) -> Result<(), CliError> {
    home.create()?;
    let _lock = home.lock()?;
    home.make_keys()?;
    let mut interrupt = Interrupt::new()?;
    ports::check(&settings, was_killed(&home)).await?;
    write_settings(&home, &settings)?;
    let mut market = Market {
        endpoints: settings.endpoints()?,
        home,
        settings,
        log_format,
        board: watch::Sender::default(),
        children: Vec::new(),
    };

    let started = tokio::select! {
        started = market.start() => started,
        () = interrupt.received() => Err(CliError::Interrupted),
    };
    let outcome = match started {
        Ok(()) => {
            let noted = tokio::select! {
                noted = market.note_changes() => noted,
                () = interrupt.received() => Ok(()),
            };
            eprintln!(
                "Ending: running calls are served and settled first. Ctrl-C again ends all at once."
            );
            noted
        }
        failed => failed,
    };
    tokio::select! {
        () = market.stop() => {}
        () = interrupt.received() => eprintln!("Ended at once. What is open is settled at the next start."),
    }
    outcome
}

/// All that runs, and what it runs with.
struct Market {
    home: Home,
    settings: Settings,
    log_format: Option<LogFormat>,
    endpoints: Endpoints,
    board: watch::Sender<Board>,
    /// In the order in which they were started; they are stopped in the opposite order.
    children: Vec<Supervised>,
}

impl Market {
    async fn start(&mut self) -> Result<(), CliError> {
        let steps = Steps::new();
        eprintln!("Chainference in {}", self.home.root().display());
        let chain = Chain::new(self.endpoints.clone(), Commitment::Processed);
        if self.settings.embedded_chain() {
            let step = steps.begin("starting the embedded chain");
            let first_slot = Cell::new(None);
            self.child("chain", CHAIN_READY_WITHIN, || chain_is_ready(&chain, &first_slot)).await?;
            step.done(&format!("chain at {}", self.endpoints.rpc_url));
        }

        let step = steps.begin("preparing the market on the chain");
        let told = market::prepare(&self.home, &self.settings, &chain).await?;
        step.done(&told);

        let model = crate::serve::show_models(&self.home, &self.settings, &steps).await?;

        let step =
            steps.begin("starting the worker: it loads its models and registers on the chain");
        let url = format!("http://{}/health", settings::reachable(self.settings.worker.listen()));
        self.child("worker", WORKER_READY_WITHIN, || answers(&url)).await?;
        step.done(&format!("worker at {}", self.settings.worker.endpoint()));

        let step = steps.begin("starting the gateway");
        let url = ready_url(&self.settings);
        self.child("gateway", GATEWAY_READY_WITHIN, || answers(&url)).await?;
        step.done(&format!("gateway at {}", base_url(&self.settings)));

        self.note()?;
        self.introduce(&model, steps.elapsed())
    }

    /// Starts one of our own commands as a child and waits until it is ready.
    async fn child<F: Future<Output = bool>>(
        &mut self,
        name: &'static str,
        within: Duration,
        probe: impl Fn() -> F,
    ) -> Result<(), CliError> {
        let mut args: Vec<OsString> = vec![
            name.into(),
            "--supervised".into(),
            "--home".into(),
            self.home.root().into(),
            "--config".into(),
            settings::running_file(&self.home).into(),
        ];
        if self.log_format == Some(LogFormat::Json) {
            args.extend(["--log-format".into(), "json".into()]);
        }
        let spec = Spec {
            name,
            program: std::env::current_exe().map_err(CliError::file(Path::new("chainference")))?,
            args,
            log: self.home.logs().join(format!("{name}.log")),
            drain: DRAIN,
        };
        // Kept before it is waited for: a Ctrl-C meanwhile must find it.
        self.children.push(Supervised::start(spec, &self.board)?);
        let Some(child) = self.children.last() else { return Ok(()) };
        child.ready(within, probe).await
    }

    /// Keeps run/up.json true while children come and go.
    async fn note_changes(&self) -> Result<(), CliError> {
        let mut changes = self.board.subscribe();
        while changes.changed().await.is_ok() {
            self.note()?;
        }
        Ok(())
    }

    fn note(&self) -> Result<(), CliError> {
        let processes: serde_json::Map<_, _> = self
            .board
            .borrow()
            .iter()
            .map(|(name, state)| ((*name).to_owned(), json!(state.pid)))
            .collect();
        let note = json!({
            "pid": std::process::id(),
            "base_url": base_url(&self.settings),
            "rpc_url": self.endpoints.rpc_url,
            "ws_url": self.endpoints.ws_url,
            "processes": processes,
        });
        let path = note_file(&self.home);
        fs::write(&path, format!("{note:#}\n")).map_err(CliError::file(&path))
    }

    async fn stop(&mut self) {
        while let Some(child) = self.children.pop() {
            child.stop().await;
        }
        // Gone only after an orderly end: the next start tells by it whether this one was killed.
        let _ = fs::remove_file(note_file(&self.home));
    }

    /// What a person needs now. On standard output, so that it can be kept.
    fn introduce(&self, model: &str, took: Duration) -> Result<(), CliError> {
        let base_url = base_url(&self.settings);
        let key_file = self.home.api_key_file();
        let key = self.home.api_key()?;
        println!(
            "
Ready after {:.1} s. Any OpenAI client works:

  base URL  {base_url}
  API key   {key}   (kept in {})
  model     {model}

curl {base_url}/chat/completions -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \\
  -d '{{\"model\": \"{model}\", \"temperature\": 0, \"messages\": [{{\"role\": \"user\", \"content\": \"{QUESTION}\"}}]}}'

from openai import OpenAI
client = OpenAI(base_url=\"{base_url}\", api_key=\"{key}\")
for chunk in client.chat.completions.create(model=\"{model}\", stream=True, temperature=0,
        messages=[{{\"role\": \"user\", \"content\": \"{QUESTION}\"}}]):
    print(chunk.choices[0].delta.content or \"\", end=\"\", flush=True)

`chainference jobs` shows what each call cost; logs are in {}. Ctrl-C ends the market.",
            took.as_secs_f64(),
            key_file.display(),
            self.home.logs().display(),
        );
        Ok(())
    }
}

/// The program is there, and two slots have gone by: before that the chain's clock is still that of its last run.
async fn chain_is_ready(chain: &Chain, first_slot: &Cell<Option<u64>>) -> bool {
    let (Ok(true), Ok(slot)) = (chain.deployed().await, chain.slot().await) else { return false };
    let first = first_slot.get().unwrap_or(slot);
    first_slot.set(Some(first));
    slot >= first + 2
}

fn note_file(home: &Home) -> std::path::PathBuf {
    home.run().join("up.json")
}

/// Whether the last `up` of this home had no orderly end. Its children may be ending just now.
fn was_killed(home: &Home) -> bool {
    note_file(home).exists()
}

fn write_settings(home: &Home, settings: &Settings) -> Result<(), CliError> {
    let path = settings::running_file(home);
    let text = toml::to_string(settings)
        .map_err(|error| CliError::Config { path: path.clone(), message: error.to_string() })?;
    fs::write(&path, text).map_err(CliError::file(&path))
}

/// SIGINT and SIGTERM, as often as they come.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn new() -> Result<Self, CliError> {
        let handler = |kind| signal(kind).map_err(CliError::file(Path::new("signal handler")));
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }
}
