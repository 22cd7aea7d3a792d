//! The runtime on a thread of its own, and its end.

use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use crossbeam_channel::{Receiver, Sender};
use surfpool_core::runloops::start_local_surfnet_runloop;
use surfpool_core::surfnet::locker::SurfnetSvmLocker;
use surfpool_core::surfnet::svm::{SurfnetSvm, SurfnetSvmConfig};
use surfpool_types::{RpcConfig, SimnetCommand, SimnetConfig, SimnetEvent, SurfpoolConfig};

use crate::ledger;
use crate::options::Options;
use crate::owners::Owners;
use crate::program::Program;

/// How long the runtime may take to come up, and how long it may take to end.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const HOST: &str = "127.0.0.1";

/// A running chain.
pub struct Chain {
    svm: SurfnetSvmLocker,
    commands: Sender<SimnetCommand>,
    thread: JoinHandle<()>,
}

impl Chain {
    /// Starts the chain and returns when its ports answer.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        check_port(options.rpc_port, "--rpc-port")?;
        check_port(options.ws_port, "--ws-port")?;
        let config = config(options);
        let url = options.ledger.as_ref().map(|path| path.to_string_lossy());
        let (mut svm, events, geyser) =
            SurfnetSvm::new_with_db(url.as_deref(), svm_config(&config))
                .map_err(|error| anyhow!("{error}"))
                .context("the ledger can't be opened: move it away to start a new chain")?;
        svm.cached_genesis_hash = Some(ledger::genesis_hash(options.ledger.as_deref())?);
        let owners =
            Owners::of(&svm).map_err(|error| anyhow!("the ledger can't be read: {error}"))?;
        svm.accounts_by_owner = Box::new(owners);
        let svm = SurfnetSvmLocker::new(svm);
        let (commands, receiver) = crossbeam_channel::unbounded();
        let (loop_svm, loop_commands) = (svm.clone(), commands.clone());
        let run = move || -> anyhow::Result<()> {
            // The run loop blocks inside its tasks: it needs a runtime that nobody else waits on.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let runloop =
                start_local_surfnet_runloop(loop_svm, config, loop_commands, receiver, geyser);
            runtime.block_on(runloop).map_err(|error| anyhow!("{error}"))
        };
        let thread = std::thread::Builder::new().name("chain".into()).spawn(move || {
            if let Err(error) = run() {
                eprintln!("chainference-chain: {error:#}");
            }
        })?;
        await_start(&events)?;
        let verbose = options.verbose;
        std::thread::spawn(move || drain(&events, verbose));
        Ok(Self { svm, commands, thread })
    }

    /// Puts a program on the chain, unless it is there already: state and slot of an old ledger stay as they are.
    pub fn deploy(&self, program: &Program) -> anyhow::Result<()> {
        let deployed = self.svm.with_svm_writer(|svm| -> Result<(), String> {
            let held = svm.get_account(&program.data_address).map_err(|error| error.to_string())?;
            if held.is_some_and(|account| program.is_held_by(&account)) {
                return Ok(());
            }
            let slot = svm.get_latest_absolute_slot();
            let rent = |bytes| svm.inner.minimum_balance_for_rent_exemption(bytes);
            let data = program.data_account(slot, rent).map_err(|error| error.to_string())?;
            let account = program.account(rent).map_err(|error| error.to_string())?;
            // The code first: naming it makes the runtime load it.
            svm.set_account(&program.data_address, data).map_err(|error| error.to_string())?;
            svm.set_account(&program.id, account).map_err(|error| error.to_string())
        });
        deployed.map_err(|error| anyhow!("program {} can't be loaded: {error}", program.id))
    }

    /// Returns the slot once two have begun since the start: before, the clock of a restarted chain reads too late.
    pub async fn second_slot(&self) -> anyhow::Result<u64> {
        let first = self.svm.get_latest_absolute_slot();
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            let slot = self.svm.get_latest_absolute_slot();
            if slot >= first + 2 {
                return Ok(slot);
            }
            if self.thread.is_finished() {
                bail!("the chain ended while starting");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the chain makes no slots")
    }

    /// Ends the run loop, so that what it holds is on disk.
    pub fn stop(self) {
        let _ = self.commands.send(SimnetCommand::Terminate(None));
        let started = Instant::now();
        while !self.thread.is_finished() && started.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.thread.is_finished() {
            let _ = self.thread.join();
        }
    }
}

fn config(options: &Options) -> SurfpoolConfig {
    let simnet = SimnetConfig {
        offline_mode: true,
        remote_rpc_url: None,
        slot_time: options.slot_ms,
        instruction_profiling_enabled: false, // ten times slower with it
        ..Default::default()
    };
    let rpc = RpcConfig {
        bind_host: HOST.into(),
        bind_port: options.rpc_port,
        ws_port: options.ws_port,
        ..Default::default()
    };
    SurfpoolConfig { simnets: vec![simnet], rpc, ..Default::default() }
}

/// The runtime takes the same settings twice.
fn svm_config(config: &SurfpoolConfig) -> SurfnetSvmConfig {
    let simnet = &config.simnets[0];
    SurfnetSvmConfig {
        surfnet_id: simnet.surfnet_id.clone(),
        slot_time: simnet.slot_time,
        instruction_profiling_enabled: simnet.instruction_profiling_enabled,
        max_profiles: simnet.max_profiles,
        log_bytes_limit: simnet.log_bytes_limit,
        ..Default::default()
    }
}

fn check_port(port: u16, flag: &str) -> anyhow::Result<()> {
    TcpListener::bind((HOST, port))
        .map(drop)
        .with_context(|| format!("port {port} is taken: choose another with {flag}"))
}

fn await_start(events: &Receiver<SimnetEvent>) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match events.recv_deadline(deadline).context("the chain did not start")? {
            SimnetEvent::CoreStarted(_) => return Ok(()),
            SimnetEvent::Aborted(reason) => bail!("the chain did not start: {reason}"),
            _ => {}
        }
    }
}

/// The channel is bounded: unread events would stop the chain.
fn drain(events: &Receiver<SimnetEvent>, verbose: bool) {
    for event in events {
        match event {
            _ if !verbose => {}
            SimnetEvent::ErrorLog(_, text)
            | SimnetEvent::WarnLog(_, text)
            | SimnetEvent::InfoLog(_, text) => eprintln!("{text}"),
            _ => {}
        }
    }
}
