//! Every lamport: what a call costs, who gets it, what comes back, and what an empty vault says.

use chainference_chain::{Pubkey, address};
use chainference_e2e::{
    client::{Sdk, chat, post, sdk},
    eventually,
    history::{fee, transactions_of},
    market::{Market, Place, block_on},
    money::{Books, Keys, audit},
};
use chainference_market::{Prices, Shares, Totals};
use serde_json::{Value, json};

const PRICES: Prices =
    Prices { input_per_mtok: 700_000_003, output_per_mtok: 1_300_000_007, charge_min: 2_000 };
const SIGNATURE: u64 = 5_000;

fn cost(usage: &Value) -> u64 {
    let count = |name: &str| usage[name].as_u64().expect("a count");
    let totals =
        Totals { tokens_in: count("prompt_tokens"), tokens_out: count("completion_tokens") };
    PRICES.cost(totals).expect("no overflow").0
}

fn number(job: &Value, name: &str) -> u64 {
    job[name].as_u64().unwrap_or_else(|| panic!("no {name} in {job}"))
}

fn market(mode: &str) -> Market {
    Place::new()
        .with(&[
            "--mode",
            mode,
            "--price-in-per-mtok",
            "700000003",
            "--price-out-per-mtok",
            "1300000007",
            "--charge-min",
            "2000",
        ])
        .start()
}

#[test]
fn call_is_paid_and_its_rest_returned_to_the_lamport() {
    let market = market("strict");
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let answer = sdk(
        &market,
        Sdk::Python,
        "stream",
        &chat("What is the capital of France?", json!({"max_tokens": 24})),
    );
    let cost = cost(&answer["usage"]);
    assert!(cost > 2_000, "dear enough for the arithmetic to show: {answer}");

    let job = market.await_job("settled", 30);
    let settled = Books::take(&market, &keys);
    assert_eq!(number(&job, "paid"), cost);
    assert_eq!(number(&job, "refund"), number(&job, "stake") - cost);
    assert_eq!(before.vault - settled.vault, cost, "the vault pays the cost and nothing else");
    assert_eq!(settled.reserved, 0, "the rest is free again");
    let split = Shares::OPEN.split(chainference_market::Lamports(cost));
    assert_eq!(settled.worker - before.worker, cost);
    assert_eq!(settled.earnings - before.earnings, split.worker.0);
    assert_eq!(settled.fees_platform - before.fees_platform, split.platform.0);
    assert_eq!(settled.fees_stakers - before.fees_stakers, 0);
    assert_eq!(settled.jobs, number(&job, "rent"));
    assert_eq!(
        before.gateway - settled.gateway,
        2 * SIGNATURE + settled.jobs,
        "publish and lock in one transaction, and rent"
    );
    assert_eq!(
        before.worker_operator - settled.worker_operator,
        settled.operator_fees - before.operator_fees
    );

    let id: Pubkey = job["id"].as_str().expect("an address").parse().expect("base58");
    let fees: Vec<u64> = transactions_of(&market, &id).iter().map(fee).collect();
    assert_eq!(fees, [SIGNATURE, 2 * SIGNATURE], "one claim, one publish and lock");

    market.await_job("closed", 90);
    let closed = Books::take(&market, &keys);
    assert_eq!(closed.jobs, 0);
    assert_eq!(
        before.gateway - closed.gateway,
        3 * SIGNATURE,
        "all rent is back; the closing costs one signature"
    );
    assert_eq!((closed.vault, closed.worker), (settled.vault, settled.worker));
    assert_eq!(
        (closed.wallet, closed.worker_owner),
        (before.wallet, before.worker_owner),
        "cold keys are not touched"
    );
    for later in [&settled, &closed] {
        assert_eq!(later.total(), before.total(), "no lamport appears or is lost");
    }
    assert_eq!(block_on(market.chain().job(&id)).expect("answered"), None);
    audit(&market, &keys);
}

#[test]
fn earnings_reach_the_owner_and_a_withdrawal_the_wallet() {
    let market = market("auto");
    let keys = Keys::of(&market);
    post(&market, &market.key(), &chat("Say hello.", json!({"max_tokens": 5})).to_string());
    market.await_job("settled", 30);
    let before = Books::take(&market, &keys);
    assert!(before.earnings > 0);

    assert!(market.place.run(&["wallet", "earnings"]).status.success());
    let paid = Books::take(&market, &keys);
    assert_eq!(paid.worker_owner, before.worker_owner + before.earnings - SIGNATURE);
    assert_eq!((paid.earnings, paid.worker), (0, before.worker - before.earnings));

    assert!(market.place.run(&["wallet", "withdraw", "1sol"]).status.success());
    let withdrawn = Books::take(&market, &keys);
    assert_eq!(withdrawn.vault, paid.vault - 1_000_000_000);
    assert_eq!(withdrawn.wallet, paid.wallet + 1_000_000_000 - SIGNATURE);
    audit(&market, &keys);
}

#[test]
fn empty_vault_is_told_with_where_and_how_much_and_filled_by_hand() {
    let market = market("auto");
    let keys = Keys::of(&market);
    let free =
        market.place.json(&["wallet", "--json"])["vault"]["free"].as_u64().expect("lamports");
    let too_much = market.place.run(&["wallet", "withdraw", &(free + 1).to_string()]);
    assert!(!too_much.status.success(), "more than is free");
    assert!(market.place.run(&["wallet", "withdraw", &free.to_string()]).status.success());

    let body = chat("Say hello.", json!({"max_tokens": 5})).to_string();
    let answer = eventually("a 402", 20, || {
        Some(post(&market, &market.key(), &body)).filter(|answer| answer.status == 402)
    });
    let message = answer.body["error"]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains(&address::vault(&keys.wallet).to_string()), "{message}");
    assert!(message.contains("lamports"), "{message}");

    assert!(market.place.run(&["wallet", "deposit", "0.5sol"]).status.success());
    eventually("an answer again", 20, || {
        (post(&market, &market.key(), &body).status == 200).then_some(())
    });
}
