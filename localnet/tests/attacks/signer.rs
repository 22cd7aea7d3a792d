//! Attack: an instruction without the signature of the key that it names, or signed by another key.
//! Gain: everything: withdraw another's vault, claim another's job, take the market.
//! Stopped by: `Signer` on each key that acts, and a named guard that ties it to the account it acts for.

use chainference_chain::Signer;

use crate::catalogue::{against_each, foreign_refusal};
use crate::common::*;
use crate::support::*;

#[test]
fn no_instruction_does_without_its_signature() {
    let tries = against_each(|case| {
        let signers: Vec<usize> = (0..case.instruction.accounts.len())
            .filter(|at| case.instruction.accounts[*at].is_signer)
            .collect();
        assert_eq!(signers.len(), usize::from(case.signer.is_some()), "{}", case.name);
        for at in &signers {
            let mut unsigned = case.instruction.clone();
            unsigned.accounts[*at].is_signer = false;
            case.refuses(unsigned, "AccountNotSigner");
        }
        signers.len()
    });
    assert!(tries >= 22, "{tries} signatures");
}

#[test]
fn no_key_acts_for_another() {
    let tries = against_each(|case| {
        let Some(refusal) = foreign_refusal(case.name) else { return 0 };
        let signer = case.signer.as_ref().expect("somebody's own").pubkey();
        let thief = key("thief");
        case.market.mint(&thief.pubkey(), SOL);
        let foreign = with_account(&case.instruction, case.place(&signer), thief.pubkey());
        let outcome = case.send(&[foreign], &[&thief]);
        assert_eq!(outcome, Err(refusal.to_string()), "{}", case.name);
        1
    });
    assert!(tries >= 22, "{tries} keys");
}
