//! Others' gateways, as their own guides start them, in front of the same upstream.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chainference_e2e::process;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::Connection;
use crate::settings::Settings;
use crate::target::{Target, Who};
use crate::workload::{Failed, Kind, MODEL, Size};

/// As scripts/bench-gateway installs them.
pub const VERSIONS: &str = "smg 1.13.0, litellm 1.106.12, portkey 1.15.2";

/// It starts with none that is short. Without a database it knows no other.
const LITELLM_KEY: &str = "sk-5b0c1d6f4f0a4c0c9b1de5b1a6a7c2d39e8f70415263748596a7b8c9d0e1f203";
/// Python needs its time.
const UP_WITHIN: Duration = Duration::from_secs(120);
const WAKES_IN: Duration = Duration::from_millis(200);

pub struct Peer {
    process: Child,
    folder: TempDir,
    pub target: Target,
}

impl Peer {
    /// Those that are installed and answer; what needs the others is then missed.
    pub fn start_all(settings: &Settings, upstream: SocketAddr) -> Result<Vec<Self>, Failed> {
        let mut started = Vec::new();
        let wanted = [Who::Smg, Who::Litellm, Who::Portkey];
        for who in wanted.into_iter().filter(|who| settings.measures(*who)) {
            let folder = tempfile::tempdir()?;
            let port = free_port()?;
            let Some(mut command) = command(who, &settings.peers, folder.path(), upstream, port)?
            else {
                println!("{} is not installed and is left out", who.name());
                continue;
            };
            let log = File::create(folder.path().join("log"))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
            let process = command.spawn()?;
            let target = Target {
                who,
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                model: MODEL.to_owned(),
                headers: headers(who, upstream),
                pid: Some(process.id()),
            };
            let peer = Self { process, folder, target };
            match peer.await_ready() {
                Ok(()) => {
                    peer.target.signal(Signal::SIGSTOP);
                    started.push(peer);
                }
                Err(error) => println!("{} does not answer and is left out: {error}", who.name()),
            }
        }
        Ok(started)
    }

    /// Until it answers.
    fn await_ready(&self) -> Result<(), Failed> {
        let asking = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Portkey's streams fail on the Node that is here, with "immutable" (headers).
        let kind = if self.target.who == Who::Portkey { Kind::Whole } else { Kind::AtOnce };
        let request = self.target.request(kind, Size::Kb1);
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            let answer = asking.block_on(Connection::new(self.target.address).ask(&request));
            let error = match answer {
                Ok(answer) if answer.tokens.len() == kind.tokens() => return Ok(()),
                Ok(answer) => format!("{} tokens came", answer.tokens.len()),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline || !process::is_alive(self.process.id()) {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                let log: Vec<String> = log.unwrap_or_default().lines().map(str::to_owned).collect();
                let log = log[log.len().saturating_sub(20)..].join("\n");
                return Err(format!("{}: {error}\n{log}", self.target.who.name()).into());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its children are in its group.
        self.target.signal(Signal::SIGKILL);
        self.process.wait().ok();
    }
}

/// A peer that is being measured. They stand still otherwise: what they do beside is no load of others.
pub struct Awake<'a>(&'a Target);

impl<'a> Awake<'a> {
    pub async fn keep(target: &'a Target) -> Option<Self> {
        if !matches!(target.who, Who::Smg | Who::Litellm | Who::Portkey) {
            return None;
        }
        target.signal(Signal::SIGCONT);
        // What was due meanwhile is done first.
        tokio::time::sleep(WAKES_IN).await;
        Some(Self(target))
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGSTOP);
    }
}

impl Target {
    /// To a peer and its children: they are a process group of their own.
    fn signal(&self, signal: Signal) {
        if let Some(Ok(pid)) = self.pid.map(i32::try_from) {
            killpg(Pid::from_raw(pid), signal).ok();
        }
    }
}

fn command(
    who: Who,
    peers: &Path,
    folder: &Path,
    upstream: SocketAddr,
    port: u16,
) -> Result<Option<Command>, Failed> {
    let program = match who {
        Who::Smg => peers.join("smg/bin/smg"),
        Who::Litellm => peers.join("litellm/bin/litellm"),
        _ => peers.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
    };
    if !program.exists() {
        return Ok(None);
    }
    let port = port.to_string();
    let mut command = Command::new(&program);
    match who {
        Who::Smg => {
            command
                .args(["launch", "--host", "127.0.0.1", "--port", &port])
                .args(["--worker-urls", &format!("http://{upstream}")])
                .args(["--policy", "round_robin", "--log-level", "error"])
                .args([
                    "--prometheus-host",
                    "127.0.0.1",
                    "--prometheus-port",
                    &free_port()?.to_string(),
                ]);
        }
        Who::Litellm => {
            let config = folder.join("config.yaml");
            std::fs::write(&config, litellm_config(upstream))?;
            // Its guide for production: a worker a core, and a log that says little.
            let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
            command
                .arg("--config")
                .arg(&config)
                .args(["--host", "127.0.0.1", "--port", &port])
                .args(["--num_workers", &cores.to_string(), "--telemetry", "False"])
                .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                .env("LITELLM_MASTER_KEY", LITELLM_KEY)
                .env("LITELLM_LOG", "ERROR")
                .env("LITELLM_MODE", "PRODUCTION");
        }
        _ => {
            command = Command::new("node");
            command.arg(&program).args([&format!("--port={port}"), "--headless"]);
        }
    }
    command.current_dir(folder);
    Ok(Some(command))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn litellm_config(upstream: SocketAddr) -> String {
    format!(
        "model_list:\n  - model_name: {MODEL}\n    litellm_params:\n      model: openai/{MODEL}\n      \
         api_base: http://{upstream}/v1\n      api_key: sk-none\n"
    )
}

fn headers(who: Who, upstream: SocketAddr) -> Vec<(&'static str, String)> {
    let key = if who == Who::Litellm { LITELLM_KEY } else { "sk-none" };
    let key = ("authorization", format!("Bearer {key}"));
    match who {
        Who::Portkey => vec![
            key,
            ("x-portkey-provider", "openai".to_owned()),
            ("x-portkey-custom-host", format!("http://{upstream}/v1")),
        ],
        _ => vec![key],
    }
}
