//! What a worker signs of a call, checked: its own key's word for the totals that it counts. No clock, no
//! I/O.

use chainference_chain::Pubkey;
use chainference_market::{Receipt, ReceiptKind, Totals};
use chainference_protocol::{Address, SignedReceipt, verify};

use crate::ledger::StoredReceipt;

/// The receipts of one call.
#[derive(Debug)]
pub struct Receipts {
    job: Address,
    call: u32,
    operator: Address,
    /// Nobody else's tokens are among the job's.
    is_alone: bool,
    heard: Vec<StoredReceipt>,
}

impl Receipts {
    /// Of a call of a job whose worker signs with `operator`.
    pub fn new(job: Address, call: u32, operator: Pubkey, is_alone: bool) -> Self {
        let operator = Address(operator.to_bytes());
        Self { job, call, operator, is_alone, heard: Vec::new() }
    }

    /// One has come after frames of this digest, when this much of the call had. Says what is wrong with it.
    pub fn heard(
        &mut self,
        kind: ReceiptKind,
        receipt: &SignedReceipt,
        frames: [u8; 32],
        received: Totals,
    ) -> Option<&'static str> {
        let totals = receipt.totals();
        let stated = Receipt { job: self.job.0, call: self.call, kind, totals, frames };
        let is_signed = verify(&self.operator, &stated.to_bytes(), &receipt.signature);
        let is_right = if self.is_alone { totals == received } else { totals.covers(received) };
        let problem = match (is_signed, is_right) {
            (false, _) => Some("it is not signed by the worker's operator"),
            (true, false) => Some("the worker counts otherwise"),
            (true, true) => None,
        };
        let name = match kind {
            ReceiptKind::Accepted => "accepted",
            ReceiptKind::VoucherWanted => "voucher_wanted",
            ReceiptKind::End => "end",
        };
        // The newest of a kind is the one that counts.
        self.heard.retain(|heard| heard.kind != name);
        self.heard.push(StoredReceipt {
            call: self.call,
            kind: name,
            totals,
            frames: frames.iter().map(|byte| format!("{byte:02x}")).collect(),
            signature: receipt.signature.to_string(),
            problem,
        });
        problem
    }

    pub fn into_stored(self) -> Vec<StoredReceipt> {
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use chainference_chain::{Keypair, Signer};
    use chainference_protocol::Signature;

    use super::*;

    const JOB: Address = Address([7; 32]);
    const TOTALS: Totals = Totals { tokens_in: 9, tokens_out: 4 };

    fn sign(key: &Keypair, call: u32, totals: Totals, frames: [u8; 32]) -> SignedReceipt {
        let kind = ReceiptKind::End;
        let bytes = Receipt { job: JOB.0, call, kind, totals, frames }.to_bytes();
        let signature = Signature(key.sign_message(&bytes).into());
        SignedReceipt { tokens_in: totals.tokens_in, tokens_out: totals.tokens_out, signature }
    }

    #[test]
    fn a_receipt_holds_for_its_own_call_totals_frames_and_key() {
        let (operator, other) = (Keypair::new(), Keypair::new());
        let more = Totals { tokens_out: 5, ..TOTALS };
        for (receipt, is_alone, wrong) in [
            (sign(&operator, 3, TOTALS, [1; 32]), true, false),
            (sign(&operator, 3, more, [1; 32]), true, true),
            (sign(&operator, 3, more, [1; 32]), false, false),
            (sign(&operator, 2, TOTALS, [1; 32]), true, true),
            (sign(&operator, 3, TOTALS, [2; 32]), true, true),
            (sign(&other, 3, TOTALS, [1; 32]), true, true),
        ] {
            let mut receipts = Receipts::new(JOB, 3, operator.pubkey(), is_alone);
            let problem = receipts.heard(ReceiptKind::End, &receipt, [1; 32], TOTALS);
            assert_eq!(problem.is_some(), wrong, "{receipt:?}");
            assert_eq!(receipts.into_stored()[0].problem, problem);
        }
    }

    #[test]
    fn the_newest_of_a_kind_is_kept() {
        let key = Keypair::new();
        let mut receipts = Receipts::new(JOB, 0, key.pubkey(), true);
        let less = Totals { tokens_out: 1, ..TOTALS };
        for totals in [less, TOTALS] {
            let receipt = sign(&key, 0, totals, [0; 32]);
            receipts.heard(ReceiptKind::VoucherWanted, &receipt, [0; 32], totals);
        }
        let stored = receipts.into_stored();
        assert_eq!(stored.iter().map(|one| one.totals).collect::<Vec<_>>(), [TOTALS]);
    }
}
