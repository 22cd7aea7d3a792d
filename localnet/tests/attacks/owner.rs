//! Attack: an account of another program's with the very bytes of a vault, a record or the configuration.
//! Gain: a configuration without pause or bond, a vault that owes nothing, a record that names the attacker as
//! operator.
//! Stopped by: the owner of each typed account is checked before its bytes are read.

use chainference_chain::Pubkey;

use crate::catalogue::against_each;
use crate::support::*;

#[test]
fn no_account_of_another_program_is_read() {
    let tries = against_each(|case| {
        let places = case.records();
        for at in &places {
            let (_, mut copy) = case.account(*at);
            // Anyone can have a program write such bytes; the system program stands for the plain wallets.
            for owner in [Pubkey::new_from_array([7; 32]), Pubkey::default()] {
                copy.owner = owner.to_bytes().into();
                let planted = plant(&mut case.market, "copy", copy.clone());
                let changed = with_account(&case.instruction, *at, planted);
                case.refuses(changed, "AccountOwnedByWrongProgram");
            }
        }
        places.len()
    });
    assert!(tries > 50, "{tries} places");
}
