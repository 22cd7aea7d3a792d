//! Attack: another deployment of this very program, whose accounts its own admin can fill at will, mixed with ours.
//! Gain: a record, an offer or a configuration that was never paid for. Stopped by: accounts are read only where this
//! program owns them, and the code runs only at the address that it was compiled for.

use chainference_chain::{PROGRAM_ID, Pubkey, Signer};

use crate::catalogue::against_each;
use crate::common::*;
use crate::support::*;

#[test]
fn no_account_of_another_deployment_is_taken() {
    let other = key("another deployment").pubkey();
    let tries = against_each(|case| {
        let places = case.records();
        for at in &places {
            let (_, mut account) = case.account(*at);
            account.owner = other.to_bytes().into();
            let foreign = plant(&mut case.market, "foreign record", account);
            let changed = with_account(&case.instruction, *at, foreign);
            case.refuses(changed, "AccountOwnedByWrongProgram");
        }
        places.len()
    });
    assert!(tries > 50, "{tries} places");
}

#[test]
fn the_code_does_not_run_at_another_address() {
    let other = key("another deployment").pubkey();
    let tries = against_each(|case| {
        deploy(&mut case.market, other);
        let mut elsewhere = case.instruction.clone();
        elsewhere.program_id = other;
        case.refuses(elsewhere, "DeclaredProgramIdMismatch");
        1
    });
    assert!(tries >= 27, "{tries} requests");
}

/// The same code at another address.
fn deploy(market: &mut Market, address: Pubkey) {
    // State, slot and authority stand before the code.
    const CODE_AT: usize = 45;
    let loader = market.account(&PROGRAM_ID).unwrap().owner;
    let data = Pubkey::find_program_address(&[PROGRAM_ID.as_ref()], &loader.to_bytes().into()).0;
    let code = market.account(&data).unwrap().data.split_off(CODE_AT);
    market.svm.add_program(address.to_bytes(), &code).unwrap();
}
