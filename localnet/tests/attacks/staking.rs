//! Attack: stake is bought for one transaction around a sweep, and the stakers' fees are shared with it (flash
//! staking). Gain: fees of others' time at no risk. Stopped by: this program shares nothing out: the stakers' part
//! goes whole to the one payout that the market names, whoever sends it and whenever. What divides it later must
//! count stake from the next epoch on; that is no part of this program.

use chainference_chain::accounts::*;
use chainference_chain::{Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn whoever_sweeps_gains_nothing_by_it() {
    let mut market = Market::with_preset(Preset::Far);
    market.paid_job();
    let stranger = market.stranger.insecure_clone();
    let (settings, worker) = (config(&market), market.worker());
    let sweep = instruction::sweep_fees(&worker);
    let pay = instruction::withdraw_fees(FeePart::Stakers, &settings);
    let to_sender = with_account(&pay, 2, stranger.pubkey());
    refused(&mut market, &[sweep.clone(), to_sender], &[&stranger], "WrongDestination");
    let (before, payout_before) =
        (market.balance(&stranger.pubkey()), market.balance(&market.stakers));
    let fees = market.fees;
    market.send(&[sweep, pay], &stranger, &[]).unwrap();
    assert_eq!(market.balance(&stranger.pubkey()), before - (market.fees - fees));
    assert_eq!(market.balance(&market.stakers), payout_before + 1_200, "all of it");
}
