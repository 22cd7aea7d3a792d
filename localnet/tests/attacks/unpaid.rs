//! Attack: jobs that are locked and never paid: published, locked, let expire; or let go; or paid with nothing.
//! Gain: a cheap hit on any worker's name, or a cheap good name of one's own.
//! Stopped by: a job with nothing paid moves no counter, and nobody can say anything about it.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_job_with_nothing_paid_moves_nothing() {
    let mut market = Market::new();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    let before = market.load::<Worker>(&market.worker()).reputation;
    let (expired, let_go, empty) = (market.locked_job(), market.locked_job(), market.locked_job());
    let release = instruction::claim(&let_go.claim(None, true));
    let nothing = instruction::claim(&empty.claim(Some(totals(0, 0)), true));
    market.send(&[release, nothing], &operator, &[]).unwrap();
    market.go_to(market.load_job(&expired).claim_until_unix_s);
    let expire = instruction::expire(&expired.terms.vault, &expired.address, Some(market.worker()));
    by_stranger(&mut market, expire).unwrap();
    market.warp(CLOSE_SLOTS, 0);
    let key = gateway.pubkey();
    let opinions = [
        Feedback { verdict: Verdict::Ok, ..Feedback::NONE },
        FLAG,
        Feedback { speed_bps: Some(0), ..Feedback::NONE },
        Feedback { audit_passed: Some(false), ..Feedback::NONE },
    ];
    for job in [&expired, &let_go, &empty] {
        for opinion in opinions {
            let close = market.close_instruction(job, &key, opinion);
            denied(&mut market, &close, &gateway, "NothingPaid");
        }
        let close = market.close_instruction(job, &key, Feedback::NONE);
        market.send(&[close], &gateway, &[]).unwrap();
    }
    assert_eq!(market.load::<Worker>(&market.worker()).reputation, before);
    // One lamport's worth is a job that counts.
    let paid = market.paid_job();
    market.warp(CLOSE_SLOTS, 0);
    let close = market.close_instruction(&paid, &key, FLAG);
    market.send(&[close], &gateway, &[]).unwrap();
    let after = market.load::<Worker>(&market.worker()).reputation;
    assert_eq!((after.jobs_flagged, after.fees_flagged), (1, 600));
}

#[test]
fn an_unpaid_job_is_compared_with_none() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let operator = market.operator.insecure_clone();
    let paid = market.locked_job_between(&client, &other);
    market.claim(&paid, PAID, true).unwrap();
    let unpaid = market.locked_job();
    market.send(&[instruction::claim(&unpaid.claim(None, true))], &operator, &[]).unwrap();
    let paid_too = market.paid_job();
    market.warp(CLOSE_SLOTS, 0);
    let key = client.gateway.pubkey();
    for preferred in [Preferred::First, Preferred::Second] {
        let hit = compare(&key, &unpaid, &paid, preferred);
        denied(&mut market, &hit, &client.gateway, "NothingPaid");
        let hit = compare(&key, &paid, &unpaid, preferred);
        denied(&mut market, &hit, &client.gateway, "NothingPaid");
    }
    let fair = compare(&key, &paid, &paid_too, Preferred::First);
    market.send(&[fair], &client.gateway, &[]).unwrap();
}
