//! Sealing: HPKE to the worker's X25519 key once a call, then both directions under keys of that
//! exchange. Nobody between gateway and worker reads, changes, reorders or repeats anything.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_with::{base64::Base64, serde_as};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::voucher::call_message;
use crate::{Address, CallRequest, Frame, FrameError, SessionKey, Signature, verify};

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Cipher = hpke::aead::ChaCha20Poly1305;

const INFO: &[u8] = b"chainference call v1";
const FRAMES: &[u8] = b"chainference frames v1";
/// Lengths tell what was said: plaintexts are padded to a multiple of this many bytes.
const PAD_BYTES: usize = 64;

/// The X25519 key in a worker's on-chain record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPublic(pub [u8; 32]);

/// The worker's half of it.
pub struct WorkerSecret(<Kem as hpke::Kem>::PrivateKey);

impl WorkerSecret {
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Kem::gen_keypair(rng).0)
    }

    /// A stored key; `None` for bytes that are no X25519 key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes).ok().map(Self)
    }

    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    pub fn public(&self) -> WorkerPublic {
        WorkerPublic(Kem::sk_to_pk(&self.0).to_bytes().into())
    }
}

impl std::fmt::Debug for WorkerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorkerSecret(…)")
    }
}

/// A call as it is posted: only the job's worker can read it, only the job's client can have made it.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCall {
    pub job: Address,
    /// Counts the job's calls from 0: a worker serves each number once.
    pub call: u32,
    /// HPKE's encapsulated key.
    #[serde_as(as = "Base64")]
    pub enc: [u8; 32],
    #[serde_as(as = "Base64")]
    pub body: Vec<u8>,
    /// By the job's session key, over job, call and the digest of `enc` and `body`.
    pub signature: Signature,
}

impl SealedCall {
    /// Whether the job's session key made this call.
    pub fn is_signed_by(&self, session_key: &Address) -> bool {
        verify(session_key, &call_message(self), &self.signature)
    }
}

/// Why a call can't be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the worker's X25519 key is not a valid key")]
    WorkerKey,
    #[error("the call's seal doesn't hold: it was made for another key, job or call")]
    Seal,
    #[error("the call's content is of no known form: the gateway may be of a newer version")]
    Content,
}

/// The part of a seal that can be made before there is a call: a fresh key, agreed upon with a worker's.
pub struct Envelope {
    enc: <Kem as hpke::Kem>::EncappedKey,
    context: hpke::aead::AeadCtxS<Cipher, Kdf, Kem>,
}

impl Envelope {
    /// # Errors
    /// [`SealError::WorkerKey`]
    pub fn to(worker: &WorkerPublic, rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        let to = <Kem as hpke::Kem>::PublicKey::from_bytes(&worker.0);
        let to = to.map_err(|_| SealError::WorkerKey)?;
        let (enc, context) =
            hpke::setup_sender(&OpModeS::Base, &to, INFO, rng).map_err(|_| SealError::WorkerKey)?;
        Ok(Self { enc, context })
    }
}

/// Seals a request to a worker. The opener reads the frames that come back.
pub fn seal_call(
    envelope: Envelope,
    session_key: &SessionKey,
    job: Address,
    call: u32,
    request: &CallRequest,
) -> Result<(SealedCall, FrameOpener), SealError> {
    let plaintext = serde_json::to_vec(request).map_err(|_| SealError::Content)?;
    seal_plaintext(envelope, session_key, (job, call), plaintext)
}

/// Seals the bytes of a request.
fn seal_plaintext(
    Envelope { enc, mut context }: Envelope,
    session_key: &SessionKey,
    (job, call): (Address, u32),
    plaintext: Vec<u8>,
) -> Result<(SealedCall, FrameOpener), SealError> {
    let aad = associated_data(job, call);
    let body = context.seal(&pad(plaintext), &aad).map_err(|_| SealError::Seal)?;
    let mut frame_key = Zeroizing::new([0; 32]);
    context.export(FRAMES, &mut *frame_key).map_err(|_| SealError::Seal)?;

    let unsigned =
        SealedCall { job, call, enc: enc.to_bytes().into(), body, signature: Signature([0; 64]) };
    let sealed = SealedCall { signature: session_key.sign_call(&unsigned), ..unsigned };
    Ok((sealed, FrameOpener(FrameStream::new(&frame_key, aad))))
}

/// Opens a call on the worker. The sealer seals the frames that answer it.
pub fn open_call(
    secret: &WorkerSecret,
    sealed: &SealedCall,
) -> Result<(CallRequest, FrameSealer), SealError> {
    let enc =
        <Kem as hpke::Kem>::EncappedKey::from_bytes(&sealed.enc).map_err(|_| SealError::Seal)?;
    let mut context =
        hpke::setup_receiver::<Cipher, Kdf, Kem>(&OpModeR::Base, &secret.0, &enc, INFO)
            .map_err(|_| SealError::Seal)?;
    let aad = associated_data(sealed.job, sealed.call);
    let plaintext = context.open(&sealed.body, &aad).map_err(|_| SealError::Seal)?;
    let plaintext = Zeroizing::new(plaintext);
    let content = unpad(&plaintext).ok_or(SealError::Content)?;
    let request = serde_json::from_slice(content).map_err(|_| SealError::Content)?;
    let mut frame_key = Zeroizing::new([0; 32]);
    context.export(FRAMES, &mut *frame_key).map_err(|_| SealError::Seal)?;
    Ok((request, FrameSealer(FrameStream::new(&frame_key, aad))))
}

/// Seals the frames of one call, in order.
pub struct FrameSealer(FrameStream);

/// Opens the frames of one call, in order.
pub struct FrameOpener(FrameStream);

impl FrameSealer {
    /// The next event's data, in base64.
    pub fn seal(&mut self, frame: &Frame) -> Result<String, FrameError> {
        let plaintext =
            Zeroizing::new(pad(serde_json::to_vec(frame).map_err(|_| FrameError::Content)?));
        let nonce = self.0.next_nonce()?;
        let payload = Payload { msg: &plaintext, aad: &self.0.aad };
        let sealed = self.0.cipher.encrypt(&nonce, payload).map_err(|_| FrameError::Seal)?;
        self.0.digest.update(&sealed);
        Ok(BASE64.encode(sealed))
    }

    /// SHA-256 over all frames sealed so far: what a receipt states.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest.clone().finalize().into()
    }
}

impl FrameOpener {
    /// The frame of the next event's data. After an error the stream can't be trusted any more.
    pub fn open(&mut self, data: impl AsRef<[u8]>) -> Result<Frame, FrameError> {
        let sealed = BASE64.decode(data).map_err(|_| FrameError::Encoding)?;
        let nonce = self.0.next_nonce()?;
        let payload = Payload { msg: &sealed, aad: &self.0.aad };
        let plaintext = self.0.cipher.decrypt(&nonce, payload).map_err(|_| FrameError::Seal)?;
        self.0.digest.update(&sealed);
        let plaintext = Zeroizing::new(plaintext);
        let content = unpad(&plaintext).ok_or(FrameError::Content)?;
        serde_json::from_slice(content).map_err(|_| FrameError::Content)
    }

    /// SHA-256 over all frames opened so far.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest.clone().finalize().into()
    }
}

struct FrameStream {
    cipher: ChaCha20Poly1305,
    aad: [u8; 36],
    sequence: u64,
    digest: Sha256,
}

impl FrameStream {
    fn new(key: &[u8; 32], aad: [u8; 36]) -> Self {
        let cipher = ChaCha20Poly1305::new(Key::from_slice(key));
        Self { cipher, aad, sequence: 0, digest: Sha256::new() }
    }

    /// The sequence number is the nonce: a key is used for one call only, so none comes twice.
    fn next_nonce(&mut self) -> Result<Nonce, FrameError> {
        let mut nonce = Nonce::default();
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        self.sequence = self.sequence.checked_add(1).ok_or(FrameError::Seal)?;
        Ok(nonce)
    }
}

/// `job(32) ‖ call(4)`: ties every sealed byte to one call of one job.
fn associated_data(job: Address, call: u32) -> [u8; 36] {
    let mut aad = [0; 36];
    aad[..32].copy_from_slice(&job.0);
    aad[32..].copy_from_slice(&call.to_le_bytes());
    aad
}

/// ISO/IEC 7816-4: a 0x80, then zeros up to the next multiple of [`PAD_BYTES`].
fn pad(mut plaintext: Vec<u8>) -> Vec<u8> {
    plaintext.push(0x80);
    plaintext.resize(plaintext.len().next_multiple_of(PAD_BYTES), 0);
    plaintext
}

fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded[end] == 0x80).then(|| &padded[..end])
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

#[cfg(test)]
mod tests;
