//! Sizes and costs of the largest legal transactions. (`Market::send` refuses what no packet carries.)

mod common;

use chainference_chain::accounts::{Feedback, Filters};
use chainference_chain::{Keypair, Pubkey, SignedTransaction, Signer, instruction};
use common::*;

/// What a packet carries.
const BYTES_MAX: usize = 1_232;
/// What an instruction gets without asking for more.
const COMPUTE_UNITS_MAX: u64 = 200_000;

#[test]
fn the_largest_publish_and_lock_fits_a_packet() {
    let mut market = Market::new();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    let (terms, _) = market.terms();
    let mut args = publish_args(&terms);
    args.filters = Filters { success_bps_min: 10_000, fees_completed_min: 0 };
    args.allowed = vec![Pubkey::new_unique(); 7];
    args.allowed.push(terms.worker);
    let publish = instruction::publish(&terms.authority, &terms.vault, args);
    let lock =
        instruction::lock(&terms.operator, &terms.worker, &terms.offer, &terms.vault, &terms.job());
    let blockhash = market.blockhash();
    let both = [publish, lock];
    let signed = SignedTransaction::sign(&both, &gateway, &[&operator], &blockhash).unwrap();
    assert!(signed.wire.len() <= BYTES_MAX, "{} bytes", signed.wire.len());
    market.land(&signed).unwrap();
    assert!(market.compute_units <= 2 * COMPUTE_UNITS_MAX, "{} units", market.compute_units);
}

#[test]
fn every_step_of_a_job_fits_the_default_compute_budget() {
    let mut market = Market::new();
    let mut spent = Vec::new();
    let job = market.locked_job();
    spent.push(("publish + lock", market.compute_units));
    market.claim(&job, totals(1, 0), false).unwrap();
    spent.push(("claim", market.compute_units));
    market.claim(&job, totals(1, 1), true).unwrap();
    spent.push(("final claim", market.compute_units));
    market.warp(1_501, 0);
    let gateway = market.gateway.insecure_clone();
    let close = market.close_instruction(&job, &gateway.pubkey(), Feedback::Flag);
    market.send(&[close], &gateway, &[]).unwrap();
    spent.push(("close", market.compute_units));
    for (step, units) in spent {
        println!("{step}: {units} compute units");
        assert!(units <= COMPUTE_UNITS_MAX, "{step}: {units} compute units");
    }
}

#[test]
fn the_largest_offer_and_registration_fit_a_packet() {
    let mut market = Market::empty();
    market
        .initialize(chainference_chain::accounts::SharesBps {
            worker: 10_000,
            ..Default::default()
        })
        .unwrap();
    let owner = market.owner.insecure_clone();
    let mut registration = market.registration(BOND);
    registration.endpoint = format!("https://{}", "x".repeat(120));
    let mut offer = offer_args(MODEL);
    (offer.model, offer.revision, offer.quantisation) =
        ("m".repeat(96), "r".repeat(40), "q".repeat(16));
    let key = owner.pubkey();
    let both =
        [instruction::register_worker(&key, registration), instruction::post_offer(&key, offer)];
    market.send(&both, &owner, &[]).unwrap();
}
