//! Ours in three forms: in front of the upstream with nothing to settle, and as a client of a real market in both ways
//! of settling. The market's worker has a scripted engine; all else is what people run.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chainference_e2e::market::{Market, Place};
use chainference_e2e::stranger::{Gateway, Stranger};
use chainference_e2e::{eventually, process};
use nix::sys::signal::Signal;

use crate::target::{Target, Who};
use crate::workload::{Failed, MODEL};

/// Calls that the worker takes at once.
const SLOTS: &str = "80";
/// How long jobs of their own take to be claimed and closed once their calls have ended.
pub const AFTERMATH: Duration = Duration::from_millis(1_500);
/// How many jobs wait for calls.
const READY: &str = "chainference_gateway_jobs_ready ";

/// A market with its own worker.
pub fn market() -> Market {
    let engine = std::env::current_exe().expect("a bench runs from a file");
    let engine = engine.to_str().expect("a path of text").to_owned();
    Place::new()
        .with_slots_of(400)
        .with(&["--engine-bin", &engine, "--worker-slots", SLOTS, "--memory-mb", "1000000"])
        .start()
}

/// A gateway of ours that settles, with its own vault on the market.
pub struct Settling<'a> {
    pub stranger: Stranger<'a>,
    pub gateway: Gateway,
    pub target: Target,
}

impl<'a> Settling<'a> {
    pub fn start(market: &'a Market, who: Who) -> Self {
        let mode = if who == Who::Session { "session" } else { "per-call" };
        let stranger = Stranger::new(market, Place::new());
        let gateway = stranger.start(mode, &[], &[]);
        gateway.await_ready(&stranger);
        let target = target(who, &stranger.place, chainference_e2e::MODEL, gateway.pid());
        Self { stranger, gateway, target }
    }
}

/// Waits until so many calls find jobs that are ready, and no more are being made: that would be another gateway's load.
/// What is not ready in time is made when it is needed, and shows.
pub async fn get_ready(settling: &[Settling<'_>], calls: usize) -> Result<(), Failed> {
    let Some(one) = settling.iter().find(|one| one.target.who == Who::PerCall) else {
        return Ok(());
    };
    let url = format!("http://{}/metrics", one.target.address);
    let mut before = 0.0;
    for _ in 0..60 {
        let text = reqwest::get(&url).await?.text().await?;
        let ready = text.lines().find_map(|line| line.strip_prefix(READY));
        let ready: f64 = ready.and_then(|ready| ready.trim().parse().ok()).unwrap_or(0.0);
        // The first opens the connection.
        if ready > calls as f64 && ready == before {
            break;
        }
        before = ready;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The gateway in front of the upstream alone.
pub struct Off {
    process: Child,
    _place: Place,
    pub target: Target,
}

impl Off {
    pub fn start(upstream: SocketAddr) -> Result<Self, Failed> {
        let place = Place::new();
        let mut command: Command = place.command(&["gateway"]);
        command
            .args(["--upstream", &format!("http://{upstream}/v1")])
            .args(["--gateway-listen", &format!("127.0.0.1:{}", place.gateway)]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let url = format!("http://127.0.0.1:{}/ready", place.gateway);
        eventually("the gateway is ready", 30, || {
            chainference_e2e::client::curl(&["-s", &url]).contains("\"ready\":true").then_some(())
        });
        let target = target(Who::Off, &place, MODEL, process.id());
        Ok(Self { process, _place: place, target })
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        process::try_send(self.process.id(), Signal::SIGTERM).ok();
        self.process.wait().ok();
    }
}

fn target(who: Who, place: &Place, model: &str, pid: u32) -> Target {
    Target {
        who,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, place.gateway)),
        model: model.to_owned(),
        headers: vec![("authorization", format!("Bearer {}", place.key()))],
        pid: Some(pid),
    }
}
