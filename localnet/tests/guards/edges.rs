//! Both sides of each limit that is not a job's own: of a publish, a delegate's period, a bond, the market's settings.

use std::mem::offset_of;
use std::slice;

use chainference_chain::accounts::{
    PublishArgs, UpdateConfigArgs, UpdateWorkerArgs, Worker, WorkerStatus,
};
use chainference_chain::{Instruction, Keypair, Lamports, Pubkey, Signer, instruction};

use super::common::*;
use super::hollow::TAG_BYTES;

const DAY_S: i64 = 86_400;

/// Runs in a fork of the market: `None` is allowed, else the refusal's name.
#[track_caller]
fn check(
    market: &Market,
    what: &str,
    signer: &Keypair,
    instruction: Instruction,
    refusal: Option<&str>,
) {
    let outcome = market.fork().send(&[instruction], signer, &[]);
    assert_eq!(outcome.err().as_deref(), refusal, "{what}");
}

#[test]
fn a_publish_at_its_limits() {
    let mut market = Market::new();
    let wallet = market.wallet.insecure_clone();
    let now_unix_s = market.now_unix_s();
    let (mut terms, _) = market.terms();
    terms.authority = wallet.pubkey();
    type Change = Box<dyn Fn(&mut PublishArgs)>;
    let serve_until = |ahead_s| -> Change {
        Box::new(move |args| args.serve_until_unix_s = now_unix_s + ahead_s)
    };
    let open_slot = |change: i64| -> Change {
        Box::new(move |args| args.open_slot = args.open_slot.wrapping_add_signed(change))
    };
    let stake = |stake| -> Change { Box::new(move |args| args.stake = stake) };
    let allowed = |count| -> Change {
        Box::new(move |args| args.allowed = vec![Pubkey::new_from_array([7; 32]); count])
    };
    let cases = [
        ("serve until now", serve_until(0), Some("BadServeUntil")),
        ("serve for a second", serve_until(1), None),
        ("serve for a day", serve_until(DAY_S), None),
        ("serve for more than a day", serve_until(DAY_S + 1), Some("BadServeUntil")),
        ("serve for ever", serve_until(i64::MAX - now_unix_s), Some("BadServeUntil")),
        ("serve before time began", serve_until(-now_unix_s), Some("BadServeUntil")),
        ("the next slot", open_slot(1), Some("BadOpenSlot")),
        ("the present slot", open_slot(0), None),
        ("the oldest slot", open_slot(-1_500), None),
        ("an older slot", open_slot(-1_501), Some("BadOpenSlot")),
        ("no stake", stake(0), Some("StakeTooSmall")),
        ("a stake of one lamport", stake(1), None),
        ("all of the vault", stake(DEPOSIT), None),
        ("more than the vault", stake(DEPOSIT + 1), Some("InsufficientBalance")),
        ("more than there is", stake(u64::MAX), Some("InsufficientBalance")),
        ("8 workers", allowed(8), None),
        ("9 workers", allowed(9), Some("TooManyAllowed")),
    ];
    for (what, change, refusal) in cases {
        let mut args = publish_args(&terms);
        change(&mut args);
        let publish = instruction::publish(&terms.authority, &terms.vault, args);
        check(&market, what, &wallet, publish, refusal);
    }
}

/// The delegate has reserved and settled all but 1,000 lamports of its limit; the owner has no limit.
#[test]
fn a_delegate_at_its_limit_and_at_the_end_of_its_period() {
    let mut market = Market::new();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let began_unix_s = market.now_unix_s();
    let job = market.locked_job();
    market.claim(&job, totals(1_000_000, 300_000), true).unwrap(); // 960,000, settled in this period
    market.set_clock(START_SLOT, began_unix_s + i64::from(PERIOD_S) - 10);
    let live = market.locked_job(); // 1,000,000, reserved
    let left = 10 * STAKE - STAKE - 960_000;
    let mut cells = 0;
    for (at_s, left) in [(-1, left), (0, left + 960_000), (1, left + 960_000)] {
        market.set_clock(START_SLOT, began_unix_s + i64::from(PERIOD_S) + at_s);
        for (signer, over) in [(&gateway, Some("OverDelegateLimit")), (&wallet, None)] {
            for (more, refusal) in [(0, None), (1, over)] {
                let what = format!("{more} over what is left at {at_s}");
                let (mut terms, _) = market.terms();
                (terms.authority, terms.stake) = (signer.pubkey(), left + more);
                let publish =
                    instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
                check(&market, &what, signer, publish, refusal);
                let (key, vault) = (signer.pubkey(), &live.terms.vault);
                let more = Lamports(left + more);
                let top_up = instruction::top_up(&key, vault, &live.address, more);
                check(&market, &what, signer, top_up, refusal);
                cells += 2;
            }
        }
    }
    assert_eq!(cells, 24);
}

#[test]
fn a_worker_leaves_with_its_bond_after_the_cooldown() {
    let mut market = Market::new();
    let owner = market.owner.insecure_clone();
    let (key, worker) = (owner.pubkey(), market.worker());
    let set = |status| {
        let args = UpdateWorkerArgs { status: Some(status), ..Default::default() };
        instruction::update_worker(&key, args)
    };
    let (retiring, active) = (set(WorkerStatus::Retiring), set(WorkerStatus::Active));
    let retire = instruction::retire_worker(&key);
    let job = market.locked_job();
    check(&market, "active", &owner, retire.clone(), Some("WorkerActive"));

    market.send(slice::from_ref(&retiring), &owner, &[]).unwrap();
    let free_unix_s = market.now_unix_s() + i64::from(BOND_COOLDOWN_S);
    assert_eq!(market.load::<Worker>(&worker).bond_free_unix_s, free_unix_s);
    // Neither saying it again nor another length of the cooldown moves the end of one that runs.
    market.set_clock(START_SLOT, free_unix_s - 1);
    market.configure(UpdateConfigArgs { bond_cooldown_s: Some(0), ..Default::default() });
    market.send(slice::from_ref(&retiring), &owner, &[]).unwrap();
    check(&market, "a second early", &owner, retire.clone(), Some("BondCoolingDown"));
    market.set_clock(START_SLOT, free_unix_s);
    check(&market, "with a live job", &owner, retire.clone(), Some("HasJobs"));
    market.claim(&job, PAID, true).unwrap();
    check(&market, "with fees of others", &owner, retire.clone(), Some("UnsweptFees"));
    market.send(&[instruction::sweep_fees(&worker)], &owner, &[]).unwrap();
    // No claim brings fees of one kind alone: the bytes are set.
    for at in [offset_of!(Worker, fees_platform), offset_of!(Worker, fees_stakers)] {
        let mut market = market.fork();
        market.overwrite(&worker, |account| {
            account.data[TAG_BYTES + at] = 1;
            account.lamports += 1;
        });
        check(&market, "with fees of one kind", &owner, retire.clone(), Some("UnsweptFees"));
        check(&market, "fees of one kind", &owner, instruction::sweep_fees(&worker), None);
    }
    check(&market, "in time", &owner, retire.clone(), None);

    // Who comes back begins anew.
    market.configure(UpdateConfigArgs { bond_cooldown_s: Some(60), ..Default::default() });
    market.send(&[active], &owner, &[]).unwrap();
    assert_eq!(market.load::<Worker>(&worker).bond_free_unix_s, 0);
    check(&market, "active again", &owner, retire.clone(), Some("WorkerActive"));
    market.send(&[retiring], &owner, &[]).unwrap();
    for (after_s, refusal) in [(59, Some("BondCoolingDown")), (60, None), (61, None)] {
        market.set_clock(START_SLOT, free_unix_s + after_s);
        check(&market, "after it came back", &owner, retire.clone(), refusal);
    }
}

#[test]
fn the_markets_settings_have_bounds() {
    let market = Market::new();
    let admin = &market.admin;
    let grace = |value| UpdateConfigArgs { grace_s: Some(value), ..Default::default() };
    let cooldown = |value| UpdateConfigArgs { bond_cooldown_s: Some(value), ..Default::default() };
    let heartbeat = |value| UpdateConfigArgs { heartbeat_s: Some(value), ..Default::default() };
    let cases = [
        (grace(599), Some("BadGrace")),
        (grace(600), None),
        (grace(86_400), None),
        (grace(86_401), Some("BadGrace")),
        (cooldown(0), None),
        (cooldown(2_592_000), None),
        (cooldown(2_592_001), Some("BadLimits")),
        (heartbeat(29), Some("BadLimits")),
        (heartbeat(30), None),
        (heartbeat(86_400), None),
        (heartbeat(86_401), Some("BadLimits")),
    ];
    for (change, refusal) in cases {
        let what = format!("{change:?}");
        let update = instruction::update_config(&admin.pubkey(), change.clone());
        check(&market, &what, admin, update, refusal);

        let empty = Market::empty();
        let mut args = empty.initialize_args(Preset::Open);
        args.grace_s = change.grace_s.unwrap_or(args.grace_s);
        args.bond_cooldown_s = change.bond_cooldown_s.unwrap_or(args.bond_cooldown_s);
        args.heartbeat_s = change.heartbeat_s.unwrap_or(args.heartbeat_s);
        let initialize = instruction::initialize(&admin.pubkey(), args);
        check(&empty, &what, admin, initialize, refusal);
    }
}
