//! Signatures that nobody honest makes, built with the curve's own arithmetic over a job's real voucher.

use chainference_chain::{Pubkey, Totals};
use chainference_market::Voucher;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as BASE, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha512};

/// L, the order of the base point, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A session key whose secret is known: `secret·B + torsion`. Ordinary where the torsion is the identity.
#[derive(Clone, Copy)]
pub struct Key {
    pub secret: Scalar,
    pub torsion: EdwardsPoint,
}

impl Key {
    /// The `index`-th ordinary key; always the same.
    pub fn ordinary(index: u64) -> Self {
        Self { secret: scalar("key", index), torsion: EIGHT_TORSION[0] }
    }

    /// Of mixed order: the key has a part of order 8.
    pub fn mixed(index: u64) -> Self {
        Self { torsion: EIGHT_TORSION[1], ..Self::ordinary(index) }
    }

    pub fn point(&self) -> EdwardsPoint {
        self.secret * BASE + self.torsion
    }

    pub fn encoding(&self) -> [u8; 32] {
        self.point().compress().to_bytes()
    }

    /// `R = nonce·B + torsion`, `S = nonce + k·secret`: what an honest signer makes with the identity as `torsion`.
    pub fn sign(&self, message: &[u8], nonce: Scalar, torsion: EdwardsPoint) -> [u8; 64] {
        let r = (nonce * BASE + torsion).compress().to_bytes();
        let k = challenge(&r, &self.encoding(), message);
        join(r, nonce + k * self.secret)
    }

    /// The same for an encoding of R that is of small order, or not canonical: no nonce is left in it.
    pub fn sign_with_small_r(&self, message: &[u8], r: [u8; 32]) -> [u8; 64] {
        join(r, challenge(&r, &self.encoding(), message) * self.secret)
    }
}

/// The bytes that this job's vouchers sign.
pub fn message(job: &Pubkey, totals: Totals) -> [u8; 56] {
    Voucher { job: job.to_bytes(), totals }.to_bytes()
}

/// A scalar that follows from its name: no run differs from another.
pub fn scalar(name: &str, index: u64) -> Scalar {
    let digest = Sha512::digest([name.as_bytes(), &index.to_le_bytes()].concat());
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

/// k = H(R ‖ A ‖ M), over the encodings as they are.
pub fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let digest = Sha512::digest([r, key, message].concat());
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

pub fn join(r: [u8; 32], s: Scalar) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(&s.to_bytes());
    signature
}

/// Adds a multiple of L to a signature's S: the same scalar to whoever reduces it.
pub fn add_order(signature: &mut [u8; 64], times: u32) {
    for _ in 0..times {
        let mut carry = 0;
        for (digit, order) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*digit) + u16::from(order) + carry;
            *digit = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "S + {times}·L fits 256 bits");
    }
}

/// `S·B = R + k·A`, with R and A taken however they are encoded: what a careless verifier asks.
pub fn holds_loosely(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    difference(key, message, signature).is_some_and(|point| point.is_identity())
}

/// `8·S·B = 8·R + 8·k·A`: what a batch verifier asks.
pub fn holds_times_cofactor(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    difference(key, message, signature).is_some_and(|point| point.mul_by_cofactor().is_identity())
}

/// What `verify_strict` of ed25519-dalek says: the judgement that the chain must share.
pub fn is_strictly_valid(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

/// The eight points of small order, and each other encoding that decoders take for one of them: y beyond the
/// field's prime, and x = 0 with its sign bit set.
pub fn small_order_encodings() -> Vec<[u8; 32]> {
    let with_sign = |mut bytes: [u8; 32]| {
        bytes[31] |= 0x80;
        bytes
    };
    let prime_plus = |low: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + low, 0x7f);
        bytes
    };
    let [identity, minus_one] = [0, 4].map(|at| EIGHT_TORSION[at].compress().to_bytes());
    let mut all: Vec<_> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    all.extend([prime_plus(0), prime_plus(1)]);
    all.extend([prime_plus(0), prime_plus(1), identity, minus_one].map(with_sign));
    all
}

pub fn decode(encoding: &[u8; 32]) -> Option<EdwardsPoint> {
    CompressedEdwardsY(*encoding).decompress()
}

/// `S·B − R − k·A`, for any S.
fn difference(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Option<EdwardsPoint> {
    let (r, s) = signature.split_first_chunk::<32>()?;
    let s = Scalar::from_bytes_mod_order(s.try_into().ok()?);
    let k = challenge(r, key, message);
    Some(s * BASE - decode(r)? - k * decode(key)?)
}
