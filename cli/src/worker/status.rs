//! How a worker is: from its own endpoint what it does, from the chain what it has.

use std::time::Duration;

use chainference_chain::{
    Chain, Commitment, Pubkey, Signer,
    accounts::{Config, Worker as Record, WorkerStatus},
    address,
};
use chainference_market::Reputation;
use serde_json::{Value, json};

use crate::{
    amount,
    error::CliError,
    home::{Home, KeyName},
    settings::{Settings, reachable},
    status::print_json,
    wallet::unreachable,
};

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

pub async fn status(home: &Home, settings: &Settings, as_json: bool) -> Result<(), CliError> {
    let url = format!("http://{}/status", reachable(settings.worker.listen()));
    let (running, found) = tokio::join!(ask(&url), on_chain(home, settings));
    // One of the two is enough to be of use.
    let chain = match found {
        Ok(chain) => Some(chain),
        Err(CliError::Unreachable { .. }) if running.is_some() => None,
        Err(error) => return Err(error),
    };
    if as_json {
        let chain = chain.as_ref().map(OnChain::json);
        return print_json(&json!({ "running": running, "chain": chain }));
    }
    match &running {
        Some(running) => print_running(running, &url),
        None => println!("✗ the worker doesn't answer at {url}"),
    }
    match &chain {
        Some(chain) => chain.print(),
        None => println!("✗ the chain doesn't answer"),
    }
    Ok(())
}

async fn ask(url: &str) -> Option<Value> {
    let client = reqwest::Client::builder().timeout(PROBE_TIMEOUT).no_proxy().build().ok()?;
    let answer = client.get(url).send().await.ok()?;
    answer.json().await.ok()
}

struct OnChain {
    worker: Pubkey,
    record: Option<Record>,
    config: Option<Config>,
    now_unix_s: i64,
    operator: Pubkey,
    operator_lamports: u64,
}

async fn on_chain(home: &Home, settings: &Settings) -> Result<OnChain, CliError> {
    let chain = Chain::new(settings.endpoints()?, Commitment::Confirmed);
    let worker = address::worker(&home.keypair(KeyName::WorkerOwner)?.pubkey());
    let operator = home.keypair(KeyName::WorkerOperator)?.pubkey();
    let (record, config, clock, held) = tokio::try_join!(
        chain.worker(&worker),
        chain.config(),
        chain.clock(),
        chain.balance(&operator),
    )
    .map_err(unreachable)?;
    let (now_unix_s, operator_lamports) = (clock.unix_s, held.0);
    Ok(OnChain { worker, record, config, now_unix_s, operator, operator_lamports })
}

impl OnChain {
    fn json(&self) -> Value {
        let record = self.record.as_ref().map(|record| {
            json!({
                "status": status_name(record),
                "owner": record.owner.to_string(),
                "endpoint": record.endpoint(),
                "earnings": record.earnings,
                "bond": record.bond,
                "bond_free_unix_s": record.bond_free_unix_s,
                "fees_platform": record.fees_platform,
                "fees_stakers": record.fees_stakers,
                "live_jobs": record.live_jobs,
                "last_heartbeat_unix_s": record.last_heartbeat_unix_s,
                "reputation": self.reputation(record),
            })
        });
        json!({
            "worker": self.worker.to_string(),
            "record": record,
            "operator": self.operator.to_string(),
            "operator_lamports": self.operator_lamports,
        })
    }

    /// Ratios in basis points, as the program computes them.
    fn reputation(&self, record: &Record) -> Value {
        let reputation = Reputation::from(record.reputation);
        let (prior, heartbeat_s) = self
            .config
            .as_ref()
            .map_or((0, 60), |config| (config.reputation_prior, config.heartbeat_s));
        json!({
            "rating_bps": reputation.rating_bps(self.now_unix_s, heartbeat_s, prior),
            "success_bps": reputation.success_bps(prior),
            "preference_bps": reputation.preference_bps(prior),
            "uptime_bps": reputation.uptime_bps(self.now_unix_s, heartbeat_s),
            "jobs_completed": reputation.jobs_completed,
            "jobs_flagged": reputation.jobs_flagged,
        })
    }

    fn print(&self) {
        let Some(record) = &self.record else {
            println!("  record      {}: not registered on this chain", self.worker);
            return;
        };
        println!("  record      {}: {}", self.worker, status_name(record));
        println!(
            "  earnings    {} to withdraw, {} bond, {} fees to sweep",
            amount::sol(record.earnings),
            amount::sol(record.bond),
            amount::sol(record.fees_platform.saturating_add(record.fees_stakers))
        );
        println!("  operator    {} holds {}", self.operator, amount::sol(self.operator_lamports));
        let found = self.reputation(record);
        println!(
            "  reputation  rating {}, success {}, uptime {}; {} jobs completed, {} flagged",
            percent(&found["rating_bps"]),
            percent(&found["success_bps"]),
            percent(&found["uptime_bps"]),
            found["jobs_completed"],
            found["jobs_flagged"]
        );
    }
}

fn print_running(found: &Value, url: &str) {
    let sol = |value: &Value| amount::sol(value.as_u64().unwrap_or(0));
    let status = found["status"].as_str().unwrap_or("?");
    println!("✓ worker      {status} at {}", url.trim_end_matches("/status"));
    found["models"].as_array().into_iter().flatten().for_each(print_model);
    let (calls, jobs) = (&found["calls"], &found["jobs"]);
    println!(
        "  calls       {} running, {} waiting, {} slots; {} tokens/s each",
        calls["running"], calls["waiting"], calls["slots"], calls["tokens_per_s"]
    );
    println!(
        "  jobs        {} locked, {} quoted, {} settled",
        jobs["locked"], jobs["quoted"], jobs["settled"]
    );
    let tokens = &found["tokens"];
    println!(
        "  tokens      {} in, {} out, {} from cache",
        tokens["in"], tokens["out"], tokens["cached"]
    );
    println!(
        "  money       {} settled before fees, {} vouched and unclaimed",
        sol(&found["settled"]),
        sol(&found["unclaimed"])
    );
    println!("  memory      {} MiB", found["memory_bytes"].as_u64().unwrap_or(0) >> 20);
}

fn print_model(found: &Value) {
    let word = |name: &str| found[name].as_str().unwrap_or("?").to_owned();
    println!("  model       {} {}, {}", word("model"), word("quantisation"), word("state"));
    let prices = &found["prices"];
    println!(
        "  prices      {} in, {} out for a million tokens, at least {} a job, in lamports",
        prices["input_per_mtok"], prices["output_per_mtok"], prices["charge_min"]
    );
}

fn status_name(record: &Record) -> &'static str {
    match record.status() {
        WorkerStatus::Active => "in the market",
        WorkerStatus::Retiring => "leaving the market",
    }
}

fn percent(bps: &Value) -> String {
    let bps = bps.as_u64().unwrap_or(0);
    format!("{}.{:02} %", bps / 100, bps % 100)
}
