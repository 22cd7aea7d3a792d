//! Attack: the edge cases on which Ed25519 verifiers are known to disagree ("Taming the many EdDSAs", Chalkias,
//! Garillot and Nikolaenko 2020, its twelve vectors), and thousands of random ones. Gain: a voucher that the gateway
//! or the worker judges otherwise than the chain: served and never paid, or the reverse. Stopped by: both judge as
//! ed25519-dalek's `verify_strict`. The published messages have 32 bytes and ours are 56 with the job's address in
//! them, so each vector is built again over a real voucher of a job with the vector's kind of key.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as BASE, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar;

use crate::common::*;
use crate::forge::{self, Key, join, message, scalar};
use crate::support::*;

/// A point of order 8, as in the published vectors.
const SMALL: usize = 1;
/// p and p + 1: a point of order 4 and the identity, in encodings that only careless decoders take.
const NOT_CANONICAL: [usize; 2] = [8, 9];

/// Key and signature over a message. The key does not depend on the message.
type Build = Box<dyn Fn(&[u8]) -> ([u8; 32], [u8; 64])>;

/// What a vector is built for: the key of a new job each time, until the vector's equation holds.
struct Vector {
    number: u64,
    /// Whether the plain and the batch equation hold: what makes the vector the published one.
    holds: (bool, bool),
    strict: bool,
    build: fn(attempt: u64) -> Build,
}

#[test]
fn the_published_edge_cases_are_judged_strictly() {
    let mut market = Market::new();
    for vector in vectors() {
        let found = (0..256).find(|attempt| try_vector(&mut market, &vector, *attempt));
        assert!(found.is_some(), "vector {} was never built", vector.number);
    }
}

/// Builds the vector over a new job's voucher and asks the chain; `false` where this attempt is not the vector.
fn try_vector(market: &mut Market, vector: &Vector, attempt: u64) -> bool {
    let build = (vector.build)(attempt);
    let (key, _) = build(&[]);
    // Some keys are the same in several vectors: the slot makes the job another one.
    let open_slot = market.clock().slot - 100 * vector.number - attempt;
    let job = Target::unpublished(market, key, open_slot);
    let message = message(&job.address(), PAID);
    let (_, signature) = build(&message);
    let holds = (
        forge::holds_loosely(&key, &message, &signature),
        forge::holds_times_cofactor(&key, &message, &signature),
    );
    let strict = forge::is_strictly_valid(&key, &message, &signature);
    if holds != vector.holds || strict != vector.strict {
        return false;
    }
    job.lock(market);
    assert_eq!(job.verdict(market, PAID, signature), vector.strict, "vector {}", vector.number);
    true
}

fn vectors() -> Vec<Vector> {
    let all = [
        ((true, true), false, small_key_small_r as fn(u64) -> Build),
        ((true, true), false, small_key_mixed_r),
        ((true, true), false, mixed_key_small_r),
        ((true, true), true, mixed_key_mixed_r),
        ((false, true), false, mixed_key_mixed_r),
        ((false, true), false, mixed_key_plain_r),
        ((true, true), false, scalar_just_beyond_the_order),
        ((true, true), false, scalar_far_beyond_the_order),
        ((true, true), false, mixed_key_r_not_canonical),
        ((false, true), false, mixed_key_r_not_canonical),
        ((true, true), false, key_not_canonical),
        ((false, true), false, key_not_canonical),
    ];
    all.into_iter()
        .zip(0..)
        .map(|((holds, strict, build), number)| Vector { number, holds, strict, build })
        .collect()
}

/// S = 0, both points of order 8.
fn small_key_small_r(_: u64) -> Build {
    let key = EIGHT_TORSION[SMALL].compress().to_bytes();
    let r = (-EIGHT_TORSION[SMALL]).compress().to_bytes();
    Box::new(move |_| (key, join(r, Scalar::ZERO)))
}

fn small_key_mixed_r(attempt: u64) -> Build {
    let key = EIGHT_TORSION[SMALL].compress().to_bytes();
    let s = scalar("small key, mixed R", attempt);
    let r = (s * BASE - EIGHT_TORSION[SMALL]).compress().to_bytes();
    Box::new(move |_| (key, join(r, s)))
}

fn mixed_key_small_r(attempt: u64) -> Build {
    let key = Key::mixed(1_000 + attempt);
    let r = EIGHT_TORSION[SMALL].compress().to_bytes();
    Box::new(move |message| (key.encoding(), key.sign_with_small_r(message, r)))
}

fn mixed_key_mixed_r(attempt: u64) -> Build {
    let key = Key::mixed(2_000 + attempt);
    let nonce = scalar("mixed key, mixed R", attempt);
    Box::new(move |message| (key.encoding(), key.sign(message, nonce, EIGHT_TORSION[SMALL])))
}

fn mixed_key_plain_r(attempt: u64) -> Build {
    let key = Key::mixed(3_000 + attempt);
    let nonce = scalar("mixed key, plain R", attempt);
    Box::new(move |message| (key.encoding(), key.sign(message, nonce, EIGHT_TORSION[0])))
}

fn scalar_just_beyond_the_order(attempt: u64) -> Build {
    beyond_the_order(attempt, 1)
}

fn scalar_far_beyond_the_order(attempt: u64) -> Build {
    beyond_the_order(attempt, 8)
}

fn mixed_key_r_not_canonical(attempt: u64) -> Build {
    let key = Key::mixed(5_000 + attempt);
    let r = forge::small_order_encodings()[NOT_CANONICAL[usize::from(attempt % 2 == 1)]];
    Box::new(move |message| (key.encoding(), key.sign_with_small_r(message, r)))
}

fn key_not_canonical(attempt: u64) -> Build {
    let key = forge::small_order_encodings()[NOT_CANONICAL[0]];
    let s = scalar("key not canonical", attempt);
    let r = (s * BASE + EIGHT_TORSION[2]).compress().to_bytes();
    Box::new(move |_| (key, join(r, s)))
}

fn beyond_the_order(attempt: u64, times: u32) -> Build {
    let key = Key::ordinary(4_000 + attempt);
    let nonce = scalar("beyond", attempt);
    Box::new(move |message| {
        let mut signature = key.sign(message, nonce, EIGHT_TORSION[0]);
        forge::add_order(&mut signature, times);
        (key.encoding(), signature)
    })
}

#[test]
fn the_chain_and_dalek_agree_on_thousands_of_signatures() {
    let mut market = Market::new();
    let (mut genuine, mut forged) = (0, 0);
    for index in 0..JOBS {
        let key = if index % 3 == 0 { Key::mixed(index) } else { Key::ordinary(index) };
        let job = Target::locked_with(&mut market, key.encoding());
        let message = message(&job.address(), PAID);
        for case in 0..CASES {
            let signature = some_signature(&key, &message, index * CASES + case);
            let expected = forge::is_strictly_valid(&key.encoding(), &message, &signature);
            let verdict = job.verdict(&mut market, PAID, signature);
            assert_eq!(verdict, expected, "job {index}, case {case}: {signature:?}");
            *if expected { &mut genuine } else { &mut forged } += 1;
        }
    }
    println!("{genuine} accepted and {forged} refused, as by ed25519-dalek");
    assert!(genuine > 500 && forged > 2_000, "{genuine} accepted, {forged} refused");
}

const JOBS: u64 = 60;
const CASES: u64 = 60;

/// Honest, damaged, or made of edge cases: the case's number says which.
fn some_signature(key: &Key, message: &[u8; 56], case: u64) -> [u8; 64] {
    let nonce = scalar("agreement", case);
    let random = scalar("agreement, more", case).to_bytes();
    let pick = usize::from(random[0]);
    let encodings = forge::small_order_encodings();
    let small = encodings[pick % encodings.len()];
    let mut signature = key.sign(message, nonce, EIGHT_TORSION[0]);
    match case % 10 {
        0 | 1 => {}
        2 => signature = key.sign(message, nonce, EIGHT_TORSION[pick % 8]),
        3 => signature[pick % 64] ^= 1 << (random[1] % 8),
        4 => forge::add_order(&mut signature, 1 + u32::from(random[1]) % 14),
        5 => signature = key.sign_with_small_r(message, small),
        6 => signature[..32].copy_from_slice(&small),
        7 => signature[32..].fill(0),
        8 => signature[..32].copy_from_slice(&random),
        _ => {
            let mut other = *message;
            other[pick % 56] ^= 1 << (random[1] % 8);
            signature = key.sign(&other, nonce, EIGHT_TORSION[0]);
        }
    }
    signature
}
