//! Attack: the rent of a closed account, or money that is paid out, goes to somebody else: whoever sends the
//! transaction.
//! Gain: two million lamports a job.
//! Stopped by: each destination is the one that the account itself names.

use chainference_chain::accounts::*;
use chainference_chain::{Instruction, Keypair, Pubkey, Signer, instruction};

use crate::common::*;
use crate::support::*;

/// A payment to `owed` at the account `at`: refused to each thief, then made, and it is exactly what lay there.
#[track_caller]
fn check(market: &mut Market, payment: &Instruction, sender: &Keypair, at: usize, gone: &Pubkey) {
    let owed = payment.accounts[at].pubkey;
    let thieves = [&market.stranger, &market.admin, &market.operator].map(|key| key.pubkey());
    for thief in thieves.into_iter().filter(|thief| *thief != owed) {
        let stolen = with_account(payment, at, thief);
        denied(market, &stolen, sender, "WrongDestination");
    }
    let (before, lay, fees) = (market.balance(&owed), market.balance(gone), market.fees);
    market.send(std::slice::from_ref(payment), sender, &[]).unwrap();
    let fee = if sender.pubkey() == owed { market.fees - fees } else { 0 };
    assert_eq!(market.balance(&owed) + fee, before + lay - market.balance(gone));
    assert!(lay > market.balance(gone), "something was paid");
}

#[test]
fn a_job_s_rent_returns_to_who_published_it() {
    let mut market = Market::new();
    let jobs = [market.paid_job(), market.paid_job(), published_by_owner(&mut market)];
    market.claim(&jobs[2], PAID, true).unwrap();
    let [stranger, gateway] = [&market.stranger, &market.gateway].map(Keypair::insecure_clone);
    // The delegate is dismissed before: the rent is still its own.
    let wallet = market.wallet.insecure_clone();
    let nobody = instruction::set_delegate(&wallet.pubkey(), delegation(None));
    market.warp(CLOSE_SLOTS, 0);
    let by_client = market.close_instruction(&jobs[0], &gateway.pubkey(), Feedback::NONE);
    check(&mut market, &by_client, &gateway, 3, &jobs[0].address);
    market.send(&[nobody], &wallet, &[]).unwrap();
    market.warp_past_closing();
    for job in &jobs[1..] {
        let close = market.close_instruction(job, &stranger.pubkey(), Feedback::NONE);
        check(&mut market, &close, &stranger, 3, &job.address);
    }
    market.check_conservation();
}

#[test]
fn compared_jobs_return_their_rent_each_to_its_own() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let one = published_by_owner(&mut market);
    let two = market.locked_job_between(&client, &other);
    for job in [&one, &two] {
        market.claim(job, PAID, true).unwrap();
    }
    market.warp(CLOSE_SLOTS, 0);
    let comparison = compare(&client.gateway.pubkey(), &one, &two, Preferred::First);
    let thief = market.stranger.pubkey();
    for (at, to) in [(6, thief), (7, thief), (6, two.terms.authority), (7, one.terms.authority)] {
        let stolen = with_account(&comparison, at, to);
        denied(&mut market, &stolen, &client.gateway, "WrongDestination");
    }
    let rents = [&one, &two].map(|job| market.balance(&job.address));
    let [wallet, gateway] =
        [&client.wallet, &client.gateway].map(|key| market.balance(&key.pubkey()));
    market.send(&[comparison], &client.gateway, &[]).unwrap();
    assert_eq!(market.balance(&client.wallet.pubkey()), wallet + rents[0]);
    assert_eq!(market.balance(&client.gateway.pubkey()), gateway + rents[1] - FEE_PER_SIGNATURE);
}

#[test]
fn an_offer_s_rent_returns_to_the_key_that_posted_it() {
    let mut market = Market::new();
    let [owner, operator] = [&market.owner, &market.operator].map(Keypair::insecure_clone);
    let post =
        instruction::post_offer(&operator.pubkey(), &market.worker(), offer_args(("m", "q")));
    market.send(&[post], &operator, &[]).unwrap();
    let by_operator = address::offer(&market.worker(), "m", "q");
    let retract = instruction::retract_offer(&owner.pubkey(), &by_operator, &operator.pubkey());
    let to_owner = with_account(&retract, 3, owner.pubkey());
    denied(&mut market, &to_owner, &owner, "WrongDestination");
    check(&mut market, &retract, &owner, 3, &by_operator);
    let by_owner = market.offer();
    let retract = instruction::retract_offer(&owner.pubkey(), &by_owner, &owner.pubkey());
    check(&mut market, &retract, &owner, 3, &by_owner);
}

#[test]
fn earnings_and_fees_go_where_they_belong_whoever_sends_them() {
    let mut market = Market::with_preset(Preset::Far);
    market.paid_job();
    let stranger = market.stranger.insecure_clone();
    let worker = market.worker();
    let earnings = instruction::withdraw_earnings(&market.owner.pubkey());
    check(&mut market, &earnings, &stranger, 1, &worker);
    by_stranger(&mut market, instruction::sweep_fees(&worker)).unwrap();
    let config = config(&market);
    let [platform, stakers] =
        [FeePart::Platform, FeePart::Stakers].map(|part| instruction::withdraw_fees(part, &config));
    for (payment, other) in [(&platform, market.stakers), (&stakers, market.platform)] {
        let crossed = with_account(payment, 2, other);
        denied(&mut market, &crossed, &stranger, "WrongDestination");
        check(&mut market, payment, &stranger, 2, &address::treasury());
    }
    market.check_conservation();
}

/// A locked job whose rent the cold key paid.
fn published_by_owner(market: &mut Market) -> TestJob {
    let (mut terms, session) = market.terms();
    let wallet = market.wallet.insecure_clone();
    let operator = market.operator.insecure_clone();
    terms.authority = wallet.pubkey();
    let publish = instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
    let job = TestJob { address: terms.job(), session, terms };
    let lock = market.lock_instruction(&job);
    market.send(&[publish, lock], &wallet, &[&operator]).unwrap();
    job
}
