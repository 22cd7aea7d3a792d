//! Attack: a worker sees a publish and locks it before the one that it was meant for; or a client takes a job back in
//! front of the lock.
//! Gain: somebody else's customers; a quote that was held for nothing.
//! Stopped by: a job can name its workers; in the open market the first lock stands; and who has agreed publishes and
//! locks in one transaction that both signed.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_job_that_names_its_worker_is_locked_by_no_other() {
    let mut market = Market::new();
    let (other, gateway) = (market.second_provider(), market.gateway.insecure_clone());
    let operator = market.operator.insecure_clone();
    let (terms, session) = market.terms();
    let mut args = publish_args(&terms);
    args.allowed = vec![terms.worker];
    let publish = instruction::publish(&gateway.pubkey(), &terms.vault, args);
    market.send(&[publish], &gateway, &[]).unwrap();
    let job = TestJob { address: terms.job(), session, terms };
    let (key, worker) = (other.operator.pubkey(), other.worker());
    let first = instruction::lock(&key, &worker, &other.offer(), &job.terms.vault, &job.address);
    denied(&mut market, &first, &other.operator, "WorkerNotAllowed");
    let lock = market.lock_instruction(&job);
    market.send(&[lock], &operator, &[]).unwrap();
}

#[test]
fn in_the_open_market_the_first_lock_stands() {
    let mut market = Market::new();
    let (job, other) = (market.open_job(), market.second_provider());
    let operator = market.operator.insecure_clone();
    let (key, worker) = (other.operator.pubkey(), other.worker());
    let first = instruction::lock(&key, &worker, &other.offer(), &job.terms.vault, &job.address);
    market.send(&[first], &other.operator, &[]).unwrap();
    let second = market.lock_instruction(&job);
    denied(&mut market, &second, &operator, "WrongStatus");
    let mut claim = job.claim(Some(PAID), true);
    denied(&mut market, &instruction::claim(&claim), &operator, "WrongWorker");
    (claim.operator, claim.worker) = (key, worker);
    market.send(&[instruction::claim(&claim)], &other.operator, &[]).unwrap();
}

#[test]
fn nobody_comes_between_publish_and_lock() {
    let mut market = Market::new();
    let (terms, _) = market.terms();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    // The client publishes the same job by itself, in front of the transaction that both signed: that one then fails as
    // a whole, and the worker has locked nothing that it did not quote.
    let mut early = market.fork();
    let publish = instruction::publish(&gateway.pubkey(), &terms.vault, publish_args(&terms));
    early.send(&[publish], &gateway, &[]).unwrap();
    let lock = market.lock_instruction(&TestJob {
        address: terms.job(),
        session: gateway.insecure_clone(),
        terms: terms.clone(),
    });
    let cancel = instruction::cancel(&gateway.pubkey(), &terms.vault, &terms.job());
    refused(&mut early, &[cancel, lock], &[&gateway, &operator], "WrongStatus");
    let mut quoted = terms.clone();
    quoted.blockhash = early.blockhash().hash;
    assert_eq!(early.lock_on(&quoted), Err("InstructionError(0, Custom(0))".into()), "taken");
    assert_eq!(early.load::<Worker>(&early.worker()).live_jobs, 0);
    market.lock_on(&terms).unwrap();
    assert_eq!(market.load::<Worker>(&market.worker()).live_jobs, 1);
}
