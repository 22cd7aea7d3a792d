//! Attack: a payout that can't be credited: an empty wallet that a small fee doesn't keep alive, an account that the
//! runtime keeps read-only, the program itself.
//! Gain: by one setting, or one mistake, nobody claims, sweeps or retires any more.
//! Stopped by: claims fill the worker's record, sweeps the treasury, both the program's own; only the last step meets
//! the payout, one part at a time, and it holds up nobody else.

use chainference_chain::accounts::*;
use chainference_chain::{PROGRAM_ID, Pubkey, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_payout_that_takes_nothing_holds_up_nobody() {
    let clock: Pubkey = "SysvarC1ock11111111111111111111111111111111".parse().unwrap();
    let empty = key("nobody's wallet").pubkey();
    for (payout, refusal) in [
        (empty, "InsufficientFundsForRent { account_index: 2 }"),
        (clock, "ConstraintMut"),
        (PROGRAM_ID, "ConstraintMut"),
    ] {
        for (broken, whole) in
            [(FeePart::Platform, FeePart::Stakers), (FeePart::Stakers, FeePart::Platform)]
        {
            check(payout, broken, whole, refusal);
        }
    }
}

/// A market whose `broken` part goes to `payout`: all that is not that payment works.
#[track_caller]
fn check(payout: Pubkey, broken: FeePart, whole: FeePart, refusal: &str) {
    let mut market = Market::with_preset(Preset::Far);
    let good = config(&market).payout(broken);
    update_config(&mut market, to(broken, payout));
    let job = market.paid_job();
    let [owner, stranger] =
        [&market.owner, &market.stranger].map(chainference_chain::Keypair::insecure_clone);
    let settings = config(&market);
    let broken_pay = instruction::withdraw_fees(broken, &settings);
    by_stranger(&mut market, instruction::sweep_fees(&job.terms.worker)).unwrap();
    denied(&mut market, &broken_pay, &stranger, refusal);
    by_stranger(&mut market, instruction::withdraw_fees(whole, &settings)).unwrap();
    by_stranger(&mut market, instruction::withdraw_earnings(&owner.pubkey())).unwrap();
    leave(&mut market, &owner);
    market.send(&[instruction::retire_worker(&owner.pubkey())], &owner, &[]).unwrap();
    // Nothing is lost: the admin names another payout, and all of it arrives.
    update_config(&mut market, to(broken, good));
    let (before, settings) = (market.balance(&good), config(&market));
    by_stranger(&mut market, instruction::withdraw_fees(broken, &settings)).unwrap();
    assert_eq!(market.balance(&good), before + 1_200);
}

fn to(part: FeePart, payout: Pubkey) -> UpdateConfigArgs {
    match part {
        FeePart::Platform => {
            UpdateConfigArgs { platform_payout: Some(payout), ..Default::default() }
        }
        FeePart::Stakers => UpdateConfigArgs { stakers_payout: Some(payout), ..Default::default() },
    }
}

#[test]
fn both_parts_may_go_to_one_account() {
    let mut market = Market::with_preset(Preset::Far);
    let platform = market.platform;
    update_config(&mut market, to(FeePart::Stakers, platform));
    market.paid_job();
    let (settings, before) = (config(&market), market.balance(&platform));
    let sweep = instruction::sweep_fees(&market.worker());
    by_stranger(&mut market, sweep).unwrap();
    for part in [FeePart::Platform, FeePart::Stakers] {
        by_stranger(&mut market, instruction::withdraw_fees(part, &settings)).unwrap();
    }
    assert_eq!(market.balance(&platform), before + 2_400);
    market.check_conservation();
}
