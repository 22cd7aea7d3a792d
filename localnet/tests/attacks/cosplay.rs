//! Attack: an account of the program's own, but of another type, where a field of the one lies on a field of the other.
//! Gain: a job whose `authority` reads as a vault's owner, an offer that reads as a worker's record.
//! Stopped by: each type has its own first eight bytes, and they are compared before anything is read.

use std::collections::BTreeMap;

use crate::catalogue::against_each;
use crate::common::*;
use crate::support::*;

#[test]
fn no_account_passes_for_another_type() {
    let tries = against_each(|case| {
        let types = one_of_each(&case.market);
        let mut tries = 0;
        for at in case.records() {
            let (_, own) = case.account(at);
            let others = types.iter().filter(|(other, _)| Some(**other) != kind(&own));
            for (_, key) in others {
                let changed = with_account(&case.instruction, at, *key);
                case.refuses(changed, "AccountDiscriminatorMismatch");
                tries += 1;
            }
        }
        tries
    });
    assert!(tries > 250, "{tries} costumes");
}

#[test]
fn a_market_has_six_types_of_accounts() {
    let mut market = Market::new();
    market.paid_job();
    assert_eq!(one_of_each(&market).len(), 6);
}

/// An account of each type, as the market has them.
fn one_of_each(market: &Market) -> BTreeMap<[u8; 8], chainference_chain::Pubkey> {
    let program = chainference_chain::PROGRAM_ID.to_bytes().into();
    let all = market.svm.get_program_accounts(&program);
    let typed = all.into_iter().filter_map(|(key, account)| Some((kind(&account)?, key)));
    typed
        .map(|(kind, key)| (kind, chainference_chain::Pubkey::new_from_array(key.to_bytes())))
        .collect()
}
