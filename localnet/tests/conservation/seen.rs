//! The chain's accounts as the model would have them.

use chainference::state::{self as chain, Stored};
use chainference_chain::accounts::{JobStatus, Preset, WorkerStatus};
use chainference_chain::{PROGRAM_ID, Pubkey};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_sdk_ids::system_program;

use crate::state::{self, State};

fn some(key: Pubkey) -> Option<Pubkey> {
    (key != Pubkey::default()).then_some(key)
}

/// An account as the model would have it.
pub fn seen(account: &AccountSharedData) -> State {
    let data = account.data();
    if *account.owner() == system_program::ID && data.is_empty() {
        return State::Wallet;
    }
    assert_eq!(*account.owner(), PROGRAM_ID, "an account of nobody here");
    if data.iter().all(|byte| *byte == 0) {
        return State::Blank(data.len());
    }
    seen_records(data).or_else(|| seen_job(data)).expect("an account of one of the known kinds")
}

fn seen_records(data: &[u8]) -> Option<State> {
    if let Some(c) = chain::Config::read(data) {
        return Some(State::Config(state::Config {
            admin: c.admin,
            pending_admin: c.pending_admin(),
            platform_payout: c.platform_payout,
            stakers_payout: c.stakers_payout,
            bond_min: c.bond_min,
            reputation_prior: c.reputation_prior,
            rated_fees_min: c.rated_fees_min,
            bond_cooldown_s: c.bond_cooldown_s,
            grace_s: c.grace_s,
            heartbeat_s: c.heartbeat_s,
            far: c.preset() == Preset::Far,
            paused: c.paused(),
        }));
    }
    if let Some(chain::Treasury { rent, platform, stakers }) = chain::Treasury::read(data) {
        return Some(State::Treasury(state::Treasury { rent, platform, stakers }));
    }
    if let Some(v) = chain::Vault::read(data) {
        return Some(State::Vault(state::Vault {
            owner: v.owner,
            delegate: v.delegate(),
            rent: v.rent,
            reserved: v.reserved,
            limit: v.limit,
            settled: v.settled_in_period,
            period_start_unix_s: v.period_start_unix_s,
            period_s: v.period_s,
            unclosed_jobs: v.unclosed_jobs,
        }));
    }
    if let Some(w) = chain::Worker::read(data) {
        return Some(State::Worker(state::Worker {
            owner: w.owner,
            operator: w.operator,
            rent: w.rent,
            bond: w.bond,
            earnings: w.earnings,
            fees_platform: w.fees_platform,
            fees_stakers: w.fees_stakers,
            is_retiring: w.status() == WorkerStatus::Retiring,
            bond_free_unix_s: w.bond_free_unix_s,
            last_heartbeat_unix_s: w.last_heartbeat_unix_s,
            live_jobs: w.live_jobs,
            reputation: w.reputation.into(),
        }));
    }
    let o = chain::Offer::read(data)?;
    Some(State::Offer(state::Offer {
        worker: o.worker,
        payer: o.payer,
        model_hash: o.model_hash,
        prices: state::Prices {
            input: o.price_in_per_mtok,
            output: o.price_out_per_mtok,
            charge_min: o.charge_min,
        },
        active: o.active(),
    }))
}

fn seen_job(data: &[u8]) -> Option<State> {
    let j = chain::Job::read(data)?;
    let allowed = data[chain::Job::BYTES..].chunks_exact(32);
    Some(State::Job(state::Job {
        vault: j.vault,
        worker: some(j.worker),
        authority: j.authority,
        session_key: j.session_key,
        model_hash: j.model_hash,
        open_slot: j.open_slot,
        stake: j.stake,
        max_input: j.max_price_in_per_mtok,
        max_output: j.max_price_out_per_mtok,
        max_charge_min: j.max_charge_min,
        serve_until_unix_s: j.serve_until_unix_s,
        claim_until_unix_s: j.claim_until_unix_s,
        grace_s: j.grace_s,
        fees_completed_min: j.fees_completed_min,
        success_bps_min: j.success_bps_min,
        preference_bps_min: j.preference_bps_min,
        allowed: allowed.map(|key| Pubkey::try_from(key).expect("32 bytes")).collect(),
        status: match j.status() {
            JobStatus::Open => state::Status::Open,
            JobStatus::Locked => state::Status::Locked,
            JobStatus::Settled => state::Status::Settled,
        },
        prices: state::Prices {
            input: j.price_in_per_mtok,
            output: j.price_out_per_mtok,
            charge_min: j.charge_min,
        },
        worker_bps: j.worker_bps,
        stakers_bps: j.stakers_bps,
        rating_bps: j.rating_bps,
        tokens_in: j.tokens_in,
        tokens_out: j.tokens_out,
        credited: j.credited,
        fees_platform: j.fees_platform,
        settled_unix_s: j.settled_unix_s,
    }))
}
