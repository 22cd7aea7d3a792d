//! Gives each instruction, in each of its places, an account that is not what the place is for.

use std::slice;

use anchor_lang::prelude::system_program;
use chainference_chain::accounts::{Job, Offer, Stored, Vault, Worker};
use chainference_chain::{PROGRAM_ID, Pubkey};
use solana_account::Account;

use super::common::Market;
use super::common::tour::{Step, Tour};

const OTHER_KIND: &str = "AccountDiscriminatorMismatch";
const NOT_OURS: &str = "AccountOwnedByWrongProgram";

type Change = fn(&mut Account);

/// What an account in a place could be instead, and what the program says of it.
const CHANGES: [(&str, Change, &str); 4] = [
    ("of the next layout", |account| account.data[7] += 1, OTHER_KIND),
    ("of another type", |account| account.data[3] ^= 1, OTHER_KIND),
    ("without a tag", |account| account.data[..8].fill(0), OTHER_KIND),
    (
        "of another program",
        |account| account.owner = system_program::ID.to_bytes().into(),
        NOT_OURS,
    ),
];

/// Not read at all: it may be gone.
fn is_unread(step: &Step, key: &Pubkey) -> bool {
    step.name == "retract_offer" && *key == step.market.worker()
}

/// Places of the step's instruction that hold accounts of the program.
fn places(step: &Step) -> Vec<usize> {
    let is_ours = |key: &Pubkey| {
        let account = step.market.account(key);
        let owner = account.map(|account| account.owner.to_bytes());
        owner == Some(PROGRAM_ID.to_bytes()) && !is_unread(step, key)
    };
    let accounts = step.instruction.accounts.iter();
    accounts.enumerate().filter(|(_, meta)| is_ours(&meta.pubkey)).map(|(at, _)| at).collect()
}

#[test]
fn an_account_of_another_kind_or_version_is_refused_in_each_place() {
    let mut cells = 0;
    for step in Tour::new().steps() {
        for place in places(&step) {
            let key = step.instruction.accounts[place].pubkey;
            for (what, change, refusal) in CHANGES {
                let mut market = step.market.fork();
                market.overwrite(&key, change);
                let outcome = market.send(slice::from_ref(&step.instruction), &step.signer, &[]);
                let cell = format!("{}, account {place} {what}", step.name);
                assert_eq!(outcome, Err(refusal.into()), "{cell}");
                cells += 1;
            }
        }
    }
    println!("{cells} cells");
    assert!(cells > 250);
}

/// Where an account of the same type may be another one: fees are anyone's to sweep, a vault anyone's to fill, and a
/// client has several jobs.
const FITS: [(&str, usize); 4] = [("sweep_fees", 0), ("deposit", 1), ("top_up", 2), ("close", 2)];

#[test]
fn an_account_of_somebody_else_is_refused_in_each_place() {
    let (mut cells, mut fitting) = (0, Vec::new());
    for step in Tour::new().steps() {
        for place in places(&step) {
            for other in others(&step, &step.instruction.accounts[place].pubkey) {
                let mut market = step.market.fork();
                let mut instruction = step.instruction.clone();
                instruction.accounts[place].pubkey = other;
                if market.send(&[instruction], &step.signer, &[]).is_ok() {
                    market.check_conservation();
                    fitting.push((step.name, place));
                    let job =
                        step.market.account(&other).and_then(|account| Job::read(&account.data));
                    let vault = job.map_or(step.market.vault(), |job| job.vault);
                    assert_eq!(vault, step.market.vault(), "{}: another client's job", step.name);
                }
                cells += 1;
            }
        }
    }
    println!("{cells} cells");
    fitting.dedup();
    assert_eq!(fitting, FITS);
}

/// Accounts of the same type with other addresses; none where there is but one.
fn others(step: &Step, key: &Pubkey) -> Vec<Pubkey> {
    let market = &step.market;
    let kinds =
        [keys::<Vault>(market), keys::<Worker>(market), keys::<Offer>(market), keys::<Job>(market)];
    let same = kinds.into_iter().find(|kind| kind.contains(key)).unwrap_or_default();
    let is_named =
        |other: &Pubkey| step.instruction.accounts.iter().any(|meta| meta.pubkey == *other);
    same.into_iter().filter(|other| !is_named(other)).collect()
}

fn keys<T: Stored>(market: &Market) -> Vec<Pubkey> {
    market.list::<T>().into_iter().map(|(key, _)| key).collect()
}
