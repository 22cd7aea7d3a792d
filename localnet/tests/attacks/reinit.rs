//! Attack: an account that exists is made once more.
//! Gain: a configuration with another admin, a vault whose reservations are forgotten, a record without its bad name.
//! Stopped by: the system program gives no address away twice; each account is made by `init` alone.

use chainference_chain::{Keypair, Signer, instruction};

use crate::catalogue;
use crate::common::*;
use crate::support::*;

/// The system program's word for an address that is taken: its error 0.
const TAKEN: &str = "InstructionError(0, Custom(0))";

#[test]
fn what_exists_is_not_made_again() {
    let mut made = 0;
    for mut case in catalogue::all() {
        let makes = !case.makes().is_empty();
        case.succeeds();
        if makes {
            case.refuses(case.instruction.clone(), TAKEN);
            let said = case.market.logs.iter().any(|line| line.contains("already in use"));
            assert!(said, "{}: {:?}", case.name, case.market.logs);
            made += 1;
        }
    }
    assert_eq!(made, 6, "configuration with treasury, record, offer, vault, and two jobs");
}

#[test]
fn nobody_makes_a_market_or_a_vault_that_is_another_s() {
    let mut market = Market::new();
    let [stranger, wallet] = [&market.stranger, &market.wallet].map(Keypair::insecure_clone);
    let again = instruction::initialize(&stranger.pubkey(), market.initialize_args(Preset::Far));
    denied(&mut market, &again, &stranger, TAKEN);
    let mut seized = instruction::open_vault(&stranger.pubkey());
    seized.accounts[1].pubkey = market.vault();
    denied(&mut market, &seized, &stranger, "ConstraintSeeds");
    // Reserved money stays reserved: the vault can't be made anew around a live job.
    market.locked_job();
    denied(&mut market, &instruction::open_vault(&wallet.pubkey()), &wallet, TAKEN);
    let anew =
        [instruction::close_vault(&wallet.pubkey()), instruction::open_vault(&wallet.pubkey())];
    refused(&mut market, &anew, &[&wallet], "HasJobs");
    market.send(&[instruction::open_vault(&stranger.pubkey())], &stranger, &[]).unwrap();
}
