//! Attack: a claim with a signature that the session key's holder never made, or that verifies for any message.
//! Gain: the whole stake without a voucher; or, with a session key of small order, a client whose vouchers a careless
//! worker takes and the chain refuses (free inference).
//! Stopped by: the program verifies strictly (S below the group's order, canonical encodings, no small order, no
//! cofactor) over bytes that it builds itself from the job's address and the claimed totals.

use chainference_chain::{Signer, Totals};
use curve25519_dalek::constants::EIGHT_TORSION;

use crate::common::*;
use crate::forge::{self, Key, message, scalar};
use crate::support::*;

/// A job whose vouchers `key` signs, and the voucher's bytes.
fn job_of(market: &mut Market, key: &[u8; 32]) -> (Target, [u8; 56]) {
    let job = Target::locked_with(market, *key);
    let message = message(&job.address(), PAID);
    (job, message)
}

/// Refused on chain, and by dalek's `verify_strict` too.
#[track_caller]
fn check_forgery(market: &mut Market, job: &Target, message: &[u8], signature: [u8; 64]) {
    assert!(!forge::is_strictly_valid(&job.session_key(), message, &signature), "not a forgery");
    let operator = market.operator.insecure_clone();
    let claim = job.claim(PAID, signature);
    denied(market, &claim, &operator, "BadVoucherSignature");
}

/// Accepted on chain: the legitimate twin.
#[track_caller]
fn check_genuine(market: &mut Market, job: &Target, message: &[u8], signature: [u8; 64]) {
    assert!(forge::is_strictly_valid(&job.session_key(), message, &signature), "not genuine");
    let operator = market.operator.insecure_clone();
    market.send(&[job.claim(PAID, signature)], &operator, &[]).unwrap();
}

#[test]
fn a_scalar_beyond_the_order_is_refused() {
    let mut market = Market::new();
    let key = Key::ordinary(1);
    let (job, message) = job_of(&mut market, &key.encoding());
    let genuine = key.sign(&message, scalar("nonce", 1), EIGHT_TORSION[0]);
    // S + L, S + 2L, … are the same scalar to whoever reduces it; 15·L is the last that always fits 256 bits.
    for times in 1..=14 {
        let mut again = genuine;
        forge::add_order(&mut again, times);
        assert!(forge::holds_loosely(&key.encoding(), &message, &again));
        check_forgery(&mut market, &job, &message, again);
    }
    check_genuine(&mut market, &job, &message, genuine);
}

#[test]
fn a_session_key_of_small_order_gives_nothing_away() {
    let mut market = Market::new();
    for encoding in forge::small_order_encodings() {
        let (job, message) = job_of(&mut market, &encoding);
        // S·B + a point of small order for R: valid to a loose verifier once k·A is that point's negative.
        let loose = (0..).find_map(|index| {
            let s = scalar("small key", index);
            let point = s * curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
            let r = point + EIGHT_TORSION[usize::try_from(index % 8).unwrap()];
            let signature = forge::join(r.compress().to_bytes(), s);
            forge::holds_loosely(&encoding, &message, &signature).then_some(signature)
        });
        check_forgery(&mut market, &job, &message, loose.unwrap());
    }
    let key = Key::ordinary(2);
    let (job, message) = job_of(&mut market, &key.encoding());
    let genuine = key.sign(&message, scalar("nonce", 2), EIGHT_TORSION[0]);
    check_genuine(&mut market, &job, &message, genuine);
}

#[test]
fn an_r_of_small_order_or_in_another_encoding_is_refused() {
    let mut market = Market::new();
    for (index, r) in forge::small_order_encodings().into_iter().enumerate() {
        // With a key of mixed order some signature over R satisfies the loose equation, whatever R's order.
        let (job, message, forged) = (0..64)
            .find_map(|attempt| {
                let key = Key::mixed(100 * u64::try_from(index).unwrap() + attempt);
                let (job, message) = job_of(&mut market, &key.encoding());
                let forged = key.sign_with_small_r(&message, r);
                let holds = forge::holds_loosely(&key.encoding(), &message, &forged);
                holds.then_some((job, message, forged))
            })
            .unwrap();
        check_forgery(&mut market, &job, &message, forged);
    }
    let key = Key::mixed(7_000);
    let (job, message) = job_of(&mut market, &key.encoding());
    check_genuine(&mut market, &job, &message, cofactorless(&key, &message));
}

#[test]
fn a_key_of_mixed_order_is_held_to_the_equation_without_cofactor() {
    let mut market = Market::new();
    let key = Key::mixed(3);
    let (job, message) = job_of(&mut market, &key.encoding());
    let batch_only = (0..64)
        .map(|index| key.sign(&message, scalar("cofactor", index), EIGHT_TORSION[0]))
        .find(|signature| !forge::holds_loosely(&key.encoding(), &message, signature))
        .unwrap();
    assert!(forge::holds_times_cofactor(&key.encoding(), &message, &batch_only));
    check_forgery(&mut market, &job, &message, batch_only);
    check_genuine(&mut market, &job, &message, cofactorless(&key, &message));
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let mut market = Market::new();
    let key = Key::ordinary(4);
    let (job, message) = job_of(&mut market, &key.encoding());
    let genuine = key.sign(&message, scalar("nonce", 4), EIGHT_TORSION[0]);
    for bit in 0..512 {
        let mut flipped = genuine;
        flipped[bit / 8] ^= 1 << (bit % 8);
        check_forgery(&mut market, &job, &message, flipped);
    }
    let operator = market.operator.insecure_clone();
    for bit in 0..64 {
        let more = Totals { tokens_in: PAID.tokens_in ^ (1 << bit), tokens_out: PAID.tokens_out };
        denied(&mut market, &job.claim(more, genuine), &operator, "BadVoucherSignature");
        let more = Totals { tokens_in: PAID.tokens_in, tokens_out: PAID.tokens_out ^ (1 << bit) };
        denied(&mut market, &job.claim(more, genuine), &operator, "BadVoucherSignature");
    }
    check_genuine(&mut market, &job, &message, genuine);
}

#[test]
fn a_signature_over_anything_but_the_voucher_is_refused() {
    let mut market = Market::new();
    let key = Key::ordinary(5);
    let (job, message) = job_of(&mut market, &key.encoding());
    let nonce = scalar("nonce", 5);
    let sign = |message: &[u8]| key.sign(message, nonce, EIGHT_TORSION[0]);
    let mut receipt = message;
    receipt[..8].copy_from_slice(b"cf.recpt");
    let longer = [&message[..], &[0]].concat();
    for other in [&message[8..], &message[..55], &longer, &receipt, b""] {
        check_forgery(&mut market, &job, &message, sign(other));
    }
    // The very voucher, signed by each key of the worker's.
    for foreign in [&market.operator, &market.owner].map(|key| key.insecure_clone()) {
        let signature = *foreign.sign_message(&message).as_array();
        check_forgery(&mut market, &job, &message, signature);
    }
    check_genuine(&mut market, &job, &message, sign(&message));
}

#[test]
fn a_voucher_is_judged_the_same_with_the_public_features_alone() {
    let mut market = with_public_features(Market::new());
    let key = Key::ordinary(6);
    let (job, message) = job_of(&mut market, &key.encoding());
    let genuine = key.sign(&message, scalar("nonce", 6), EIGHT_TORSION[0]);
    let mut again = genuine;
    forge::add_order(&mut again, 1);
    check_forgery(&mut market, &job, &message, again);
    let foreign = key.sign(b"another message", scalar("nonce", 6), EIGHT_TORSION[0]);
    check_forgery(&mut market, &job, &message, foreign);
    check_genuine(&mut market, &job, &message, genuine);
}

/// A signature of a mixed-order key whose R takes the key's torsion back: valid without any cofactor.
fn cofactorless(key: &Key, message: &[u8]) -> [u8; 64] {
    (0..)
        .map(|index: u64| {
            let torsion = EIGHT_TORSION[usize::try_from(index % 8).unwrap()];
            key.sign(message, scalar("mixed", index), torsion)
        })
        .find(|signature| forge::is_strictly_valid(&key.encoding(), message, signature))
        .unwrap()
}
