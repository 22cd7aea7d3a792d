//! Attack: a program of the attacker's in the place of the system program, to which money is then handed by a call
//! that carries the victim's signature; or the program called by another one. Gain: the payer's whole wallet. Stopped
//! by: the only program that is ever called is the system program, by its address. Being called by another program is
//! no attack of its own, and has no test: no guard looks at the transaction, at its instructions or at who calls, all
//! ask accounts and signatures, and a caller can lend no signature but its own addresses'.

use chainference_chain::{PROGRAM_ID, Pubkey, Signer, instruction};

use crate::catalogue::against_each;
use crate::common::*;
use crate::support::*;

#[test]
fn no_other_program_is_called_for_the_system_program() {
    let system = Pubkey::default();
    let tries = against_each(|case| {
        let place = case.instruction.accounts.iter().position(|meta| meta.pubkey == system);
        let Some(at) = place else { return 0 };
        let mut program = case.market.account(&PROGRAM_ID).unwrap();
        let executable = plant(&mut case.market, "program", program.clone());
        program.executable = false;
        let plain = plant(&mut case.market, "no program", program);
        for fake in [executable, plain, PROGRAM_ID] {
            case.refuses(with_account(&case.instruction, at, fake), "InvalidProgramId");
        }
        1
    });
    assert_eq!(tries, 7, "what moves money from a wallet, or makes an account");
}

#[test]
fn the_market_is_made_by_the_upgrade_authority_of_this_program_alone() {
    let mut market = Market::empty();
    let (admin, thief) = (market.admin.insecure_clone(), market.stranger.insecure_clone());
    let genuine = instruction::initialize(&admin.pubkey(), market.initialize_args(Preset::Open));
    let places = |key: Pubkey| genuine.accounts.iter().position(|meta| meta.pubkey == key);
    let program_at = places(PROGRAM_ID).unwrap();
    let data_at = program_at + 1;
    // A deployment of the thief's own, whose data account names it as the authority.
    let mut data = market.account(&genuine.accounts[data_at].pubkey).unwrap();
    data.data[13..45].copy_from_slice(thief.pubkey().as_ref());
    let foreign_data = plant(&mut market, "foreign data", data);
    let program = market.account(&PROGRAM_ID).unwrap();
    let foreign_program = plant(&mut market, "foreign program", program);

    let mut stolen = genuine.clone();
    stolen.accounts[0].pubkey = thief.pubkey();
    denied(&mut market, &stolen, &thief, "NotUpgradeAuthority");
    stolen.accounts[data_at].pubkey = foreign_data;
    denied(&mut market, &stolen, &thief, "NotUpgradeAuthority");
    stolen.accounts[program_at].pubkey = foreign_program;
    denied(&mut market, &stolen, &thief, "InvalidProgramId");
    market.send(&[genuine], &admin, &[]).unwrap();
}
