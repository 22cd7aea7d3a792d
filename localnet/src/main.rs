//! `chainference-chain`: Solana's own runtime as one local process behind the ordinary JSON-RPC and websocket
//! interfaces. It listens on loopback only: its blockhashes are predictable, and cheat codes share its port.

mod chain;
mod ledger;
mod options;
mod owners;
mod program;

use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::chain::Chain;
use crate::options::Options;

/// Every slot is kept at once: else the slot falls back by up to a minute when the process is killed.
const CHECKPOINT: (&str, &str) = ("SURFPOOL_CHECKPOINT_INTERVAL_SLOTS", "1");
/// A parent that died is noticed this fast.
const PARENT_POLL: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chainference-chain: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let parent = parent_id();
    set_checkpoint()?;
    let programs = program::read(&options.programs, options.upgrade_authority)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no threads for the chain's runtime")?;
    let _ledger = ledger::lock(options.ledger.as_deref())?;
    let chain = Chain::start(options)?;
    runtime.block_on(async {
        for program in &programs {
            chain.deploy(program)?;
        }
        let slot = chain.second_slot().await?;
        println!("{}", options.ready_line(slot));
        stopped(options.exit_with_parent.then_some(parent)).await
    })?;
    chain.stop();
    Ok(())
}

/// The setting is an environment variable of the runtime's own, read at any time: so this process starts over with it
/// once, under the same process id.
fn set_checkpoint() -> anyhow::Result<()> {
    if std::env::var_os(CHECKPOINT.0).is_some() {
        return Ok(());
    }
    let exe = std::env::current_exe().context("can't find my own binary")?;
    let error =
        Command::new(exe).args(std::env::args_os().skip(1)).env(CHECKPOINT.0, CHECKPOINT.1).exec();
    Err(error).context("can't start over with the checkpoint setting")
}

/// Returns at SIGTERM, at Ctrl-C, or when the parent is gone.
async fn stopped(parent: Option<u32>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let orphaned = async {
        while parent.is_none_or(|parent| parent == parent_id()) {
            tokio::time::sleep(PARENT_POLL).await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = orphaned => {}
    }
    Ok(())
}
