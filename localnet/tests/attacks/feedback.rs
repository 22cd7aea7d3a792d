//! Attack: feedback on a job by who didn't pay for it, twice, on another worker's record, or out of range; a
//! comparison of what can't be compared.
//! Gain: a rival's name.
//! Stopped by: only the client speaks, once, as it closes the job, and what it says goes to the record of the job's
//! own worker.

use chainference_chain::accounts::*;
use chainference_chain::{Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn only_the_client_speaks_and_only_of_its_worker() {
    let mut market = Market::new();
    let job = market.paid_job();
    let other = market.second_provider();
    market.warp_past_closing();
    let gateway = market.gateway.insecure_clone();
    let thieves = [
        market.stranger.insecure_clone(),
        market.operator.insecure_clone(),
        market.owner.insecure_clone(),
        market.admin.insecure_clone(),
        market.second_client().gateway,
    ];
    let praise = Feedback { verdict: Verdict::Ok, ..Feedback::NONE };
    for thief in &thieves {
        for opinion in [praise, FLAG] {
            let close = market.close_instruction(&job, &thief.pubkey(), opinion);
            denied(&mut market, &close, thief, "NotClient");
        }
    }
    let genuine = market.close_instruction(&job, &gateway.pubkey(), FLAG);
    let on_another = with_account(&genuine, 4, other.worker());
    denied(&mut market, &on_another, &gateway, "WrongWorker");
    let on_nobody = with_account(&genuine, 4, chainference_chain::PROGRAM_ID);
    denied(&mut market, &on_nobody, &gateway, "WrongWorker");
    let too_fast = Feedback { speed_bps: Some(10_001), ..Feedback::NONE };
    let too_fast = market.close_instruction(&job, &gateway.pubkey(), too_fast);
    denied(&mut market, &too_fast, &gateway, "BadFeedback");
    market.send(&[genuine], &gateway, &[]).unwrap();
    assert_eq!(market.load::<Worker>(&market.worker()).reputation.jobs_flagged, 1);
    assert_eq!(market.load::<Worker>(&other.worker()).reputation.jobs_flagged, 0);
}

#[test]
fn a_job_is_spoken_of_once() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let (one, three) = (market.paid_job(), market.paid_job());
    let two = market.locked_job_between(&client, &other);
    market.claim(&two, PAID, true).unwrap();
    market.warp(CLOSE_SLOTS, 0);
    let key = client.gateway.pubkey();
    let flag = market.close_instruction(&one, &key, FLAG);
    let gone = "AccountOwnedByWrongProgram";
    refused(&mut market, &[flag.clone(), flag.clone()], &[&client.gateway], gone);
    let comparison = compare(&key, &one, &two, Preferred::Second);
    let both = [flag.clone(), comparison.clone()];
    refused(&mut market, &both, &[&client.gateway], gone);
    market.send(std::slice::from_ref(&comparison), &client.gateway, &[]).unwrap();
    for again in [flag, comparison, compare(&key, &three, &two, Preferred::First)] {
        denied(&mut market, &again, &client.gateway, gone);
    }
    let reputation = market.load::<Worker>(&market.worker()).reputation;
    assert_eq!((reputation.jobs_flagged, reputation.jobs_compared), (0, 1));
}

#[test]
fn only_like_is_compared_with_like() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let other_client = market.second_client();
    let one = market.paid_job();
    let [two, elsewhere, dearer_model] = [
        market.locked_job_between(&client, &other),
        market.locked_job_between(&other_client, &other),
        of_another_model(&mut market, &client, &other),
    ];
    let live = market.locked_job_between(&client, &other);
    for job in [&two, &elsewhere, &dearer_model] {
        market.claim(job, PAID, true).unwrap();
    }
    let too_early = compare(&client.gateway.pubkey(), &one, &two, Preferred::First);
    denied(&mut market, &too_early, &client.gateway, "TooEarlyToClose");
    market.warp(CLOSE_SLOTS, 0);
    let key = client.gateway.pubkey();
    for (wrong, refusal) in [
        (compare(&key, &one, &dearer_model, Preferred::First), "NotComparable"),
        (compare(&key, &one, &elsewhere, Preferred::First), "WrongVault"),
        (compare(&key, &one, &live, Preferred::First), "WrongStatus"),
    ] {
        denied(&mut market, &wrong, &client.gateway, refusal);
    }
    let by_other = compare(&other_client.gateway.pubkey(), &one, &two, Preferred::First);
    denied(&mut market, &by_other, &other_client.gateway, "NotClient");
    market.send(&[too_early], &client.gateway, &[]).unwrap();
}

#[test]
fn a_dear_job_is_not_judged_by_a_cheap_one() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let dear = market.locked_job();
    let cheap = market.locked_job_between(&client, &other);
    market.claim(&dear, totals(1_000_000, 0), true).unwrap();
    market.claim(&cheap, totals(1, 0), true).unwrap();
    market.warp(CLOSE_SLOTS, 0);
    let judged = compare(&client.gateway.pubkey(), &dear, &cheap, Preferred::Second);
    market.send(&[judged], &client.gateway, &[]).unwrap();
    for (worker, preferred) in [(market.worker(), 0), (other.worker(), 200)] {
        let reputation = market.load::<Worker>(&worker).reputation;
        assert_eq!((reputation.fees_compared, reputation.fees_preferred), (200, preferred));
    }
}

/// A locked job of a model that only this worker's second offer is for.
fn of_another_model(market: &mut Market, client: &Client, provider: &Provider) -> TestJob {
    let (key, worker) = (provider.owner.pubkey(), provider.worker());
    let args = offer_args(("example/Other", "Q4_1"));
    let post = instruction::post_offer(&key, &worker, args);
    market.send(&[post], &provider.owner, &[]).unwrap();
    let (mut terms, session) = market.terms_between(client, provider);
    terms.offer = address::offer(&worker, "example/Other", "Q4_1");
    terms.model_hash = model_hash("example/Other", "Q4_1");
    market.lock_between(&terms, client, provider).unwrap();
    TestJob { address: terms.job(), session, terms }
}
