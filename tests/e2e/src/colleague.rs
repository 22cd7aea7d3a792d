//! A second worker on a market's chain, in a home of its own.

use std::{
    fs::File,
    process::{Child, Stdio},
};

use chainference_chain::{Pubkey, address};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    eventually,
    market::{Market, Place, block_on},
    process,
    stranger::SOL,
};

/// A worker that is ended like by a service manager.
pub struct Colleague {
    process: Child,
    pub place: Place,
    /// Address of its record.
    pub worker: Pubkey,
}

impl Colleague {
    /// Gives it money, starts it with `more` on its command line, and waits until it serves.
    pub fn start(market: &Market, more: &[&str]) -> Self {
        let place = Place::new();
        let (rpc_url, ws_url) = (market.rpc_url(), market.ws_url());
        let chain = ["--rpc-url", rpc_url.as_str(), "--ws-url", ws_url.as_str()];
        let shown = place.command(&["wallet", "--json"]).args(chain).output().expect("it runs");
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let key = |name: &str| -> Pubkey {
            shown["keys"][name]["address"].as_str().expect("an address").parse().expect("base58")
        };
        let owner = key("worker-owner");
        for key in [owner, key("worker-operator")] {
            market.rpc("requestAirdrop", json!([key.to_string(), 5 * SOL]));
        }
        let balance = || block_on(market.chain().balance(&owner)).ok();
        eventually("its money", 20, || balance().filter(|held| held.0 >= 5 * SOL));
        let log = File::create(place.home().join("worker.out")).expect("a file");
        let mut command = place.command(&["worker"]);
        command
            .args(chain)
            .args(["--worker-listen", &format!("127.0.0.1:{}", place.worker)])
            .args(more);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().expect("a worker");
        let worker = address::worker(&owner);
        let colleague = Self { process, place, worker };
        eventually("it offers its model", 120, || {
            let offers = block_on(market.chain().offers()).ok()?;
            offers.iter().any(|(_, offer)| offer.worker == worker && offer.active()).then_some(())
        });
        colleague
    }
}

impl Drop for Colleague {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.place.home().join("worker.out"));
            let log = log.unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the second worker said, the last first:\n{}", tail.join("\n"));
        }
        let _ = process::try_send(self.process.id(), Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
