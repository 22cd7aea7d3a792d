//! Parts that run alone: a client of its own on another's market.

use std::{
    fs::File,
    process::{Child, Stdio},
};

use chainference_chain::address;
use chainference_e2e::{
    client::{QUESTION, chat, post},
    eventually,
    market::{Market, Place, block_on},
    process,
};
use nix::sys::signal::Signal;
use serde_json::json;

const SOL: u64 = 1_000_000_000;

/// A gateway that is ended like by a service manager.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = process::try_send(self.0.id(), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn start_gateway(place: &Place, market: &Market) -> Gateway {
    let log = File::create(place.home().join("gateway.out")).expect("a file");
    let mut command = place.command(&["gateway", "--allow-private-endpoints", "true"]);
    command
        .args(["--rpc-url", &market.rpc_url(), "--ws-url", &market.ws_url()])
        .args(["--gateway-listen", &format!("127.0.0.1:{}", place.gateway)]);
    let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("a gateway");
    eventually("it has made its key", 20, || place.home().join("api-key").exists().then_some(()));
    Gateway(child)
}

#[test]
fn gateway_of_another_home_pays_from_its_own_vault() {
    let market = Market::new();
    let stranger = Place::new();
    let chain = ["--rpc-url".to_owned(), market.rpc_url(), "--ws-url".to_owned(), market.ws_url()];
    let wallet = |args: &[&str]| {
        let mut command = stranger.command(&["wallet"]);
        command.args(args).args(&chain).output().expect("it runs")
    };

    let poor = wallet(&["deposit", "1sol"]);
    let said = String::from_utf8_lossy(&poor.stderr).into_owned();
    assert!(!poor.status.success() && said.contains("send SOL to"), "{said}");

    let shown = wallet(&["--json"]).stdout;
    let keys: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
    for name in ["wallet", "gateway"] {
        market.rpc("requestAirdrop", json!([keys["keys"][name]["address"], 2 * SOL]));
    }
    let rich = eventually("the airdrop has landed", 20, || {
        Some(wallet(&["deposit", "1sol"])).filter(|deposit| deposit.status.success())
    });
    assert!(String::from_utf8_lossy(&rich.stdout).contains("Deposited 1 SOL"), "{rich:?}");

    let gateway = start_gateway(&stranger, &market);
    let body = chat(QUESTION, json!({})).to_string();
    let answer = eventually("an answer", 30, || {
        Some(post(&stranger, &stranger.key(), &body)).filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.body["choices"][0]["message"]["content"], "The capital of France is Paris.");
    assert_eq!(stranger.jobs()[0]["mode"], "session", "where fees are real, calls share a job");
    // A gateway that ends settles what it has open.
    drop(gateway);
    let job = eventually("the job is settled", 30, || {
        stranger.jobs().into_iter().find(|job| job["status"] == "settled")
    });

    let owner = keys["keys"]["wallet"]["address"].as_str().expect("an address");
    let vault = address::vault(&owner.parse().expect("base58"));
    let held = block_on(market.chain().balance(&vault)).expect("a balance").0;
    let rent = keys_rent(&wallet(&["--json"]).stdout);
    assert_eq!(held, SOL + rent - job["paid"].as_u64().expect("lamports"));
    assert_eq!(market.jobs().len(), 0, "the market's own gateway has nothing to do with it");
}

fn keys_rent(wallet: &[u8]) -> u64 {
    let wallet: serde_json::Value = serde_json::from_slice(wallet).expect("JSON");
    wallet["vault"]["rent"].as_u64().expect("lamports")
}
