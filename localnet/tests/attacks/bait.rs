//! Attack: bait and switch: a worker shows one offer and changes it between the client's decision and the lock.
//! Gain: with the prices, more for each token; with `charge_min`, the whole stake for the first token that is vouched.
//! Stopped by: a job names the highest of all three prices that it is locked at, and the client names the offer's.

use chainference_chain::accounts::*;

use crate::common::*;
use crate::support::*;

#[test]
fn no_price_is_raised_between_quote_and_lock() {
    let market = Market::new();
    for dearer in [
        UpdateOfferArgs { price_in_per_mtok: Some(PRICE_IN + 1), ..Default::default() },
        UpdateOfferArgs { price_out_per_mtok: Some(PRICE_OUT + 1), ..Default::default() },
        UpdateOfferArgs { charge_min: Some(CHARGE_MIN + 1), ..Default::default() },
        UpdateOfferArgs { charge_min: Some(STAKE), ..Default::default() },
    ] {
        let mut market = market.fork();
        let (mut terms, _) = market.terms();
        update_offer(&mut market, dearer);
        terms.blockhash = market.blockhash().hash;
        assert_eq!(market.lock_on(&terms), Err("PriceTooHigh".into()));
    }
    let mut market = market.fork();
    let (mut terms, session) = market.terms();
    let cheaper = UpdateOfferArgs { charge_min: Some(CHARGE_MIN / 2), ..Default::default() };
    update_offer(&mut market, cheaper);
    terms.blockhash = market.blockhash().hash;
    market.lock_on(&terms).unwrap();
    let job = TestJob { address: terms.job(), session, terms };
    market.claim(&job, totals(1, 0), true).unwrap();
    assert_eq!(market.load_job(&job).credited, CHARGE_MIN / 2);
}
