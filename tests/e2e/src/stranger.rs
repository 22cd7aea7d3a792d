//! A client of its own on another's market: a gateway alone, with its own vault, which a test may kill and
//! start again as it likes.

use std::{
    fs::File,
    process::{Child, ExitStatus, Stdio},
};

use chainference_chain::{Pubkey, address};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    eventually,
    market::{Market, Place, block_on},
    process,
};

pub const SOL: u64 = 1_000_000_000;

/// A home beside the market, with a vault on its chain.
pub struct Stranger<'a> {
    pub place: Place,
    pub market: &'a Market,
    /// Addresses of its keys.
    pub owner: Pubkey,
    pub gateway: Pubkey,
}

/// A gateway that is ended like by a service manager.
pub struct Gateway(Child);

/// What a stranger has, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purse {
    pub vault: u64,
    pub gateway: u64,
    pub reserved: u64,
}

impl<'a> Stranger<'a> {
    /// Gives it money and opens its vault.
    pub fn new(market: &'a Market, place: Place) -> Self {
        let wallet = |args: &[&str]| {
            let mut command = place.command(&["wallet"]);
            command.args(args).args(chain_of(market)).output().expect("it runs")
        };
        let shown: Value = serde_json::from_slice(&wallet(&["--json"]).stdout).expect("JSON");
        let key = |name: &str| -> Pubkey {
            shown["keys"][name]["address"].as_str().expect("an address").parse().expect("base58")
        };
        let (owner, gateway) = (key("wallet"), key("gateway"));
        for key in [owner, gateway] {
            market.rpc("requestAirdrop", json!([key.to_string(), 20 * SOL]));
        }
        eventually("the deposit", 20, || {
            wallet(&["deposit", "10sol"]).status.success().then_some(())
        });
        Self { place, market, owner, gateway }
    }

    /// A gateway in that mode; `more` is for its command line, `env` for its environment.
    pub fn start(&self, mode: &str, more: &[&str], env: &[(&str, &str)]) -> Gateway {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place.home().join("gateway.out"))
            .expect("a file");
        let mut command = self.place.command(&["gateway", "--allow-private-endpoints", "true"]);
        if !more.contains(&"--rpc-url") {
            command.args(chain_of(self.market));
        }
        command
            .args(["--mode", mode, "--gateway-listen"])
            .arg(format!("127.0.0.1:{}", self.place.gateway))
            .args(more)
            .envs(env.iter().copied());
        Gateway(command.stdout(Stdio::null()).stderr(log).spawn().expect("a gateway"))
    }

    pub fn vault(&self) -> Pubkey {
        address::vault(&self.owner)
    }

    pub fn purse(&self) -> Purse {
        let chain = self.market.chain();
        let balance = |key| block_on(chain.balance(&key)).expect("a balance").0;
        let vault = block_on(chain.vault(&self.vault())).expect("answered").expect("open");
        Purse {
            vault: balance(self.vault()),
            gateway: balance(self.gateway),
            reserved: vault.reserved,
        }
    }

    /// Waits until every job has ended, and holds the ledger against the chain, to the lamport.
    pub fn audit(&self, before: Purse, within_s: u64) -> Vec<Value> {
        let is_over = |job: &Value| {
            ["settled", "closed", "failed"].contains(&job["status"].as_str().unwrap_or_default())
        };
        // Accounts are closed at any moment: what was read between two looks at the same jobs belongs together.
        let (jobs, after) = eventually("every job has ended", within_s, || {
            let (jobs, purse) = (self.place.jobs(), self.purse());
            let live = block_on(self.market.chain().jobs_of_vault(&self.vault())).ok()?;
            let settled = jobs.iter().filter(|job| job["status"] == "settled").count();
            let is_still = live.len() == settled && self.place.jobs() == jobs;
            (jobs.iter().all(is_over) && is_still).then_some((jobs, purse))
        });
        let sum = |name: &str, is_in: &dyn Fn(&Value) -> bool| -> u64 {
            let amount = |job: &Value| job[name].as_u64().expect("lamports");
            jobs.iter().filter(|job| is_in(job)).map(amount).sum()
        };
        let all = |_: &Value| true;
        assert_eq!(after.reserved, 0, "{jobs:?}");
        assert_eq!(before.vault - after.vault, sum("paid", &all), "paid: {jobs:?}");
        let lent = sum("rent", &|job| job["status"] == "settled");
        assert_eq!(before.gateway - after.gateway, sum("fees", &all) + lent, "fees: {jobs:?}");
        jobs
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.place.home().join("gateway.out"));
            let log = log.unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!(
                "--- the stranger's gateway:\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
    }
}

impl Gateway {
    /// Whether it answers.
    pub fn await_ready(&self, stranger: &Stranger<'_>) {
        let url = format!("http://127.0.0.1:{}/ready", stranger.place.gateway);
        eventually("the gateway is ready", 60, || {
            crate::client::curl(&["-s", &url]).contains("\"ready\":true").then_some(())
        });
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("waited for")
    }

    pub fn send(&self, signal: Signal) {
        let _ = process::try_send(self.0.id(), signal);
    }

    /// Ends it like a service manager, and waits.
    pub fn stop(mut self) -> ExitStatus {
        self.send(Signal::SIGTERM);
        self.0.wait().expect("waited for")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.send(Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn chain_of(market: &Market) -> [String; 4] {
    ["--rpc-url".to_owned(), market.rpc_url(), "--ws-url".to_owned(), market.ws_url()]
}
