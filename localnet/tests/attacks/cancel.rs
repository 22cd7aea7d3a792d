//! Attack: the client takes its stake back once the answer is there: by cancel, by an early expire, by an old voucher
//! of its own.
//! Gain: free inference.
//! Stopped by: cancel is for Open jobs alone; from the lock to `claim_until` only the worker ends a job.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Lamports, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_client_can_not_take_back_what_is_locked() {
    let mut market = Market::new();
    let (open, locked) = (market.open_job(), market.locked_job());
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let vault = market.vault();
    for client in [&wallet, &gateway] {
        let cancel = instruction::cancel(&client.pubkey(), &vault, &locked.address);
        denied(&mut market, &cancel, client, "WrongStatus");
        let expire = instruction::expire(&vault, &locked.address, Some(locked.terms.worker));
        denied(&mut market, &expire, client, "TooEarlyToExpire");
        let close = market.close_instruction(&locked, &client.pubkey(), Feedback::NONE);
        denied(&mut market, &close, client, "WrongStatus");
        // Nor claim in the worker's name with a voucher that it signed itself, for next to nothing.
        let mut claim = locked.claim(Some(totals(1, 0)), true);
        claim.operator = client.pubkey();
        denied(&mut market, &instruction::claim(&claim), client, "NotOperator");
    }
    let all = instruction::withdraw(&wallet.pubkey(), Lamports(DEPOSIT));
    denied(&mut market, &all, &wallet, "InsufficientBalance");
    market.claim(&locked, totals(1_000_000, 0), true).unwrap();
    assert_eq!(market.load_job(&locked).credited, 600_000, "all that was vouched");
    let cancel = instruction::cancel(&gateway.pubkey(), &vault, &open.address);
    market.send(&[cancel], &gateway, &[]).unwrap();
    assert_eq!(market.load::<Vault>(&vault).reserved, 0);
}

#[test]
fn finish_leaves_the_worker_its_grace() {
    let mut market = Market::new();
    let job = market.locked_job();
    let gateway = market.gateway.insecure_clone();
    let finish = instruction::finish(&gateway.pubkey(), &job.terms.vault, &job.address);
    let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    refused(&mut market, &[finish.clone(), expire.clone()], &[&gateway], "TooEarlyToExpire");
    market.send(&[finish], &gateway, &[]).unwrap();
    market.warp(1, i64::from(GRACE_S) - 1);
    denied(&mut market, &expire, &gateway, "TooEarlyToExpire");
    market.claim(&job, PAID, true).unwrap();
    assert_eq!(market.load_job(&job).credited, 6_000);
}
