//! What a worker signs of a call, checked: its own key's word for the totals that it counts. No clock, no
//! I/O.

use chainference_chain::Pubkey;
use chainference_market::{Receipt, ReceiptKind, Totals};
use chainference_protocol::{Address, SignedReceipt, verify};

use super::exact::Finding;
use crate::ledger::StoredReceipt;

/// What is wrong with a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadReceipt {
    pub kind: ReceiptKind,
    pub problem: &'static str,
}

/// The receipts of one call.
#[derive(Debug)]
pub struct Receipts {
    job: Address,
    call: u32,
    operator: Address,
    /// Nobody else's tokens are among the job's.
    is_alone: bool,
    /// Not checked yet: nothing that a client waits for has to wait for signatures.
    heard: Vec<Heard>,
    checked: Vec<StoredReceipt>,
}

/// A receipt as it came, and what had come before it.
#[derive(Debug)]
struct Heard {
    kind: ReceiptKind,
    receipt: SignedReceipt,
    frames: [u8; 32],
    received: Totals,
}

impl Receipts {
    /// Of a call of a job whose worker signs with `operator`.
    pub fn new(job: Address, call: u32, operator: Pubkey, is_alone: bool) -> Self {
        let operator = Address(operator.to_bytes());
        Self { job, call, operator, is_alone, heard: Vec::new(), checked: Vec::new() }
    }

    /// One has come after frames of this digest, when this much of the call had.
    pub fn heard(
        &mut self,
        kind: ReceiptKind,
        receipt: SignedReceipt,
        frames: [u8; 32],
        received: Totals,
    ) {
        self.heard.push(Heard { kind, receipt, frames, received });
    }

    /// Checks what has come since the last time; says what is wrong with the first that is not as it should be.
    pub fn check(&mut self) -> Option<BadReceipt> {
        let mut bad = None;
        for heard in std::mem::take(&mut self.heard) {
            let problem = self.check_one(&heard);
            bad = bad.or(problem.map(|problem| BadReceipt { kind: heard.kind, problem }));
        }
        bad
    }

    fn check_one(&mut self, heard: &Heard) -> Option<&'static str> {
        let Heard { kind, ref receipt, frames, received } = *heard;
        let totals = receipt.totals();
        let stated = Receipt { job: self.job.0, call: self.call, kind, totals, frames };
        let is_signed = verify(&self.operator, &stated.to_bytes(), &receipt.signature);
        let is_right = if self.is_alone { totals == received } else { totals.covers(received) };
        let problem = match (is_signed, is_right) {
            (false, _) => Some("it is not signed by the worker's operator"),
            (true, false) => Some("the worker counts otherwise"),
            (true, true) => None,
        };
        let name = name(kind);
        // The newest of a kind is the one that counts.
        self.checked.retain(|checked| checked.kind != name);
        self.checked.push(StoredReceipt {
            call: self.call,
            kind: name,
            totals,
            frames: frames.iter().map(|byte| format!("{byte:02x}")).collect(),
            signature: receipt.signature.to_string(),
            problem: problem.map(str::to_owned),
        });
        problem
    }

    /// What the model's tokenizer says stands at the receipt that it is about.
    pub fn judged(&mut self, found: &Finding) {
        for (kind, problem) in
            [(ReceiptKind::Accepted, &found.input), (ReceiptKind::End, &found.output)]
        {
            problem.iter().for_each(|problem| self.contradicted(kind, problem));
        }
    }

    /// It stands at the newest one where that is missing.
    fn contradicted(&mut self, kind: ReceiptKind, problem: &str) {
        let name = name(kind);
        let at = self.checked.iter().position(|heard| heard.kind == name);
        let last = self.checked.len().saturating_sub(1);
        if let Some(receipt) = self.checked.get_mut(at.unwrap_or(last)) {
            let all = [receipt.problem.as_deref(), Some(problem)];
            receipt.problem = Some(all.into_iter().flatten().collect::<Vec<_>>().join("; "));
        }
    }

    /// Those that were checked.
    pub fn into_stored(self) -> Vec<StoredReceipt> {
        self.checked
    }
}

fn name(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Accepted => "accepted",
        ReceiptKind::VoucherWanted => "voucher_wanted",
        ReceiptKind::End => "end",
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
            receipts.heard(ReceiptKind::End, receipt, [1; 32], TOTALS);
            let problem = receipts.check().map(|bad| bad.problem);
            assert_eq!(problem.is_some(), wrong, "{receipt:?}");
            assert_eq!(receipts.check(), None, "each is checked once");
            assert_eq!(receipts.into_stored()[0].problem.as_deref(), problem);
        }
    }

    #[test]
    fn what_the_tokenizer_says_stands_at_the_receipt_that_it_is_about() {
        let key = Keypair::new();
        let mut receipts = Receipts::new(JOB, 0, key.pubkey(), true);
        let found = |input: &str, output: &str| Finding {
            input: Some(input.to_owned()),
            output: Some(output.to_owned()),
            ..Finding::RIGHT
        };
        receipts.judged(&found("nothing", "was signed"));
        for kind in [ReceiptKind::Accepted, ReceiptKind::VoucherWanted] {
            let receipt = sign(&key, 0, TOTALS, [0; 32]);
            receipts.heard(kind, receipt, [0; 32], TOTALS);
        }
        receipts.check();
        receipts.judged(&found("more", "made up"));
        receipts.judged(&Finding::RIGHT);
        let problems: Vec<_> = receipts.into_stored().into_iter().map(|it| it.problem).collect();
        let not_signed = "it is not signed by the worker's operator";
        let expected = ["more", "made up"].map(|said| Some(format!("{not_signed}; {said}")));
        assert_eq!(problems, expected);
    }

    #[test]
    fn the_newest_of_a_kind_is_kept() {
        let key = Keypair::new();
        let mut receipts = Receipts::new(JOB, 0, key.pubkey(), true);
        let less = Totals { tokens_out: 1, ..TOTALS };
        for totals in [less, TOTALS] {
            let receipt = sign(&key, 0, totals, [0; 32]);
            receipts.heard(ReceiptKind::VoucherWanted, receipt, [0; 32], totals);
        }
        receipts.check();
        let stored = receipts.into_stored();
        assert_eq!(stored.iter().map(|one| one.totals).collect::<Vec<_>>(), [TOTALS]);
    }
}
