//! Accounts that hold a lamport less than they owe. No sequence of instructions makes one: here their bytes are
//! overwritten. Whatever moves money ends with the account's invariant, which trusts no step before it.

use std::mem::offset_of;

use chainference_chain::accounts::*;
use chainference_chain::{Instruction, Keypair, Lamports, Pubkey, Signer, address, instruction};

use super::common::*;

/// An account's tag lies in front of its fields.
pub const TAG_BYTES: usize = 8;

/// Where an account says what was paid for its rent, and all that it owes beside that.
struct Owes {
    account: Pubkey,
    rent_at: usize,
    owed: fn(&Market, &Pubkey) -> u64,
}

fn vault(account: Pubkey) -> Owes {
    let owed = |market: &Market, key: &Pubkey| market.load::<Vault>(key).reserved;
    Owes { account, rent_at: TAG_BYTES + offset_of!(Vault, rent), owed }
}

fn record(account: Pubkey) -> Owes {
    let owed = |market: &Market, key: &Pubkey| {
        let worker: Worker = market.load(key);
        worker.bond + worker.earnings + worker.fees_platform + worker.fees_stakers
    };
    Owes { account, rent_at: TAG_BYTES + offset_of!(Worker, rent), owed }
}

fn treasury() -> Owes {
    let owed = |market: &Market, key: &Pubkey| {
        let treasury: Treasury = market.load(key);
        treasury.platform + treasury.stakers
    };
    Owes { account: address::treasury(), rent_at: TAG_BYTES + offset_of!(Treasury, rent), owed }
}

/// The step passes while the account holds, after it, exactly what it owes, and not with a lamport less.
#[track_caller]
fn check(market: &Market, step: &Instruction, signer: &Keypair, owes: Owes) {
    let mut whole = market.fork();
    whole.send(std::slice::from_ref(step), signer, &[]).unwrap();
    let spare = whole.balance(&owes.account)
        - whole.rent(&owes.account)
        - (owes.owed)(&whole, &owes.account);
    for (more, expected) in [(spare, Ok(())), (spare + 1, Err("InvariantBroken".to_string()))] {
        let mut short = market.fork();
        short.overwrite(&owes.account, |account| add(&mut account.data, owes.rent_at, more));
        assert_eq!(short.send(std::slice::from_ref(step), signer, &[]), expected);
    }
}

fn add(data: &mut [u8], at: usize, more: u64) {
    let bytes: &mut [u8; 8] = (&mut data[at..at + 8]).try_into().unwrap();
    *bytes = (u64::from_le_bytes(*bytes) + more).to_le_bytes();
}

#[test]
fn no_step_of_a_job_leaves_a_vault_or_a_record_short() {
    let mut market = Market::new();
    let [gateway, operator, stranger] =
        [&market.gateway, &market.operator, &market.stranger].map(Keypair::insecure_clone);
    let (open, locked) = (market.open_job(), market.locked_job());
    let (purse, worker) = (market.vault(), market.worker());
    for is_final in [false, true] {
        let claim = instruction::claim(&locked.claim(Some(PAID), is_final));
        check(&market, &claim, &operator, vault(purse));
        check(&market, &claim, &operator, record(worker));
    }
    let cancel = instruction::cancel(&gateway.pubkey(), &purse, &open.address);
    check(&market, &cancel, &gateway, vault(purse));
    market.warp(0, SERVE_S + i64::from(GRACE_S));
    let expire = instruction::expire(&purse, &locked.address, Some(worker));
    check(&market, &expire, &stranger, vault(purse));
}

#[test]
fn no_payout_leaves_an_account_short() {
    let mut market = Market::with_preset(Preset::Far);
    market.paid_job();
    let [wallet, stranger] = [&market.wallet, &market.stranger].map(Keypair::insecure_clone);
    let (purse, worker) = (market.vault(), market.worker());
    let nothing = instruction::withdraw(&wallet.pubkey(), Lamports(0));
    check(&market, &nothing, &wallet, vault(purse));
    let earnings = instruction::withdraw_earnings(&market.owner.pubkey());
    check(&market, &earnings, &stranger, record(worker));
    let sweep = instruction::sweep_fees(&worker);
    check(&market, &sweep, &stranger, record(worker));
    check(&market, &sweep, &stranger, treasury());
    market.send(&[sweep], &stranger, &[]).unwrap();
    let config: Config = market.load(&address::config());
    for part in [FeePart::Platform, FeePart::Stakers] {
        let payout = instruction::withdraw_fees(part, &config);
        check(&market, &payout, &stranger, treasury());
    }
}

#[test]
fn no_step_stores_a_job_that_was_paid_more_than_its_stake() {
    let mut market = Market::new();
    let gateway = market.gateway.insecure_clone();
    let job = market.locked_job();
    let finish = instruction::finish(&gateway.pubkey(), &market.vault(), &job.address);
    let credited_at = TAG_BYTES + offset_of!(Job, credited);
    for (credited, expected) in [(STAKE, Ok(())), (STAKE + 1, Err("InvariantBroken".to_string()))] {
        let mut market = market.fork();
        market.overwrite(&job.address, |account| add(&mut account.data, credited_at, credited));
        assert_eq!(market.send(std::slice::from_ref(&finish), &gateway, &[]), expected);
    }
}
