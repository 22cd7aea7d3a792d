//! The `chainference` binary: a whole market on one machine, or any part of it alone.

mod amount;
mod args;
mod config;
mod doctor;
mod error;
mod home;
mod jobs;
mod keys;
mod models;
mod outbox;
mod output;
mod progress;
mod serve;
mod settings;
mod spend;
mod status;
mod tokenizers;
mod up;
mod upstreams;
mod wallet;
mod worker;
mod workers;

use std::{io::IsTerminal, num::NonZeroUsize, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Cli, Command, Doctor, LogFormat, ServeChain, ServeGateway, ServeWorker},
    error::CliError,
    home::Home,
    settings::Settings,
};

/// Of the cores of a worker's machine, one thread passes on what so many compute.
const CORES_PER_WORKER_THREAD: usize = 8;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The engine has its own way with threads, signals and standard output: it must not find ours.
    if let Command::Engine = cli.command {
        return serve::engine();
    }
    start_logging(&cli);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let home = Home::locate(cli.home)?;
    let named = cli.config.is_some();
    let file = cli.config.unwrap_or_else(|| home.config());
    let load = |given: Settings| given.load(&file, named);
    match cli.command {
        Command::Up(settings) => single_threaded(up::up(home, load(settings)?, cli.log_format)),
        Command::Chain(ServeChain { chain, supervision }) => {
            serve::chain(&home, &load(Settings { chain, ..Default::default() })?, supervision)
        }
        Command::Worker(ServeWorker { action: None, chain, worker, engine, supervision }) => {
            let settings = load(Settings { chain, worker, engine, ..Default::default() })?;
            beside_an_engine(serve::worker(home, settings, supervision))
        }
        Command::Worker(ServeWorker { action: Some(action), chain, worker, .. }) => {
            let given = Settings { chain, worker, ..Default::default() };
            let settings = beside_running(given, &home)?.load(&file, named)?;
            single_threaded(worker::worker(home, settings, action))
        }
        Command::Gateway(ServeGateway { chain, gateway, supervision }) => {
            let settings = load(Settings { chain, gateway, ..Default::default() })?;
            multi_threaded(serve::gateway(home, settings, supervision))
        }
        Command::Wallet(wallet) => {
            let given = Settings { chain: wallet.chain.clone(), ..Default::default() };
            let settings = beside_running(given, &home)?.load(&file, named)?;
            single_threaded(wallet::wallet(home, settings, wallet))
        }
        Command::Models(command) => single_threaded(models::models(home, command)),
        Command::Jobs(jobs) => single_threaded(jobs::jobs(home, jobs)),
        Command::Workers(command) => {
            let settings = beside_running(Settings::default(), &home)?.load(&file, named)?;
            single_threaded(workers::workers(home, settings, command))
        }
        Command::Keys(command) => single_threaded(keys::keys(home, command)),
        Command::Spend(command) => single_threaded(spend::spend(home, command)),
        Command::Status(status) => {
            let settings = beside_running(Settings::default(), &home)?.load(&file, named)?;
            single_threaded(status::status(home, settings, status))
        }
        Command::Config(command) => config::config(command, file, named),
        Command::Doctor(Doctor { settings }) => {
            let settings = beside_running(settings, &home)?.load(&file, named)?;
            single_threaded(doctor::doctor(home, settings))
        }
        Command::Engine => Ok(()),
    }
}

/// A tool that looks at a running market takes over the settings that the market was started with.
fn beside_running(given: Settings, home: &Home) -> Result<Settings, CliError> {
    if home.is_running() { given.load(&settings::running_file(home), false) } else { Ok(given) }
}

fn single_threaded<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    block_on(tokio::runtime::Builder::new_current_thread().enable_all(), work)
}

fn multi_threaded<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    block_on(tokio::runtime::Builder::new_multi_thread().enable_all(), work)
}

/// The engine computes on all cores, in a process of its own. Passing its tokens on is light: more threads than that
/// takes would only wake each other, and each time stop one that computes.
fn beside_an_engine<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.div_ceil(CORES_PER_WORKER_THREAD);
    block_on(tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all(), work)
}

fn block_on<T>(
    runtime: &mut tokio::runtime::Builder,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let runtime = runtime
        .build()
        .map_err(|error| CliError::Service { role: "runtime", message: error.to_string() })?;
    runtime.block_on(work)
}

/// To standard error, which `up` sends to each child's log. A command that speaks to a person logs nothing unasked.
fn start_logging(cli: &Cli) {
    let serves = matches!(
        cli.command,
        Command::Worker(ServeWorker { action: None, .. }) | Command::Gateway(_)
    );
    let default = if serves { "info" } else { "off" };
    let filter =
        EnvFilter::try_from_env("CHAINFERENCE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match cli.log_format {
        Some(LogFormat::Json) => log.json().init(),
        _ => log.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}
