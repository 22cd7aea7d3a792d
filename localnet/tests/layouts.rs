//! The bytes of every account, field by field, as this version of the layouts has them: `golden/*.txt`. A change here
//! breaks what lies on chains: it needs another version in the account's tag and a way to read the old.

use chainference_chain::Pubkey;
use chainference_chain::accounts::{
    Config, Job, JobStatus, Offer, Preset, Reputation, Stored, Treasury, Vault, Worker,
    WorkerStatus,
};

const TAG_BYTES: usize = 8;

/// Names and bytes, in the order in which they lie.
type Fields = Vec<(String, Vec<u8>)>;

/// How a field lies in an account: little-endian, without gaps.
trait Field {
    fn fields(&self, name: &str) -> Fields;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn fields(&self, name: &str) -> Fields {
                vec![(name.to_string(), self.to_le_bytes().to_vec())]
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i64);

impl<const N: usize> Field for [u8; N] {
    fn fields(&self, name: &str) -> Fields {
        vec![(name.to_string(), self.to_vec())]
    }
}

impl Field for Pubkey {
    fn fields(&self, name: &str) -> Fields {
        self.to_bytes().fields(name)
    }
}

impl Field for Reputation {
    fn fields(&self, name: &str) -> Fields {
        let (account, fields) = reputation();
        assert_eq!(*self, account);
        fields.into_iter().map(|(field, bytes)| (format!("{name}.{field}"), bytes)).collect()
    }
}

/// An account and its fields.
macro_rules! layout {
    ($type:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let account = $type { $($field: $value,)* };
        let fields: [Fields; _] = [$(account.$field.fields(stringify!($field)),)*];
        (account, fields.concat())
    }};
}

/// The account's bytes are its tag and then its fields; the golden file names each with its offset.
#[track_caller]
fn check<T: Stored + PartialEq + std::fmt::Debug>(
    name: &str,
    (account, fields): (T, Fields),
    tail: Fields,
) {
    let mut text = String::new();
    let mut bytes = Vec::new();
    let tag = vec![("tag".to_string(), T::DISCRIMINATOR.to_vec())];
    for (field, value) in tag.into_iter().chain(fields).chain(tail) {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{:4} {:4} {field:28} {hex}\n", bytes.len(), value.len());
        bytes.extend(value);
    }
    assert_eq!(T::read(&bytes), Some(account), "{name} is read from its fields");
    refuses_foreign::<T>(name, &bytes);
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} is laid out otherwise than {path}:\n{text}");
}

#[track_caller]
fn refuses_foreign<T: Stored + PartialEq + std::fmt::Debug>(name: &str, bytes: &[u8]) {
    let mut newer = bytes.to_vec();
    newer[TAG_BYTES - 1] += 1;
    assert_eq!(T::read(&newer), None, "{name} of another version");
    assert_eq!(T::read(&bytes[..T::BYTES - 1]), None, "{name} cut short");
    assert_eq!(T::read(&[]), None);
    for tag in TAGS.iter().filter(|tag| tag.as_slice() != &bytes[..TAG_BYTES]) {
        let mut other = bytes.to_vec();
        other[..TAG_BYTES].copy_from_slice(*tag);
        assert_eq!(T::read(&other), None, "{name} under the tag {tag:?}");
    }
    let mut moved = vec![0];
    moved.extend(bytes);
    assert!(T::read(&moved[1..]).is_some(), "{name} is read at odd addresses");
}

const TAGS: [&[u8; TAG_BYTES]; 6] = [
    b"cf.conf\x01",
    b"cf.trsy\x01",
    b"cf.vlt\0\x01",
    b"cf.wrkr\x01",
    b"cf.offr\x01",
    b"cf.job\0\x01",
];

fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

/// Distinct in each byte, so that neither order nor width can be mistaken.
fn long(byte: u8) -> u64 {
    0x7766_5544_3322_1100 + u64::from(byte)
}

fn time(byte: u8) -> i64 {
    0x6655_4433_2211_0000 + i64::from(byte)
}

fn int(byte: u8) -> u32 {
    0x3322_1100 + u32::from(byte)
}

fn short(byte: u8) -> u16 {
    0x1100 + u16::from(byte)
}

fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

#[test]
fn config_and_treasury() {
    let config = layout!(Config {
        admin: key(1),
        pending_admin: key(2),
        platform_payout: key(3),
        stakers_payout: key(4),
        bond_min: long(5),
        reputation_prior: long(6),
        rated_fees_min: long(7),
        bond_cooldown_s: int(8),
        grace_s: int(9),
        heartbeat_s: int(10),
        preset: 1,
        paused: 1,
        padding: [0; 2],
    });
    assert_eq!((config.0.preset(), config.0.paused()), (Preset::Far, true));
    assert_eq!(config.0.pending_admin(), Some(key(2)));
    check("config", config, vec![]);
    let treasury = layout!(Treasury { rent: long(1), platform: long(2), stakers: long(3) });
    check("treasury", treasury, vec![]);
}

#[test]
fn vault() {
    let vault = layout!(Vault {
        owner: key(1),
        delegate: key(2),
        rent: long(3),
        reserved: long(4),
        limit: long(5),
        settled_in_period: long(6),
        period_start_unix_s: time(7),
        period_s: int(8),
        unclosed_jobs: int(9),
    });
    assert_eq!(vault.0.delegate(), Some(key(2)));
    check("vault", vault, vec![]);
}

fn reputation() -> (Reputation, Fields) {
    layout!(Reputation {
        fees_completed: long(21),
        fees_flagged: long(22),
        fees_compared: long(23),
        fees_preferred: long(24),
        fees_timed: long(25),
        fees_timed_fast: long(26),
        fees_audited: long(27),
        fees_audited_ok: long(28),
        beats_from_unix_s: time(29),
        beats_due: int(30),
        beats_kept: int(31),
        jobs_completed: int(32),
        jobs_flagged: int(33),
        jobs_compared: int(34),
        jobs_preferred: int(35),
        jobs_timed: int(36),
        jobs_audited: int(37),
        jobs_audited_ok: int(38),
        padding: 0,
    })
}

#[test]
fn worker() {
    let worker = layout!(Worker {
        owner: key(1),
        operator: key(2),
        x25519: [3; 32],
        rent: long(4),
        bond: long(5),
        earnings: long(6),
        fees_platform: long(7),
        fees_stakers: long(8),
        bond_free_unix_s: time(9),
        last_heartbeat_unix_s: time(10),
        reputation: reputation().0,
        live_jobs: int(11),
        status: 1,
        padding: [0; 3],
        endpoint: text("http://h"),
    });
    assert_eq!((worker.0.status(), worker.0.endpoint()), (WorkerStatus::Retiring, "http://h"));
    check("worker", worker, vec![]);
}

#[test]
fn offer() {
    let offer = layout!(Offer {
        worker: key(1),
        model_hash: [2; 32],
        payer: key(3),
        gguf_sha256: [4; 32],
        tokenizer_sha256: [5; 32],
        price_in_per_mtok: long(6),
        price_out_per_mtok: long(7),
        charge_min: long(8),
        context_tokens: int(9),
        abilities: int(10),
        model: text("example/Model-1B"),
        revision: text("main"),
        quantisation: text("Q4_1"),
        active: 1,
        padding: [0; 7],
    });
    let texts = (offer.0.model(), offer.0.revision(), offer.0.quantisation());
    assert_eq!((texts, offer.0.active()), (("example/Model-1B", "main", "Q4_1"), true));
    check("offer", offer, vec![]);
}

#[test]
fn job() {
    let job = layout!(Job {
        vault: key(1),
        worker: key(2),
        authority: key(3),
        session_key: key(4),
        model_hash: [5; 32],
        open_slot: long(6),
        stake: long(7),
        max_price_in_per_mtok: long(8),
        max_price_out_per_mtok: long(9),
        max_charge_min: long(10),
        serve_until_unix_s: time(11),
        claim_until_unix_s: time(12),
        price_in_per_mtok: long(13),
        price_out_per_mtok: long(14),
        charge_min: long(15),
        tokens_in: long(16),
        tokens_out: long(17),
        credited: long(18),
        fees_platform: long(19),
        settled_unix_s: time(20),
        fees_completed_min: long(21),
        grace_s: int(22),
        success_bps_min: short(23),
        preference_bps_min: short(24),
        worker_bps: short(25),
        stakers_bps: short(26),
        rating_bps: short(27),
        status: 1,
        padding: 0,
    });
    assert_eq!(job.0.status(), JobStatus::Locked);
    let allowed = [key(31), key(32)];
    let tail = [allowed[0].fields("allowed[0]"), allowed[1].fields("allowed[1]")].concat();
    let bytes: Vec<u8> =
        [vec![0; Job::BYTES], tail.iter().flat_map(|(_, bytes)| bytes.clone()).collect()].concat();
    assert_eq!(Job::allowed(&bytes), Some(allowed.as_slice()));
    assert_eq!(Job::allowed(&bytes[..Job::BYTES]), Some([].as_slice()));
    assert_eq!(Job::allowed(&bytes[..Job::BYTES - 1]), None);
    assert_eq!(Job::allowed(&bytes[..Job::BYTES + 1]), None);
    check("job", job, tail);
}
