//! What a job's session key signs: vouchers, and the calls that it makes.

use chainference_market::{Totals, Voucher};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Address, SealedCall, Signature};

/// Separates calls from vouchers (`cf.vouch`) under the same key.
const CALL_TAG: [u8; 8] = *b"cf.call\0";

/// A fresh random key named in one job. It signs vouchers and calls, and moves nothing else.
#[derive(Clone)]
pub struct SessionKey(SigningKey);

impl SessionKey {
    /// The key of a stored 32-byte seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The seed to store, before the job is published.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    pub fn public(&self) -> Address {
        Address(self.0.verifying_key().to_bytes())
    }

    /// Vouches for `totals`. `last`: nothing more will be called on this job, settle now.
    pub fn vouch(&self, job: Address, totals: Totals, last: bool) -> SignedVoucher {
        let message = Voucher { job: job.0, totals }.to_bytes();
        SignedVoucher {
            job,
            tokens_in: totals.tokens_in,
            tokens_out: totals.tokens_out,
            signature: Signature(self.0.sign(&message).to_bytes()),
            last,
        }
    }

    pub(crate) fn sign_call(&self, call: &SealedCall) -> Signature {
        Signature(self.0.sign(&call_message(call)).to_bytes())
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionKey({})", self.public())
    }
}

/// A voucher as it is posted. `last` is a wish, not money: it is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVoucher {
    pub job: Address,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub signature: Signature,
    #[serde(default)]
    pub last: bool,
}

impl SignedVoucher {
    pub fn totals(&self) -> Totals {
        Totals { tokens_in: self.tokens_in, tokens_out: self.tokens_out }
    }

    /// Whether the job's session key signed exactly this.
    pub fn is_signed_by(&self, session_key: &Address) -> bool {
        let message = Voucher { job: self.job.0, totals: self.totals() }.to_bytes();
        verify(session_key, &message, &self.signature)
    }
}

/// Strict Ed25519 verification, as the on-chain program does it: a small-order key would otherwise
/// sign anything.
pub fn verify(key: &Address, message: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    VerifyingKey::from_bytes(&key.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

/// `tag(8) ‖ job(32) ‖ call(4) ‖ sha256(enc ‖ body)(32)`.
pub(crate) fn call_message(call: &SealedCall) -> [u8; 76] {
    let digest = Sha256::new().chain_update(call.enc).chain_update(&call.body).finalize();
    let mut message = [0; 76];
    message[..8].copy_from_slice(&CALL_TAG);
    message[8..40].copy_from_slice(&call.job.0);
    message[40..44].copy_from_slice(&call.call.to_le_bytes());
    message[44..].copy_from_slice(&digest);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Address = Address([3; 32]);
    const TOTALS: Totals = Totals { tokens_in: 5, tokens_out: 7 };

    #[test]
    fn a_voucher_holds_only_for_its_own_job_totals_and_key() {
        let key = SessionKey::from_seed([1; 32]);
        let voucher = key.vouch(JOB, TOTALS, true);
        assert!(voucher.is_signed_by(&key.public()));
        assert!(SignedVoucher { last: false, ..voucher }.is_signed_by(&key.public()));
        for forged in [
            SignedVoucher { job: Address([4; 32]), ..voucher },
            SignedVoucher { tokens_in: 6, ..voucher },
            SignedVoucher { tokens_out: 8, ..voucher },
        ] {
            assert!(!forged.is_signed_by(&key.public()), "{forged:?}");
        }
        assert!(!voucher.is_signed_by(&SessionKey::from_seed([2; 32]).public()));
    }

    #[test]
    fn a_small_order_key_signs_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1; // the neutral element: R = identity, s = 0 verifies loosely for any message
        let mut signature = [0; 64];
        signature[0] = 1;
        let forged = SignedVoucher {
            job: JOB,
            tokens_in: u64::MAX,
            tokens_out: u64::MAX,
            signature: Signature(signature),
            last: true,
        };
        assert!(!forged.is_signed_by(&Address(identity)));
    }
}
