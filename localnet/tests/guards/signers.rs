//! Tries each instruction as each signer, on a running and on a paused market, and without the signature.

use chainference_chain::accounts::UpdateConfigArgs;
use chainference_chain::{Keypair, Signer};

use super::common::tour::{Step, Tour};
use super::common::*;
use super::signers_table::{Pause, ROLES, TABLE};

#[test]
fn each_instruction_is_for_its_signers_only() {
    let tour = Tour::new();
    let steps = tour.steps();
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let rows: Vec<&str> = TABLE.iter().map(|row| row.0).collect();
    assert_eq!(names, rows, "a row for each instruction");
    let mut cells = 0;
    for (step, (name, allowed, refusal, pause)) in steps.iter().zip(TABLE) {
        for is_paused in [false, true] {
            let mut market = step.market.fork();
            if is_paused && *name != "initialize" {
                market.configure(UpdateConfigArgs { paused: Some(true), ..Default::default() });
            }
            for (role, signer) in ROLES.iter().zip(tour.roles()) {
                let expected = match allowed.contains(role) {
                    // A new account's address is looked at before everything else.
                    false if *refusal == "ConstraintSeeds" => Some(*refusal),
                    _ if is_paused && *pause == Pause::Stops => Some("Paused"),
                    true => None,
                    false => Some(*refusal),
                };
                let outcome = send_as(step, &market, &signer);
                let cell = format!("{name} by {role}, paused: {is_paused}");
                assert_eq!(outcome.err().as_deref(), expected, "{cell}");
                cells += 1;
            }
        }
    }
    println!("{cells} cells");
    assert_eq!(cells, 2 * TABLE.len() * ROLES.len());
}

#[test]
fn nothing_is_done_in_the_name_of_who_did_not_sign() {
    let tour = Tour::new();
    let mut cells = 0;
    for mut step in tour.steps() {
        let payer = match step.signer.pubkey() == step.market.stranger.pubkey() {
            true => step.market.admin.insecure_clone(),
            false => step.market.stranger.insecure_clone(),
        };
        for account in 0..step.instruction.accounts.len() {
            let mut unsigned = step.instruction.clone();
            if std::mem::take(&mut unsigned.accounts[account].is_signer) {
                let outcome = step.market.send(&[unsigned], &payer, &[]);
                assert_eq!(outcome, Err("AccountNotSigner".into()), "{}", step.name);
                cells += 1;
            }
        }
    }
    println!("{cells} cells");
    assert!(cells > 0);
}

/// Sends a step's instruction in another's place: only the signing account is replaced.
fn send_as(step: &Step, market: &Market, signer: &Keypair) -> Result<(), Refusal> {
    let mut instruction = step.instruction.clone();
    if let Some(account) = instruction.accounts.iter_mut().find(|account| account.is_signer) {
        account.pubkey = signer.pubkey();
    }
    let mut market = market.fork();
    market.send(&[instruction], signer, &[])?;
    market.check_conservation();
    market.check_books();
    Ok(())
}
