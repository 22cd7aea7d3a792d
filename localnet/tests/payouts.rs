//! Where money, rent and praise go, and where not.

mod common;

use chainference_chain::accounts::{
    Config, FeePart, Preferred, UpdateConfigArgs, Worker, model_hash,
};
use chainference_chain::instruction::{self, Compared};
use chainference_chain::{Instruction, Keypair, Pubkey, Signer, address};
use chainference_market::Reputation;
use common::*;

/// The instruction with another account in one place.
fn with(mut instruction: Instruction, place: usize, key: Pubkey) -> Instruction {
    instruction.accounts[place].pubkey = key;
    instruction
}

#[test]
fn payouts_go_only_where_they_belong() {
    let mut market = Market::with_preset(Preset::Far);
    market.paid_job();
    let thief = market.stranger.insecure_clone();
    let (owner, worker) = (market.owner.pubkey(), market.worker());
    market.send(&[instruction::sweep_fees(&worker)], &thief, &[]).unwrap();
    let config = market.load::<Config>(&address::config());
    let earnings = instruction::withdraw_earnings(&owner);
    let fees = |part| instruction::withdraw_fees(part, &config);
    let wrong = [
        with(earnings.clone(), 1, thief.pubkey()),
        with(fees(FeePart::Platform), 2, thief.pubkey()),
        with(fees(FeePart::Platform), 2, config.stakers_payout),
        with(fees(FeePart::Stakers), 2, config.platform_payout),
    ];
    for payout in wrong {
        refused(&mut market, &[payout], &[&thief], "WrongDestination");
    }
    // Once each: what was paid is owed no more.
    let all = [
        earnings,
        fees(FeePart::Platform),
        fees(FeePart::Stakers),
        instruction::sweep_fees(&worker),
    ];
    market.send(&all[..3], &thief, &[]).unwrap();
    for payout in all {
        refused(&mut market, &[payout], &[&thief], "NothingOwed");
    }
    let got = [market.platform, market.stakers].map(|key| market.balance(&key) - SOL);
    assert_eq!(got, [1_200, 1_200]);
    market.check_conservation();
}

#[test]
fn an_empty_payout_holds_up_neither_the_other_nor_a_retirement() {
    let mut market = Market::with_preset(Preset::Far);
    let stranger = market.stranger.insecure_clone();
    let empty = key("nobody").pubkey();
    market.configure(UpdateConfigArgs { platform_payout: Some(empty), ..Default::default() });
    market.paid_job();
    let config = market.load::<Config>(&address::config());
    market.send(&[instruction::sweep_fees(&market.worker())], &stranger, &[]).unwrap();
    let fees = |part| [instruction::withdraw_fees(part, &config)];
    // 1,200 lamports are less than the rent of an empty account.
    let refusal = market.send(&fees(FeePart::Platform), &stranger, &[]).unwrap_err();
    assert!(refusal.contains("InsufficientFundsForRent"), "{refusal}");
    market.send(&fees(FeePart::Stakers), &stranger, &[]).unwrap();
    let record: Worker = market.load(&market.worker());
    assert_eq!((record.fees_platform, record.fees_stakers), (0, 0), "nothing holds the worker");
}

#[test]
fn rent_goes_back_to_who_paid_it() {
    let mut market = Market::new();
    let [wallet, gateway, owner, operator] =
        [&market.wallet, &market.gateway, &market.owner, &market.operator]
            .map(Keypair::insecure_clone);
    let job = market.paid_job();
    market.warp_past_closing();
    let close = market.close_instruction(&job, &wallet.pubkey(), Feedback::NONE);
    refused(
        &mut market,
        &[with(close.clone(), 3, wallet.pubkey())],
        &[&wallet],
        "WrongDestination",
    );
    let (rent, before) = (market.balance(&job.address), market.balance(&gateway.pubkey()));
    market.send(&[close], &wallet, &[]).unwrap();
    assert_eq!(market.balance(&gateway.pubkey()), before + rent);

    // An offer that the operator posted.
    let worker = market.worker();
    let post = instruction::post_offer(&operator.pubkey(), &worker, offer_args(OTHER_MODEL));
    market.send(&[post], &operator, &[]).unwrap();
    let offer = address::offer(&worker, OTHER_MODEL.0, OTHER_MODEL.1);
    let retract = |payer| instruction::retract_offer(&owner.pubkey(), &offer, &payer);
    refused(&mut market, &[retract(owner.pubkey())], &[&owner], "WrongDestination");
    let (rent, before) = (market.balance(&offer), market.balance(&operator.pubkey()));
    market.send(&[retract(operator.pubkey())], &owner, &[]).unwrap();
    assert_eq!(market.balance(&operator.pubkey()), before + rent);
    market.check_conservation();
}

#[test]
fn feedback_is_for_what_was_paid_and_of_the_jobs_worker() {
    let mut market = Market::new();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    let (paid, unpaid) = (market.paid_job(), market.locked_job());
    market.send(&[instruction::claim(&unpaid.claim(None, true))], &operator, &[]).unwrap();
    market.warp_past_closing();
    let say = |speed_bps, audit_passed| Feedback { speed_bps, audit_passed, ..Feedback::NONE };
    for feedback in [OK, FLAG, say(Some(0), None), say(None, Some(false))] {
        let close = |job| market.close_instruction(job, &gateway.pubkey(), feedback);
        let (of_paid, of_unpaid) = (close(&paid), close(&unpaid));
        refused(&mut market, &[of_unpaid], &[&gateway], "NothingPaid");
        let other = market.second_provider().worker();
        refused(&mut market, &[with(of_paid.clone(), 4, other)], &[&gateway], "WrongWorker");
        // The program's own address stands for no account.
        let nobody = with(of_paid, 4, chainference_chain::PROGRAM_ID);
        refused(&mut market, &[nobody], &[&gateway], "WrongWorker");
    }
    let too_fast = market.close_instruction(&paid, &gateway.pubkey(), say(Some(10_001), None));
    refused(&mut market, &[too_fast], &[&gateway], "BadFeedback");
    let fast = market.close_instruction(&paid, &gateway.pubkey(), say(Some(10_000), Some(true)));
    market.send(&[fast], &gateway, &[]).unwrap();
    let reputation: Reputation = market.load::<Worker>(&market.worker()).reputation.into();
    let weights = [reputation.fees_timed, reputation.fees_timed_fast];
    assert_eq!((weights, reputation.jobs_timed), ([600, 600], 1));
    let weights = [reputation.fees_audited, reputation.fees_audited_ok];
    assert_eq!((weights, reputation.jobs_audited, reputation.jobs_audited_ok), ([600, 600], 1, 1));
}

const OTHER_MODEL: (&str, &str) = ("example/Other-1B", "Q4_1");

/// A settled job of the first client; nothing is paid for it where nothing is vouched.
fn settled(market: &mut Market, provider: &Provider, model: (&str, &str), tokens: u64) -> TestJob {
    let client = market.client();
    let (mut terms, session) = market.terms_between(&client, provider);
    terms.offer = address::offer(&terms.worker, model.0, model.1);
    terms.model_hash = model_hash(model.0, model.1);
    market.lock_between(&terms, &client, provider).unwrap();
    let job = TestJob { address: terms.job(), session, terms };
    let claim = instruction::claim(&job.claim((tokens > 0).then(|| totals(tokens, 0)), true));
    market.send(&[claim], &provider.operator, &[]).unwrap();
    job
}

#[test]
fn only_jobs_of_two_workers_for_one_model_are_compared() {
    let mut market = Market::new();
    let gateway = market.gateway.insecure_clone();
    let (first, second) = (market.provider(), market.second_provider());
    let agent = &second.operator;
    let offer = offer_args(OTHER_MODEL);
    let post = instruction::post_offer(&agent.pubkey(), &second.worker(), offer);
    market.send(&[post], agent, &[]).unwrap();
    let [a, a_again] = [10_000; 2].map(|tokens| settled(&mut market, &first, MODEL, tokens));
    let [b, b_for_nothing] = [20_000, 0].map(|tokens| settled(&mut market, &second, MODEL, tokens));
    let b_of_another = settled(&mut market, &second, OTHER_MODEL, 10_000);
    market.warp_past_closing();
    let (vault, stranger) = (market.vault(), market.stranger.pubkey());
    let compare = |jobs: [&TestJob; 2]| {
        let compared = jobs.map(|job| Compared {
            job: job.address,
            worker: job.terms.worker,
            authority: job.terms.authority,
        });
        instruction::compare(&gateway.pubkey(), &vault, compared, Preferred::Second)
    };
    let wrong = [
        (compare([&a, &a]), "NotComparable"),
        (compare([&a, &a_again]), "NotComparable"),
        (compare([&a, &b_of_another]), "NotComparable"),
        (compare([&a, &b_for_nothing]), "NothingPaid"),
        (with(compare([&a, &b]), 6, stranger), "WrongDestination"),
        (with(compare([&a, &b]), 7, stranger), "WrongDestination"),
    ];
    for (instruction, refusal) in wrong {
        refused(&mut market, &[instruction], &[&gateway], refusal);
    }
    market.send(&[compare([&a, &b])], &gateway, &[]).unwrap();
    let weighed = [first.worker(), second.worker()].map(|worker| {
        let reputation: Reputation = market.load::<Worker>(&worker).reputation.into();
        (reputation.fees_compared, reputation.fees_preferred)
    });
    assert_eq!(weighed, [(600, 0), (600, 600)], "the smaller of the two fees");
    market.check_books();
    market.check_conservation();
}
