//! Attack: lamports sent to an address before its account is made.
//! Gain: whoever should have it can't make it (a client kept out, a job that can't be published); or rent that is
//! counted twice, as rent and as money.
//! Stopped by: an account is made around what lies there, and what its payer put in or found belongs to it.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Lamports, Signer, instruction};

use crate::catalogue;
use crate::common::*;
use crate::support::*;

#[test]
fn whatever_was_sent_there_each_account_can_be_made() {
    for mut case in catalogue::all() {
        let made = case.makes();
        for lamports in [SOL / 1_000, SOL, 2 * SOL] {
            if made.is_empty() {
                break;
            }
            let mut market = case.market.fork();
            for key in &made {
                market.mint(key, lamports);
            }
            std::mem::swap(&mut case.market, &mut market);
            case.succeeds();
            for key in &made {
                let (held, rent) = (case.market.balance(key), case.market.rent(key));
                assert!(held >= rent.max(lamports), "{}: {held} held", case.name);
            }
            case.market.check_conservation();
            std::mem::swap(&mut case.market, &mut market);
        }
    }
}

#[test]
fn a_prefunded_vault_gives_back_every_lamport_and_no_more() {
    for found in [SOL / 1_000, SOL] {
        let mut market = Market::empty();
        market.initialize(Preset::Open).unwrap();
        let (wallet, vault) = (market.wallet.insecure_clone(), market.vault());
        let fees = market.fees;
        market.mint(&vault, found);
        let key = wallet.pubkey();
        let deposit = instruction::deposit(&key, &vault, Lamports(DEPOSIT));
        market.send(&[instruction::open_vault(&key), deposit], &wallet, &[]).unwrap();
        let free = market.balance(&vault) - market.rent(&vault);
        let too_much = instruction::withdraw(&key, Lamports(free + 1));
        denied(&mut market, &too_much, &wallet, "InsufficientBalance");
        market.send(&[instruction::withdraw(&key, Lamports(free))], &wallet, &[]).unwrap();
        assert_eq!(market.balance(&vault), market.rent(&vault));
        market.send(&[instruction::close_vault(&key)], &wallet, &[]).unwrap();
        assert_eq!(market.balance(&key) + market.fees - fees, 10 * SOL + found);
    }
}

#[test]
fn what_was_sent_to_the_treasury_is_nobody_s_fee() {
    let mut market = Market::empty();
    let stranger = market.stranger.insecure_clone();
    market.mint(&address::treasury(), SOL);
    market.initialize(Preset::Open).unwrap();
    for client in [market.client(), market.second_client()] {
        market.open_vault(&client);
    }
    market.register(&market.provider());
    market.paid_job();
    let pay = instruction::withdraw_fees(FeePart::Platform, &config(&market));
    denied(&mut market, &pay, &stranger, "NothingOwed");
    let sweep = instruction::sweep_fees(&market.worker());
    market.send(&[sweep, pay], &stranger, &[]).unwrap();
    assert_eq!(market.balance(&market.platform), SOL + 600, "the fees of one job");
    market.check_conservation();
}

#[test]
fn a_prefunded_job_returns_its_rent_and_more_to_its_publisher() {
    let mut market = Market::new();
    let gateway = market.gateway.insecure_clone();
    let (terms, _) = market.terms();
    market.mint(&terms.job(), SOL);
    let (before, fees) = (market.balance(&gateway.pubkey()), market.fees);
    market.lock_on(&terms).unwrap();
    let operator = market.operator.insecure_clone();
    let release = chainference_chain::instruction::ClaimRequest {
        operator: operator.pubkey(),
        worker: terms.worker,
        vault: terms.vault,
        job: terms.job(),
        voucher: None,
        is_final: true,
    };
    market.send(&[instruction::claim(&release)], &operator, &[]).unwrap();
    market.warp_past_closing();
    let close = instruction::close(&instruction::CloseRequest {
        closer: market.stranger.pubkey(),
        vault: terms.vault,
        job: terms.job(),
        authority: terms.authority,
        feedback: None,
    });
    by_stranger(&mut market, close).unwrap();
    let paid = market.fees - fees - 2 * FEE_PER_SIGNATURE;
    assert_eq!(market.balance(&gateway.pubkey()), before + SOL - paid, "its own two signatures");
    market.check_conservation();
}

#[test]
fn prefunding_does_not_stop_anyone_on_a_chain_with_the_public_features_alone() {
    let mut market = with_public_features(Market::empty());
    market.initialize(Preset::Open).unwrap();
    let wallet: Keypair = market.wallet.insecure_clone();
    market.mint(&market.vault(), SOL);
    market.send(&[instruction::open_vault(&wallet.pubkey())], &wallet, &[]).unwrap();
    assert_eq!(market.load::<Vault>(&market.vault()).owner, wallet.pubkey());
}
