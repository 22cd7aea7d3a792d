//! The bytes of every account, as the first version laid them out. A change here breaks what lies on chains: it needs
//! a new version byte and a way to read the old.

use anchor_lang::{AccountSerialize, Space};
use chainference_chain::Pubkey;
use chainference_chain::accounts::*;

fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

#[track_caller]
fn check<T: AccountSerialize>(name: &str, account: &T, space: usize, expected_space: usize) {
    let mut bytes = Vec::new();
    account.try_serialize(&mut bytes).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("{}/tests/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(hex, golden.trim(), "{name} is laid out otherwise than {path}");
    assert_eq!(8 + space, expected_space, "{name} has another size");
}

#[test]
fn accounts_are_laid_out_as_ever() {
    let config = Config {
        version: 1,
        bump: 2,
        admin: key(3),
        pending_admin: Some(key(4)),
        shares: SharesBps { worker: 6_000, stakers: 2_000, platform: 2_000 },
        platform_payout: key(5),
        stakers_payout: key(6),
        bond_min: 7,
        reputation_prior: 8,
        grace_s: 600,
        paused: true,
    };
    check("config", &config, Config::INIT_SPACE, 166);
    let vault = Vault {
        version: 1,
        owner: key(2),
        delegate: Some(key(3)),
        limit: 4,
        period_s: 5,
        period_start_unix_s: 6,
        settled_in_period: 7,
        reserved: 8,
        unclosed_jobs: 9,
    };
    check("vault", &vault, Vault::INIT_SPACE, 114);
    check("worker", &worker(), Worker::INIT_SPACE, 306);
    check("offer", &offer(), Offer::INIT_SPACE, 334);
    check("job", &job(), Job::INIT_SPACE, 562);
}

fn worker() -> Worker {
    Worker {
        version: 1,
        status: WorkerStatus::Retiring,
        owner: key(2),
        operator: key(3),
        x25519: [4; 32],
        live_jobs: 5,
        bond: 6,
        earnings: 7,
        fees_platform: 8,
        fees_stakers: 9,
        last_heartbeat_unix_s: 10,
        fees_completed: 11,
        fees_flagged: 12,
        jobs_completed: 13,
        jobs_flagged: 14,
        endpoint: "http://h".into(),
    }
}

fn offer() -> Offer {
    Offer {
        version: 1,
        active: true,
        worker: key(2),
        model_hash: [3; 32],
        gguf_sha256: [4; 32],
        tokenizer_sha256: [5; 32],
        price_in_per_mtok: 6,
        price_out_per_mtok: 7,
        charge_min: 8,
        context_tokens: 9,
        abilities: 10,
        model: "m".into(),
        revision: "r".into(),
        quantisation: "q".into(),
    }
}

fn job() -> Job {
    Job {
        version: 1,
        status: JobStatus::Settled,
        vault: key(2),
        worker: key(3),
        authority: key(4),
        session_key: key(5),
        open_slot: 6,
        model_hash: [7; 32],
        stake: 8,
        max_price_in_per_mtok: 9,
        max_price_out_per_mtok: 10,
        serve_until_unix_s: 11,
        claim_until_unix_s: 12,
        grace_s: 13,
        filters: Filters { success_bps_min: 14, fees_completed_min: 15 },
        price_in_per_mtok: 16,
        price_out_per_mtok: 17,
        charge_min: 18,
        shares: SharesBps { worker: 9_000, stakers: 0, platform: 1_000 },
        tokens_in: 19,
        tokens_out: 20,
        credited: 21,
        fees_platform: 22,
        settled_unix_s: 23,
        allowed: vec![key(24)],
    }
}
