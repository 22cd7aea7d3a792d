//! How much one transaction carries: really run, each within a packet's bytes and the compute that it is given.

use chainference_chain::accounts::{Feedback, PublishArgs, SetDelegateArgs};
use chainference_chain::{
    Instruction, Keypair, SignError, SignedTransaction, Signer, Totals, instruction,
};

use crate::common::{Client, Market, OK, PAID, SOL, TestJob, publish_args};

/// The most of one kind that a transaction carries.
pub struct Most {
    pub count: usize,
    pub transaction_bytes: usize,
    pub compute_units: u64,
}

pub struct Bundles {
    /// Claims of jobs of one client.
    pub claims_of_one_client: Most,
    /// Claims of jobs of as many clients.
    pub claims_of_unrelated_clients: Most,
    /// Closes by one client, with its verdict.
    pub closes: Most,
    /// Publish and lock, for one client at one worker.
    pub locks: Most,
}

impl Bundles {
    pub fn measure() -> Self {
        Self {
            claims_of_one_client: most(|count| {
                let mut market = roomy_market();
                let jobs: Vec<_> = (0..count).map(|_| market.locked_job()).collect();
                (claims(&jobs), vec![market.operator.insecure_clone()], market)
            }),
            claims_of_unrelated_clients: most(|count| {
                let mut market = roomy_market();
                let jobs: Vec<_> = (0..count).map(|at| job_of_another(&mut market, at)).collect();
                (claims(&jobs), vec![market.operator.insecure_clone()], market)
            }),
            closes: most(|count| {
                let mut market = roomy_market();
                let jobs: Vec<_> = (0..count).map(|_| market.paid_job()).collect();
                market.warp_past_closing();
                let closes = jobs.iter().map(|job| close(&market, job, OK)).collect();
                (closes, vec![market.gateway.insecure_clone()], market)
            }),
            locks: most(|count| {
                let mut market = roomy_market();
                let locks = (0..count).flat_map(|_| publish_and_lock(&mut market).1).collect();
                let signers = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
                (locks, signers.into(), market)
            }),
        }
    }

    /// Each with a name for scripts and one for people.
    pub fn named(&self) -> [(&'static str, &'static str, &Most); 4] {
        [
            ("claims_of_one_client", "claims of one client's jobs", &self.claims_of_one_client),
            (
                "claims_of_unrelated_clients",
                "claims, each of another client's job",
                &self.claims_of_unrelated_clients,
            ),
            ("closes", "closes with a verdict, one client and one worker", &self.closes),
            ("publish_and_lock", "publish and lock, one client and one worker", &self.locks),
        ]
    }
}

/// Adds one more until the transaction is too large.
fn most(make: impl Fn(usize) -> (Vec<Instruction>, Vec<Keypair>, Market)) -> Most {
    let mut best = None;
    for count in 1.. {
        let (instructions, signers, mut market) = make(count);
        let others: Vec<_> = signers[1..].iter().collect();
        let blockhash = market.blockhash();
        match SignedTransaction::sign(&instructions, &signers[0], &others, &blockhash) {
            Ok(signed) => {
                market.land(&signed).expect("the bundle is carried out");
                market.check_conservation();
                let (transaction_bytes, compute_units) = (signed.wire.len(), market.compute_units);
                best = Some(Most { count, transaction_bytes, compute_units });
            }
            Err(SignError::TooLarge { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    best.expect("one fits")
}

/// Whose client's delegate may publish without a limit.
pub fn roomy_market() -> Market {
    let mut market = Market::new();
    let (wallet, delegate) = (market.wallet.insecure_clone(), Some(market.gateway.pubkey()));
    let limit = SetDelegateArgs { delegate, limit: u64::MAX, period_s: 1 };
    market.send(&[instruction::set_delegate(&wallet.pubkey(), limit)], &wallet, &[]).unwrap();
    market
}

pub fn final_claim(job: &TestJob, totals: Totals) -> Instruction {
    instruction::claim(&job.claim(Some(totals), true))
}

pub fn close(market: &Market, job: &TestJob, feedback: Feedback) -> Instruction {
    market.close_instruction(job, &market.gateway.pubkey(), feedback)
}

/// A job between the first client and the first worker, and what publishes and locks it.
pub fn publish_and_lock(market: &mut Market) -> (TestJob, [Instruction; 2]) {
    let (terms, session) = market.terms();
    let args = PublishArgs { allowed: vec![terms.worker], ..publish_args(&terms) };
    let publish = instruction::publish(&terms.authority, &terms.vault, args);
    let job = TestJob { address: terms.job(), session, terms };
    let lock = market.lock_instruction(&job);
    (job, [publish, lock])
}

fn claims(jobs: &[TestJob]) -> Vec<Instruction> {
    jobs.iter().map(|job| final_claim(job, PAID)).collect()
}

fn job_of_another(market: &mut Market, at: usize) -> TestJob {
    let (client, provider) = (Client::new(&format!("client {at}")), market.provider());
    for key in [&client.wallet, &client.gateway] {
        market.mint(&key.pubkey(), 2 * SOL);
    }
    market.open_vault(&client);
    market.locked_job_between(&client, &provider)
}
