//! The promise of payment that a client signs while tokens flow.

use crate::Totals;

/// Length of a voucher's signed message: `tag(8) ‖ job(32) ‖ tokens_in(8) ‖ tokens_out(8)`.
pub const VOUCHER_BYTES: usize = 56;

/// Separates vouchers from everything else that a session key signs.
const TAG: [u8; 8] = *b"cf.vouch";

/// Totals over all calls of a job, as vouched for by the job's session key. They only ever rise; the
/// highest wins. The job's address binds it to one vault, session key and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    pub job: [u8; 32],
    pub totals: Totals,
}

impl Voucher {
    /// The bytes that are signed; integers are little-endian.
    pub fn to_bytes(&self) -> [u8; VOUCHER_BYTES] {
        let mut bytes = [0; VOUCHER_BYTES];
        bytes[..8].copy_from_slice(&TAG);
        bytes[8..40].copy_from_slice(&self.job);
        bytes[40..48].copy_from_slice(&self.totals.tokens_in.to_le_bytes());
        bytes[48..].copy_from_slice(&self.totals.tokens_out.to_le_bytes());
        bytes
    }

    /// Reads signed bytes back; `None` for anything that is not a voucher.
    pub fn from_bytes(bytes: &[u8; VOUCHER_BYTES]) -> Option<Self> {
        let (tag, rest) = bytes.split_first_chunk::<8>()?;
        let (job, rest) = rest.split_first_chunk::<32>()?;
        let (tokens_in, rest) = rest.split_first_chunk::<8>()?;
        let (tokens_out, _) = rest.split_first_chunk::<8>()?;
        (*tag == TAG).then(|| Self {
            job: *job,
            totals: Totals {
                tokens_in: u64::from_le_bytes(*tokens_in),
                tokens_out: u64::from_le_bytes(*tokens_out),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_fixed() {
        let voucher = Voucher {
            job: [7; 32],
            totals: Totals { tokens_in: 1, tokens_out: 0x0102_0304_0506_0708 },
        };
        let bytes = voucher.to_bytes();
        assert_eq!(&bytes[..8], b"cf.vouch");
        assert_eq!(&bytes[8..40], &[7; 32]);
        assert_eq!(&bytes[40..48], &[1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[48..], &[8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(Voucher::from_bytes(&bytes), Some(voucher));
    }

    #[test]
    fn another_tag_is_no_voucher() {
        let mut bytes = Voucher { job: [7; 32], totals: Totals::ZERO }.to_bytes();
        bytes[0] ^= 1;
        assert_eq!(Voucher::from_bytes(&bytes), None);
    }
}
