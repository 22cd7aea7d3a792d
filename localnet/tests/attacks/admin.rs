//! Attack: the market's admin, or who would like to be it, reaches for other people's money: shares of its own
//! making, a cooldown or a grace that never ends, a handover to a key that nobody holds.
//! Gain: workers' pay, bonds and stakes.
//! Stopped by: two presets and no third, bounds on every time, a handover in two steps; no instruction lets the admin
//! touch a vault, a record or a live job.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Pubkey, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn the_admin_names_one_of_two_presets() {
    let mut market = Market::new();
    let admin = market.admin.insecure_clone();
    let far = UpdateConfigArgs { preset: Some(Preset::Far), ..Default::default() };
    let far = instruction::update_config(&admin.pubkey(), far);
    let open = UpdateConfigArgs { preset: Some(Preset::Open), ..Default::default() };
    let open = instruction::update_config(&admin.pubkey(), open);
    let at = (0..far.data.len()).find(|at| far.data[*at] != open.data[*at]).unwrap();
    for third in 2..=255 {
        let mut own = far.clone();
        own.data[at] = third;
        denied(&mut market, &own, &admin, "InstructionDidNotDeserialize");
    }
    market.send(&[far], &admin, &[]).unwrap();
}

#[test]
fn every_time_has_its_bounds() {
    let mut market = Market::new();
    let admin = market.admin.insecure_clone();
    let cooldown = |value| UpdateConfigArgs { bond_cooldown_s: Some(value), ..Default::default() };
    let grace = |value| UpdateConfigArgs { grace_s: Some(value), ..Default::default() };
    let heartbeat = |value| UpdateConfigArgs { heartbeat_s: Some(value), ..Default::default() };
    for (args, refusal) in [
        (cooldown(2_592_001), "BadLimits"),
        (cooldown(u32::MAX), "BadLimits"),
        (grace(599), "BadGrace"),
        (grace(86_401), "BadGrace"),
        (heartbeat(0), "BadLimits"),
        (heartbeat(29), "BadLimits"),
        (heartbeat(86_401), "BadLimits"),
    ] {
        let update = instruction::update_config(&admin.pubkey(), args);
        denied(&mut market, &update, &admin, refusal);
    }
    for args in [cooldown(2_592_000), cooldown(0), grace(600), grace(86_400), heartbeat(30)] {
        update_config(&mut market, args);
    }
}

#[test]
fn a_market_is_never_handed_to_a_key_that_nobody_holds() {
    let mut market = Market::new();
    let [admin, next, thief] =
        [&market.admin, &market.gateway, &market.stranger].map(Keypair::insecure_clone);
    let hand_to = |next: Pubkey| {
        let args = UpdateConfigArgs { pending_admin: Some(next), ..Default::default() };
        instruction::update_config(&admin.pubkey(), args)
    };
    let accept = |key: &Keypair| instruction::accept_admin(&key.pubkey());
    denied(&mut market, &accept(&thief), &thief, "NotAdmin");
    market.send(&[hand_to(next.pubkey())], &admin, &[]).unwrap();
    assert_eq!(config(&market).admin, admin.pubkey(), "until the next one has signed");
    denied(&mut market, &accept(&thief), &thief, "NotAdmin");
    // Taken back, it is nobody's again.
    market.send(&[hand_to(Pubkey::default())], &admin, &[]).unwrap();
    denied(&mut market, &accept(&next), &next, "NotAdmin");
    market.send(&[hand_to(next.pubkey())], &admin, &[]).unwrap();
    market.send(&[accept(&next)], &next, &[]).unwrap();
    denied(&mut market, &hand_to(admin.pubkey()), &admin, "NotAdmin");
    denied(&mut market, &accept(&next), &next, "NotAdmin");
    assert_eq!(config(&market).admin, next.pubkey());
}

#[test]
fn the_admin_is_a_stranger_to_vaults_records_and_jobs() {
    let mut market = Market::new();
    let job = market.locked_job();
    let admin = market.admin.insecure_clone();
    let (key, vault) = (admin.pubkey(), market.vault());
    let (wallet, owner) = (market.wallet.pubkey(), market.owner.pubkey());
    let withdraw = instruction::withdraw(&wallet, chainference_chain::Lamports(1));
    let retire = instruction::retire_worker(&owner);
    let update = instruction::update_worker(&owner, UpdateWorkerArgs::default());
    let claim = instruction::claim(&job.claim(Some(PAID), true));
    for (stolen, refusal) in [
        (with_account(&withdraw, 0, key), "NotVaultOwner"),
        (with_account(&instruction::close_vault(&wallet), 0, key), "NotVaultOwner"),
        (with_account(&retire, 0, key), "NotWorkerOwner"),
        (with_account(&update, 0, key), "NotWorkerOwner"),
        (with_account(&claim, 0, key), "NotOperator"),
        (instruction::finish(&key, &vault, &job.address), "NotClient"),
        (instruction::cancel(&key, &vault, &job.address), "NotClient"),
    ] {
        denied(&mut market, &stolen, &admin, refusal);
    }
    market.claim(&job, PAID, true).unwrap();
}
