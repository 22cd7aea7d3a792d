//! What an attacker does to an instruction: other signers, other accounts, the same account twice, fewer of them. The
//! model says of each what must become of it, and now and then it is legal.

use chainference_chain::{PROGRAM_ID, Pubkey, address};
use solana_sdk_ids::{system_program, sysvar};

use crate::call::{Call, Slot, Verb, slots};
use crate::cast::Cast;
use crate::model::Model;
use crate::rng::Rng;

const TWISTS: &[(u64, &str)] = &[
    (20, "signed by another"),
    (10, "not signed"),
    (30, "another of its kind"),
    (15, "any account"),
    (15, "one account twice"),
    (8, "not writable"),
    (5, "two exchanged"),
    (4, "one account more"),
    (4, "sent twice"),
    (3, "too few accounts"),
    (3, "data cut"),
];

pub fn twist(calls: &mut Vec<Call>, cast: &Cast, model: &Model, rng: &mut Rng) {
    let at = rng.below(calls.len() as u64) as usize;
    let twist = rng.weighted(TWISTS);
    if twist == "sent twice" {
        calls.push(calls[at].clone()); // in the same transaction
        return;
    }
    let call = &mut calls[at];
    if matches!(call.verb, Verb::Transfer(_) | Verb::Initialize) {
        return;
    }
    call.twist = Some(twist);
    let slots = slots(&call.verb);
    let accounts = &mut call.instruction.accounts;
    let (i, j) =
        (rng.below(accounts.len() as u64) as usize, rng.below(accounts.len() as u64) as usize);
    let signer = slots.iter().position(|(slot, _)| *slot == Slot::Signer);
    match (twist, signer) {
        ("signed by another", Some(signer)) => accounts[signer].pubkey = another_person(cast, rng),
        ("not signed", Some(signer)) => accounts[signer].is_signer = false,
        ("any account", _) => accounts[i].pubkey = any_account(cast, model, rng),
        ("one account twice", _) => accounts[i] = accounts[j].clone(),
        ("not writable", _) => accounts[i].is_writable = false,
        ("two exchanged", _) => accounts.swap(i, j),
        ("one account more", _) => accounts.push(accounts[i].clone()),
        ("too few accounts", _) => accounts.truncate(i),
        ("data cut", _) => {
            let bytes = rng.below(call.instruction.data.len() as u64) as usize;
            call.instruction.data.truncate(bytes);
            call.is_cut = true;
        }
        _ => {
            let index = rng.below(slots.len() as u64) as usize;
            accounts[index].pubkey = alike(slots[index].0, cast, model, rng);
        }
    }
    // Nobody signs with a key that he doesn't hold.
    for meta in accounts {
        meta.is_signer &= cast.keypair(&meta.pubkey).is_some();
    }
}

fn another_person(cast: &Cast, rng: &mut Rng) -> Pubkey {
    if rng.percent(50) { cast.attacker } else { rng.pick(&cast.people()) }
}

fn any_account(cast: &Cast, model: &Model, rng: &mut Rng) -> Pubkey {
    let mut from = [cast.people(), cast.addresses()].concat();
    from.extend(model.jobs().map(|(key, _)| *key));
    from.extend([address::config(), address::treasury()]);
    from.extend(cast.forged.iter().chain(&cast.blank));
    from.extend([PROGRAM_ID, system_program::ID, sysvar::clock::ID]);
    rng.pick(&from)
}

/// An account that could stand in this place: somebody else's, or a forged one.
fn alike(slot: Slot, cast: &Cast, model: &Model, rng: &mut Rng) -> Pubkey {
    let jobs: Vec<_> = model.jobs().map(|(key, _)| *key).collect();
    let (is_forged, is_none) = (rng.percent(15), rng.percent(20));
    let [config, treasury, vault, worker, offer, job] = cast.forged;
    match slot {
        Slot::MaybeWorker if is_none => PROGRAM_ID,
        Slot::Config if is_forged => config,
        Slot::Treasury if is_forged => treasury,
        Slot::Vault if is_forged => vault,
        Slot::Worker | Slot::MaybeWorker if is_forged => worker,
        Slot::Offer if is_forged => offer,
        Slot::Job if is_forged => job,
        Slot::Vault => rng.pick(&cast.clients).account,
        Slot::Worker | Slot::MaybeWorker => rng.pick(&cast.workers).account,
        Slot::Offer => rng.pick(&cast.offers.concat()),
        Slot::Job if !jobs.is_empty() => rng.pick(&jobs),
        Slot::Signer | Slot::Any => another_person(cast, rng),
        _ => any_account(cast, model, rng),
    }
}
