//! What a worker signs about a call: evidence for a dispute, never money.

use crate::Totals;

/// Length of a receipt's signed message:
/// `tag(8) ‖ job(32) ‖ call(4) ‖ kind(1) ‖ tokens_in(8) ‖ tokens_out(8) ‖ frames(32)`.
pub const RECEIPT_BYTES: usize = 93;

const TAG: [u8; 8] = *b"cf.recpt";

/// When in a call a receipt was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReceiptKind {
    Accepted = 0,
    VoucherWanted = 1,
    End = 2,
}

/// The worker's statement of what it has sent so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub job: [u8; 32],
    pub call: u32,
    pub kind: ReceiptKind,
    /// The job's totals, this call's tokens included.
    pub totals: Totals,
    /// Running SHA-256 over the sealed frames of this call that were sent before this receipt.
    pub frames: [u8; 32],
}

impl Receipt {
    /// The bytes that the worker's operator key signs; integers are little-endian.
    pub fn to_bytes(&self) -> [u8; RECEIPT_BYTES] {
        let mut bytes = [0; RECEIPT_BYTES];
        bytes[..8].copy_from_slice(&TAG);
        bytes[8..40].copy_from_slice(&self.job);
        bytes[40..44].copy_from_slice(&self.call.to_le_bytes());
        bytes[44] = self.kind as u8;
        bytes[45..53].copy_from_slice(&self.totals.tokens_in.to_le_bytes());
        bytes[53..61].copy_from_slice(&self.totals.tokens_out.to_le_bytes());
        bytes[61..].copy_from_slice(&self.frames);
        bytes
    }
}
