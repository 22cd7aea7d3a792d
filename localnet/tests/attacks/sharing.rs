//! Attack: accounts that are each genuine and don't belong together: my vault with your job, your record with my job,
//! another worker's offer. Gain: a stake that another vault pays, a reputation or earnings that another's work made.
//! Stopped by: each account names what it belongs to, and that is compared, by the refusals below.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Lamports, Pubkey, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_job_is_of_its_own_vault_alone() {
    let mut market = Market::new();
    let (open, locked, paid) = (market.open_job(), market.locked_job(), market.paid_job());
    market.warp(CLOSE_SLOTS, 0);
    // The thief is a client too: it has a vault, and signs for it.
    let (thief, gateway) = (market.second_client(), market.gateway.insecure_clone());
    let operator = market.operator.insecure_clone();
    let (own, foreign) = (market.vault(), thief.vault());
    let steps = |key: &Pubkey, vault: &Pubkey| {
        let mut close = market.close_instruction(&paid, key, Feedback::NONE);
        close.accounts[1].pubkey = *vault;
        [
            instruction::finish(key, vault, &locked.address),
            instruction::cancel(key, vault, &open.address),
            instruction::top_up(key, vault, &locked.address, Lamports(SOME)),
            close,
        ]
    };
    let (stolen, genuine) =
        (steps(&thief.gateway.pubkey(), &foreign), steps(&gateway.pubkey(), &own));
    let mut claim = locked.claim(Some(PAID), false);
    claim.vault = foreign;
    let lock = market.lock_instruction(&open);
    let expire = instruction::expire(&foreign, &locked.address, Some(locked.terms.worker));
    for step in stolen {
        denied(&mut market, &step, &thief.gateway, "WrongVault");
    }
    let stranger = market.stranger.insecure_clone();
    denied(&mut market, &instruction::claim(&claim), &operator, "WrongVault");
    denied(&mut market, &with_account(&lock, 2, foreign), &operator, "WrongVault");
    denied(&mut market, &expire, &stranger, "WrongVault");
    // The same vault, and a key that is not its own.
    let spend = publish_args(&market.terms().0);
    let spend = instruction::publish(&thief.gateway.pubkey(), &own, spend);
    denied(&mut market, &spend, &thief.gateway, "NotClient");
    for step in genuine {
        market.send(&[step], &gateway, &[]).unwrap();
    }
}

#[test]
fn a_job_s_worker_is_the_one_that_locked_it() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.second_provider());
    let mut claim = job.claim(Some(PAID), true);
    (claim.operator, claim.worker) = (other.operator.pubkey(), other.worker());
    denied(&mut market, &instruction::claim(&claim), &other.operator, "WrongWorker");
    market.claim(&job, PAID, false).unwrap();
    market.go_to(market.load_job(&job).claim_until_unix_s);
    let stranger = market.stranger.insecure_clone();
    for worker in [Some(other.worker()), None] {
        let expire = instruction::expire(&job.terms.vault, &job.address, worker);
        denied(&mut market, &expire, &stranger, "WrongWorker");
    }
    let expire = instruction::expire(&job.terms.vault, &job.address, Some(market.worker()));
    by_stranger(&mut market, expire).unwrap();
    assert_eq!(market.load::<Worker>(&market.worker()).live_jobs, 0);
}

#[test]
fn an_offer_is_its_own_worker_s_alone() {
    let mut market = Market::new();
    let (job, other) = (market.open_job(), market.second_provider());
    let [owner, operator] = [&market.owner, &market.operator].map(Keypair::insecure_clone);
    let lock = market.lock_instruction(&job);
    let foreign = with_account(&lock, 5, other.offer());
    denied(&mut market, &foreign, &operator, "WrongOffer");
    let update = |worker: &Pubkey, offer: &Pubkey| {
        let resting = UpdateOfferArgs { active: Some(false), ..Default::default() };
        instruction::update_offer(&operator.pubkey(), worker, offer, resting)
    };
    let theirs = other.offer();
    let own = (market.worker(), market.offer());
    denied(&mut market, &update(&own.0, &theirs), &operator, "WrongOffer");
    denied(&mut market, &update(&other.worker(), &theirs), &operator, "NotWorkerAgent");
    let retract = instruction::retract_offer(&owner.pubkey(), &theirs, &other.owner.pubkey());
    denied(&mut market, &retract, &owner, "WrongOffer");
    let post = instruction::post_offer(&operator.pubkey(), &other.worker(), offer_args(("m", "q")));
    denied(&mut market, &post, &operator, "NotWorkerAgent");
    market.send(&[lock], &operator, &[]).unwrap();
    market.send(&[update(&own.0, &own.1)], &operator, &[]).unwrap();
}

#[test]
fn no_two_kinds_of_accounts_share_an_address() {
    let (key, hash) = (key("anyone").pubkey(), ("m", "q"));
    let all = [
        address::config(),
        address::treasury(),
        address::vault(&key),
        address::worker(&key),
        address::offer(&key, hash.0, hash.1),
        address::job(&key, &key, 0),
        address::job(&key, &key, 1),
        // The bytes of a model's name can't be moved over to its quantisation.
        address::offer(&key, "m\0q", ""),
        address::offer(&key, "", "m\0q"),
        address::offer(&key, "mq", ""),
    ];
    let mut different = all.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), all.len());
}
