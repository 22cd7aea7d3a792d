use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{Chat, Decoding, Delta, Message, Sampling, Task};

const JOB: Address = Address([5; 32]);

fn request() -> CallRequest {
    let decoding = Decoding {
        sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
        stop: vec!["\n".into()],
        max_tokens: Some(16),
        ..Decoding::default()
    };
    let messages = vec![Message::text("user", "What is the capital of France?")];
    let chat = Chat { messages, decoding, ..Chat::default() };
    CallRequest { model: "a/model".into(), task: Task::Chat(chat) }
}

struct Parties {
    secret: WorkerSecret,
    session_key: SessionKey,
    sealed: SealedCall,
    opener: FrameOpener,
}

/// A call between parties whose keys come from `seed`.
fn sealed_call(seed: u64) -> Parties {
    let mut rng = StdRng::seed_from_u64(seed);
    let secret = WorkerSecret::generate(&mut rng);
    let session_key = SessionKey::from_seed([1; 32]);
    let envelope = Envelope::to(&secret.public(), &mut rng).unwrap();
    let (sealed, opener) = seal_call(envelope, &session_key, JOB, 0, &request()).unwrap();
    Parties { secret, session_key, sealed, opener }
}

fn delta(text: &str) -> Frame {
    Frame::Delta(Delta { tokens: vec![1, 2], text: text.into(), ..Delta::default() })
}

#[test]
fn a_call_and_its_frames_arrive_as_they_were_sent() {
    let mut parties = sealed_call(1);
    assert!(parties.sealed.is_signed_by(&parties.session_key.public()));
    let json = serde_json::to_string(&parties.sealed).unwrap();
    assert!(!json.contains("France"));
    let sealed = serde_json::from_str(&json).unwrap();
    let (opened, mut sealer) = open_call(&parties.secret, &sealed).unwrap();
    assert!(opened == request());
    for text in ["Par", "is", "é\u{1f600}"] {
        let event = sealer.seal(&delta(text)).unwrap();
        assert!(parties.opener.open(&event).unwrap() == delta(text));
    }
    assert_eq!(sealer.digest(), parties.opener.digest());
}

#[test]
fn a_call_opens_only_with_its_own_key_job_and_number() {
    let Parties { secret, sealed, session_key, .. } = sealed_call(1);
    let mut changed = sealed.body.clone();
    changed[0] ^= 1;
    for forged in [
        SealedCall { job: Address([6; 32]), ..sealed.clone() },
        SealedCall { call: 1, ..sealed.clone() },
        SealedCall { body: changed, ..sealed.clone() },
    ] {
        assert_eq!(open_call(&secret, &forged).err(), Some(SealError::Seal));
        assert!(!forged.is_signed_by(&session_key.public()));
    }
    let other = WorkerSecret::generate(&mut StdRng::seed_from_u64(9));
    assert_eq!(open_call(&other, &sealed).err(), Some(SealError::Seal));
}

#[test]
fn replayed_reordered_or_foreign_frames_are_refused() {
    let Parties { secret, sealed, .. } = sealed_call(1);
    let frames = || {
        let (_, mut sealer) = open_call(&secret, &sealed).unwrap();
        [sealer.seal(&delta("one")).unwrap(), sealer.seal(&delta("two")).unwrap()]
    };
    let [first, second] = frames();
    let mut parties = sealed_call(2);
    assert_eq!(parties.opener.open(&first).err(), Some(FrameError::Seal), "another call's frame");

    let Parties { secret, sealed, mut opener, .. } = sealed_call(1);
    let (_, mut sealer) = open_call(&secret, &sealed).unwrap();
    let (one, _two) = (sealer.seal(&delta("one")).unwrap(), second);
    assert!(opener.open(&one).is_ok());
    assert_eq!(opener.open(&one).err(), Some(FrameError::Seal), "a replay");
}

#[test]
fn lengths_are_hidden_up_to_the_padding() {
    let lengths = |text: &str| {
        let Parties { secret, sealed, .. } = sealed_call(1);
        let (_, mut sealer) = open_call(&secret, &sealed).unwrap();
        sealer.seal(&delta(text)).unwrap().len()
    };
    assert_eq!(lengths("a"), lengths("abcdef"));
}

#[test]
fn padding_round_trips_at_every_length() {
    for length in 0..200 {
        let plaintext = vec![0x80; length];
        let padded = pad(plaintext.clone());
        assert_eq!(padded.len() % PAD_BYTES, 0);
        assert_eq!(unpad(&padded), Some(&plaintext[..]));
    }
    assert_eq!(unpad(&[0; 64]), None);
    assert_eq!(unpad(&[]), None);
}
