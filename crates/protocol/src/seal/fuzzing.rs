//! What a fuzzer and the replay of its corpus run: bytes as a stranger may send them. Panics are bugs.

use chainference_market::{RECEIPT_BYTES, Receipt, ReceiptKind, Totals, VOUCHER_BYTES, Voucher};
use rand::{SeedableRng, rngs::StdRng};
use serde::de::DeserializeOwned;

use super::*;
use crate::{SignedVoucher, WireErrorBody};

const JOB: Address = Address([7; 32]);
const CALL: u32 = 3;

/// Everything that gateway and worker read of each other: sealed calls and frames, vouchers, refusals, ids.
pub fn frames(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 6 {
        0 => posted(rest),
        1 => frame_in_a_seal(rest),
        2 => call_in_a_seal(rest),
        3 => ids(rest),
        4 => signed_bytes(rest),
        _ => {
            let forged = opener().open(rest);
            assert!(matches!(forged, Err(FrameError::Encoding | FrameError::Seal)), "forged");
        }
    }
}

/// Bodies of requests, before anyone has signed for them.
fn posted(body: &[u8]) {
    if let Some(call) = reread::<SealedCall>(body) {
        assert!(!call.is_signed_by(&key().public()), "nobody has signed");
        let _ = open_call(&worker(), &call);
    }
    if let Some(voucher) = reread::<SignedVoucher>(body) {
        assert!(!voucher.is_signed_by(&key().public()), "nobody has signed");
        let ours = key().vouch(voucher.job, voucher.totals(), voucher.last);
        assert!(ours.is_signed_by(&key().public()));
    }
    reread::<WireErrorBody>(body);
}

/// A worker seals what it likes.
fn frame_in_a_seal(plaintext: &[u8]) {
    let cipher = ChaCha20Poly1305::new(Key::from_slice(&[9; 32]));
    let payload = Payload { msg: &pad(plaintext.to_vec()), aad: &[0; 36] };
    let sealed = cipher.encrypt(&Nonce::default(), payload).expect("it fits");
    let mut opener = opener();
    let opened = opener.open(BASE64.encode(&sealed));
    assert_eq!(opened.is_ok(), serde_json::from_slice::<Frame>(plaintext).is_ok());
    reread::<Frame>(plaintext);
}

/// A client seals what it likes.
fn call_in_a_seal(plaintext: &[u8]) {
    let mut rng = StdRng::seed_from_u64(1);
    let envelope = Envelope::to(&worker().public(), &mut rng).expect("a good key");
    let sealed = seal_plaintext(envelope, &key(), (JOB, CALL), plaintext.to_vec());
    let (sealed, _) = sealed.expect("it fits");
    assert!(sealed.is_signed_by(&key().public()));
    let opened = open_call(&worker(), &sealed);
    assert_eq!(opened.is_ok(), serde_json::from_slice::<CallRequest>(plaintext).is_ok());
}

fn ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text);
    }
    if let Ok(signature) = text.parse::<Signature>() {
        assert_eq!(signature.to_string(), text);
    }
}

/// What is signed reads back as what it was, and as nothing else.
fn signed_bytes(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk::<VOUCHER_BYTES>()
        && let Some(voucher) = Voucher::from_bytes(bytes)
    {
        assert_eq!(voucher.to_bytes(), *bytes);
    }
    let mut fields = [0; RECEIPT_BYTES];
    bytes.iter().zip(&mut fields).for_each(|(from, to)| *to = *from);
    let number = |at: usize| {
        fields[at..].first_chunk().map_or(0, |bytes: &[u8; 8]| u64::from_le_bytes(*bytes))
    };
    let kinds = [ReceiptKind::Accepted, ReceiptKind::VoucherWanted, ReceiptKind::End];
    let receipt = Receipt {
        job: fields[8..40].try_into().expect("32 bytes"),
        call: u32::from_le_bytes(fields[40..44].try_into().expect("4 bytes")),
        kind: kinds[usize::from(fields[44]) % kinds.len()],
        totals: Totals { tokens_in: number(45), tokens_out: number(53) },
        frames: fields[61..].try_into().expect("32 bytes"),
    };
    let stated = receipt.to_bytes();
    assert_eq!((&stated[8..44], &stated[45..]), (&fields[8..44], &fields[45..]));
    let is_voucher = stated.first_chunk().is_some_and(|head| Voucher::from_bytes(head).is_some());
    assert!(!is_voucher, "a receipt is no voucher");
}

/// What is read and written reads back.
fn reread<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).expect("it has been read");
    Some(serde_json::from_slice(&written).expect("it reads back"))
}

fn key() -> SessionKey {
    SessionKey::from_seed([5; 32])
}

fn worker() -> WorkerSecret {
    WorkerSecret::from_bytes(&[6; 32]).expect("any bytes are a key")
}

fn opener() -> FrameOpener {
    FrameOpener(FrameStream::new(&[9; 32], [0; 36]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_fuzzers_began_with_holds() {
        chainference_testkit::replay("frames", super::frames);
    }
}
