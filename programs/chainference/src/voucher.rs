//! Vouchers are verified here, strictly, and not by the chain's Ed25519 precompile: that charges 5,000
//! lamports a signature and 170 bytes of the packet (ADR 3 has the figures).

use anchor_lang::prelude::*;
// Hashed in the program: the SHA-512 system call is not on every cluster yet.
use brine_ed25519::{hasher::Sha512, verify_with_hasher_strict};
use chainference_market::{Totals, Voucher};

use crate::error::{refuse, ProgramErrorCode};

/// What a client vouched for: totals over all calls of the job, and the session key's signature over
/// `chainference_market::Voucher`.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedTotals {
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub signature: [u8; 64],
}

impl SignedTotals {
    pub fn totals(&self) -> Totals {
        Totals { tokens_in: self.tokens_in, tokens_out: self.tokens_out }
    }

    /// Refuses unless the session key signed exactly this job's voucher. Strictly: a key or a commitment of
    /// small order, under which one signature fits many messages, is refused.
    pub fn verify(&self, job: &Pubkey, session_key: &Pubkey) -> Result<()> {
        let message = Voucher { job: job.to_bytes(), totals: self.totals() }.to_bytes();
        let verdict =
            verify_with_hasher_strict::<Sha512>(session_key, &self.signature, &[&message]);
        verdict.or_else(|_| refuse(ProgramErrorCode::BadVoucherSignature))
    }
}
