//! Attack: a transaction that no packet carries, a list or text that says to be longer than its data, data that is
//! cut. Gain: a test runtime takes what a public chain refuses, so that a job is published and can't be claimed; or
//! memory that the program doesn't have. Stopped by: we sign nothing above 1,232 bytes, every list and text has its
//! limit, and what doesn't read as its arguments is refused.

use chainference_chain::{Keypair, Pubkey, SignError, SignedTransaction, Signer, instruction};

use crate::catalogue::against_each;
use crate::common::*;
use crate::support::*;

/// What a packet carries.
const BYTES_MAX: usize = 1_232;

#[test]
fn nothing_is_signed_that_no_packet_carries() {
    let mut market = Market::new();
    let [gateway, stranger] = [&market.gateway, &market.stranger].map(Keypair::insecure_clone);
    let blockhash = market.blockhash();
    let gift = |lamports| transfer(&gateway.pubkey(), &stranger.pubkey(), lamports);
    let (mut most, mut refused) = (0, 0);
    for count in 1..100 {
        let gifts: Vec<_> = (0..count).map(gift).collect();
        match SignedTransaction::sign(&gifts, &gateway, &[], &blockhash) {
            Ok(signed) => {
                assert!(signed.wire.len() <= BYTES_MAX && refused == 0);
                (most, refused) = (count, 0);
            }
            Err(SignError::TooLarge { bytes }) => {
                assert!(bytes > BYTES_MAX);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(most > 10 && refused > 10, "{most} fit");
    let gifts: Vec<_> = (0..most).map(gift).collect();
    market.send(&gifts, &gateway, &[]).unwrap();
}

#[test]
fn a_list_or_a_text_is_no_longer_than_allowed() {
    let mut market = Market::new();
    let [gateway, operator, admin] =
        [&market.gateway, &market.operator, &market.admin].map(Keypair::insecure_clone);
    let (terms, _) = market.terms();
    let publish = |allowed: usize| {
        let mut args = publish_args(&terms);
        args.allowed = vec![Pubkey::new_from_array([7; 32]); allowed];
        instruction::publish(&terms.authority, &terms.vault, args)
    };
    denied(&mut market, &publish(9), &gateway, "TooManyAllowed");
    let mut endless = publish(0);
    let length_at = endless.data.len() - 4;
    endless.data[length_at..].copy_from_slice(&u32::MAX.to_le_bytes());
    denied(&mut market, &endless, &gateway, "InstructionDidNotDeserialize");
    market.send(&[publish(8)], &gateway, &[]).unwrap();

    let post = |length: usize| {
        let model = "m".repeat(length);
        let args = offer_args((&model, "q"));
        instruction::post_offer(&operator.pubkey(), &market.worker(), args)
    };
    let (longest, too_long, none) = (post(96), post(97), post(0));
    for wrong in [too_long, none] {
        denied(&mut market, &wrong, &operator, "BadText");
    }
    market.send(&[longest], &operator, &[]).unwrap();

    let register = |endpoint: String| {
        let mut args = registration(&operator.pubkey(), BOND);
        args.endpoint = endpoint;
        instruction::register_worker(&admin.pubkey(), args)
    };
    let too_long = format!("http://{}", "x".repeat(122));
    for bad in [too_long.as_str(), "", "http://a b", "http://\u{1b}[2J", "http://\0", "file:///etc"]
    {
        denied(&mut market, &register(bad.into()), &admin, "BadText");
    }
    market.send(&[register(format!("http://{}", "x".repeat(121)))], &admin, &[]).unwrap();
}

#[test]
fn what_is_cut_or_unknown_is_refused() {
    let tries = against_each(|case| {
        let mut unknown = case.instruction.clone();
        unknown.data[0] ^= 1;
        case.refuses(unknown, "InstructionFallbackNotFound");
        let mut fewer = case.instruction.clone();
        fewer.accounts.pop();
        case.refuses(fewer, "AccountNotEnoughKeys");
        if case.instruction.data.len() > 8 {
            let mut cut = case.instruction.clone();
            cut.data.pop();
            case.refuses(cut, "InstructionDidNotDeserialize");
        }
        1
    });
    assert!(tries >= 27, "{tries} requests");
}
