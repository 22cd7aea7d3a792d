//! Attack: an address that the same seeds give with another bump than the first that fits.
//! Gain: a second configuration, a second vault or record for one key, a second job for one voucher.
//! Stopped by: each address that is made or read by its seeds must be the canonical one.

use chainference::seeds;
use chainference_chain::accounts::model_hash;
use chainference_chain::{PROGRAM_ID, Pubkey, Signer};

use crate::catalogue::{Case, against_each};
use crate::common::tour::long_offer;
use crate::common::*;
use crate::support::*;

/// How many further addresses of the same seeds are tried.
const SECOND_BEST: usize = 3;

#[test]
fn nothing_is_made_at_a_second_address_of_the_same_seeds() {
    let tries = against_each(|case| {
        let made = case.makes();
        for key in &made {
            let at = case.place(key);
            for other in second_addresses(&seeds_of(case, key)) {
                case.refuses(with_account(&case.instruction, at, other), "ConstraintSeeds");
            }
        }
        made.len()
    });
    assert_eq!(tries, 7, "configuration, treasury, record, offer, vault, and two jobs");
}

#[test]
fn the_one_configuration_and_treasury_are_read_at_the_first_address() {
    let tries = against_each(|case| {
        let mut tries = 0;
        for at in case.records() {
            let (key, account) = case.account(at);
            let seed = match key {
                key if key == address::config() => seeds::CONFIG,
                key if key == address::treasury() => seeds::TREASURY,
                _ => continue,
            };
            for other in second_addresses(&[seed.to_vec()]) {
                case.market.svm.set_account(other.to_bytes().into(), account.clone()).unwrap();
                case.refuses(with_account(&case.instruction, at, other), "ConstraintAddress");
                tries += 1;
            }
        }
        tries
    });
    assert!(tries >= 10 * SECOND_BEST, "{tries} places");
}

/// What this address is derived from.
fn seeds_of(case: &Case, key: &Pubkey) -> Vec<Vec<u8>> {
    let signer = case.signer.as_ref().expect("somebody pays the rent").pubkey();
    let (vault, worker) = (case.market.vault(), case.market.worker());
    let offer = long_offer(&worker);
    let model = model_hash(&offer.model, &offer.quantisation);
    let mut candidates = vec![
        vec![seeds::CONFIG.to_vec()],
        vec![seeds::TREASURY.to_vec()],
        vec![seeds::VAULT.to_vec(), signer.to_bytes().to_vec()],
        vec![seeds::WORKER.to_vec(), signer.to_bytes().to_vec()],
        vec![seeds::OFFER.to_vec(), worker.to_bytes().to_vec(), model.to_vec()],
    ];
    let slot = case.market.clock().slot.to_le_bytes().to_vec();
    let sessions = (0..1_000).map(|number| numbered_key("session", number).pubkey());
    candidates.extend(sessions.map(|session| {
        let (vault, session) = (vault.to_bytes().to_vec(), session.to_bytes().to_vec());
        vec![seeds::JOB.to_vec(), vault, session, slot.clone()]
    }));
    let found = candidates.into_iter().find(|seeds| {
        let parts: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        Pubkey::find_program_address(&parts, &PROGRAM_ID).0 == *key
    });
    found.unwrap_or_else(|| panic!("{}: no seeds give {key}", case.name))
}

fn second_addresses(seeds: &[Vec<u8>]) -> Vec<Pubkey> {
    let parts: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    let (first, bump) = Pubkey::find_program_address(&parts, &PROGRAM_ID);
    let lower = (0..bump).rev().filter_map(|bump| {
        let bump = [bump];
        let with_bump = [&parts[..], &[&bump]].concat();
        Pubkey::create_program_address(&with_bump, &PROGRAM_ID).ok()
    });
    let others: Vec<Pubkey> = lower.take(SECOND_BEST).collect();
    assert!(others.len() == SECOND_BEST && !others.contains(&first));
    others
}
