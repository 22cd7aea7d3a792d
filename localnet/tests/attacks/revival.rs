//! Attack: an account that was closed comes back: lamports sent to it in the same transaction, or the same address
//! made anew later (a gateway restored from a backup, an old voucher in somebody's hands).
//! Gain: a job that is paid twice, a vault or record with powers that were given up.
//! Stopped by: a closed account has no owner and no bytes; a job's address is taken until its slot is too old to be
//! published again.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Lamports, Signer, instruction};

use crate::catalogue;
use crate::common::*;
use crate::support::*;

#[test]
fn lamports_do_not_bring_a_closed_account_back() {
    let mut closed = 0;
    for mut case in catalogue::all() {
        let closes = ["retract_offer", "retire_worker", "close_vault", "close", "compare"];
        if !closes.contains(&case.name) {
            continue;
        }
        let giver = case.market.admin.insecure_clone();
        let records = case.records();
        let before: Vec<_> = records.iter().map(|at| case.account(*at)).collect();
        let alive = |market: &Market| {
            let still = |key: &&chainference_chain::Pubkey| {
                market.account(key).is_some_and(|account| kind(&account).is_some())
            };
            before.iter().map(|(key, _)| key).filter(still).count()
        };
        let refunds = before.iter().map(|(key, _)| transfer(&giver.pubkey(), key, SOL));
        let mut revive = vec![case.instruction.clone()];
        revive.extend(refunds);
        // Closed, paid for, and used again: in one transaction, then in the next.
        let used = [revive.clone(), vec![case.instruction.clone()]].concat();
        let refusal = "AccountOwnedByWrongProgram";
        assert_eq!(case.send(&used, &[&giver]), Err(refusal.into()), "{}", case.name);
        assert_eq!(alive(&case.market), records.len(), "{}", case.name);
        case.send(&revive, &[&giver]).unwrap();
        let gone = records.len() - alive(&case.market);
        assert!(gone > 0, "{}: closes something", case.name);
        case.refuses(case.instruction.clone(), refusal);
        closed += gone;
    }
    assert_eq!(closed, 6, "an offer, a record, a vault, a job, and two that were compared");
}

#[test]
fn a_closed_job_can_not_be_published_again() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    market.claim(&job, PAID, true).unwrap();
    let key = gateway.pubkey();
    let mut again = job.terms.clone();
    again.serve_until_unix_s += i64::from(GRACE_S);
    let publish = instruction::publish(&key, &again.vault, publish_args(&again));
    // Address still taken; then too early to close; then closed, with the slot too old at the same moment.
    let taken = "InstructionError(0, Custom(0))";
    denied(&mut market, &publish, &gateway, taken);
    let close = market.close_instruction(&job, &key, Feedback::NONE);
    market.warp(CLOSE_SLOTS - 1, 0);
    refused(&mut market, &[close.clone(), publish.clone()], &[&gateway], "TooEarlyToClose");
    market.warp(1, 0);
    refused(&mut market, &[close.clone(), publish.clone()], &[&gateway], "BadOpenSlot");
    let (fresh, _) = market.terms();
    let fresh = instruction::publish(&key, &fresh.vault, publish_args(&fresh));
    market.send(&[close, fresh], &gateway, &[]).unwrap();
    for slots in [0, 1, CLOSE_SLOTS, 1_000_000] {
        market.warp(slots, 0);
        denied(&mut market, &publish, &gateway, "BadOpenSlot");
    }
    let claim = instruction::claim(&job.claim(Some(PAID), true));
    denied(&mut market, &claim, &operator, "AccountOwnedByWrongProgram");
}

#[test]
fn a_cancelled_job_holds_its_address_as_long() {
    let mut market = Market::new();
    let job = market.open_job();
    let gateway = market.gateway.insecure_clone();
    let key = gateway.pubkey();
    let cancel = instruction::cancel(&key, &job.terms.vault, &job.address);
    let publish = instruction::publish(&key, &job.terms.vault, publish_args(&job.terms));
    let taken = "InstructionError(1, Custom(0))";
    refused(&mut market, &[cancel.clone(), publish], &[&gateway], taken);
    market.send(&[cancel], &gateway, &[]).unwrap();
    let close = market.close_instruction(&job, &key, Feedback::NONE);
    market.warp(CLOSE_SLOTS - 1, CLOSE_BY_ANYONE_S);
    denied(&mut market, &close, &gateway, "TooEarlyToClose");
    market.warp(1, 0);
    market.send(&[close], &gateway, &[]).unwrap();
}

#[test]
fn a_vault_opened_anew_has_nothing_of_the_old_one() {
    let mut market = Market::new();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let key = wallet.pubkey();
    let vault = market.vault();
    let anew = [
        instruction::close_vault(&key),
        instruction::open_vault(&key),
        instruction::deposit(&key, &vault, Lamports(DEPOSIT)),
    ];
    market.send(&anew, &wallet, &[]).unwrap();
    let opened: Vault = market.load(&vault);
    assert_eq!((opened.delegate(), opened.limit, opened.reserved), (None, 0, 0));
    let (terms, _) = market.terms();
    let by_delegate = instruction::publish(&gateway.pubkey(), &vault, publish_args(&terms));
    denied(&mut market, &by_delegate, &gateway, "NotClient");
    let by_owner = instruction::publish(&key, &vault, publish_args(&terms));
    market.send(&[by_owner], &wallet, &[]).unwrap();
}
