//! Attack: a party whose wallet can't be credited takes other people's settlements with it: a small payment to an empty
//! wallet fails for rent, and with it the whole transaction. Gain: jobs that can't be claimed or refunded.
//! Stopped by: settlement credits accounts of the program's own alone; wallets are paid by instructions of their own.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Pubkey, Signer, instruction};

use crate::catalogue;
use crate::common::*;
use crate::support::*;

#[test]
fn a_settlement_touches_no_wallet() {
    let mut settlements = 0;
    for case in catalogue::all() {
        let settles = ["lock", "claim", "finish", "cancel", "expire", "top_up", "sweep_fees"];
        if !settles.iter().any(|verb| case.name.trim_start_matches("final ").starts_with(verb)) {
            continue;
        }
        let records = case.records();
        for (at, meta) in case.instruction.accounts.iter().enumerate() {
            let is_ours = records.contains(&at);
            assert!(is_ours || !meta.is_writable, "{}: account {at} is a wallet", case.name);
        }
        settlements += 1;
    }
    assert!(settlements >= 7);
}

#[test]
fn an_empty_wallet_stops_no_claim_and_no_refund() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let [owner, wallet, stranger] =
        [&market.owner, &market.wallet, &market.stranger].map(Keypair::insecure_clone);
    for poor in [&owner, &wallet] {
        empty(&mut market, poor, &stranger.pubkey());
    }
    // Two workers' claims in one transaction, one of them for an empty wallet: neither blocks the other.
    let (client, second) = (market.second_client(), market.second_provider());
    let elsewhere = market.locked_job_between(&client, &second);
    let operator = market.operator.insecure_clone();
    let both = [&job, &elsewhere].map(|job| instruction::claim(&job.claim(Some(PAID), true)));
    market.send(&both, &operator, &[&second.operator]).unwrap();
    assert_eq!(market.load::<Worker>(&market.worker()).earnings, 5_400);
    // The wallet can't take so little; the record keeps it until it is enough.
    let earnings = instruction::withdraw_earnings(&owner.pubkey());
    let poor = "InsufficientFundsForRent { account_index: 2 }";
    denied(&mut market, &earnings, &stranger, poor);
    market.claim(&other, totals(1_666_666, 0), true).unwrap();
    market.send(&[earnings], &stranger, &[]).unwrap();
    assert_eq!(market.balance(&owner.pubkey()), 5_400 + 900_000);
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);
}

/// Sends away all that a wallet has, the fee included.
fn empty(market: &mut Market, wallet: &Keypair, to: &Pubkey) {
    let all = market.balance(&wallet.pubkey()) - FEE_PER_SIGNATURE;
    market.send(&[transfer(&wallet.pubkey(), to, all)], wallet, &[]).unwrap();
    assert!(!market.exists(&wallet.pubkey()));
}
