//! What an operator watches. Names end in their unit; none carries a client or a prompt.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::ledger::{JobEnd, Kind, TransactionEnd};
use crate::settlement::Snapshot;

const JOBS_LIVE: &str = "chainference_worker_jobs_live";
const JOBS_ENDED: &str = "chainference_worker_jobs_ended_total";
const QUOTES: &str = "chainference_worker_quotes_total";
const CALLS: &str = "chainference_worker_calls_total";
const CALLS_RUNNING: &str = "chainference_worker_calls_running";
const TOKENS: &str = "chainference_worker_tokens_total";
const EARNED: &str = "chainference_worker_settled_lamports_total";
const CLAIMS: &str = "chainference_worker_claims_total";
const LOCKS: &str = "chainference_worker_locks_total";
const SEATS_FREE: &str = "chainference_worker_seats_free";
const BALANCE: &str = "chainference_worker_operator_balance_lamports";
const UNCLAIMED: &str = "chainference_worker_unclaimed_lamports";
const UNPAID_IN: &str = "chainference_worker_unpaid_input_tokens";
const SPEED: &str = "chainference_worker_tokens_per_second";
const QUEUE: &str = "chainference_worker_calls_waiting";
const CACHED: &str = "chainference_worker_tokens_cached_total";
const MEMORY: &str = "chainference_worker_memory_bytes";
const FIRST_TOKEN: &str = "chainference_worker_first_token_seconds";

static CACHED_SUM: AtomicU64 = AtomicU64::new(0);

const FIRST_TOKEN_BUCKETS_S: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The process's recorder. A second worker in one process shares it.
pub(crate) fn install() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&FIRST_TOKEN_BUCKETS_S)
            .unwrap_or_else(|_| PrometheusBuilder::new()) // only an empty list is refused
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("metrics are recorded elsewhere in this process");
        }
        handle
    });
    describe();
    handle.clone()
}

fn describe() {
    describe_gauge!(JOBS_LIVE, "Jobs quoted or locked and not yet at their end.");
    describe_counter!(JOBS_ENDED, "Jobs that came to their end, by end.");
    describe_counter!(QUOTES, "Quotes asked for, by outcome.");
    describe_counter!(CALLS, "Calls served, by outcome.");
    describe_gauge!(CALLS_RUNNING, "Calls being answered now.");
    describe_counter!(TOKENS, "Tokens, by direction.");
    describe_counter!(EARNED, "Cost of settled jobs before the fee split, since the start.");
    describe_counter!(CLAIMS, "Transactions of claims sent, by end; each carries one or several.");
    describe_counter!(LOCKS, "Locks of open jobs sent, by end.");
    describe_gauge!(SEATS_FREE, "Calls that the engine would take now.");
    describe_gauge!(UNCLAIMED, "Vouched and not credited yet.");
    describe_gauge!(UNPAID_IN, "Prompt tokens of live jobs that nobody has vouched for.");
    describe_gauge!(SPEED, "Output of one call, as calls ran lately.");
    describe_gauge!(QUEUE, "Calls that wait for a slot.");
    describe_counter!(CACHED, "Prompt tokens that were not computed again.");
    describe_gauge!(MEMORY, "Memory of the worker and of its engines.");
    describe_histogram!(FIRST_TOKEN, "From a call's arrival to its first token.");
    describe_gauge!(BALANCE, "What the operator key holds for fees.");
}

pub(crate) fn job_ended(end: JobEnd) {
    let (name, cost) = match end {
        JobEnd::Settled(cost) => ("settled", cost.map_or(0, |cost| cost.0)),
        JobEnd::Dropped => ("dropped", 0),
    };
    counter!(JOBS_ENDED, "end" => name).increment(1);
    counter!(EARNED).increment(cost);
}

pub(crate) fn transaction_ended(kind: Kind, end: TransactionEnd) {
    let name = match kind {
        Kind::Claim => CLAIMS,
        Kind::Lock => LOCKS,
    };
    counter!(name, "end" => end.name()).increment(1);
}

pub(crate) fn quote(outcome: &'static str) {
    counter!(QUOTES, "outcome" => outcome).increment(1);
}

pub(crate) fn call_began() {
    gauge!(CALLS_RUNNING).increment(1.0);
}

pub(crate) fn call_ended(outcome: &'static str, tokens_in: u64, tokens_out: u64) {
    gauge!(CALLS_RUNNING).decrement(1.0);
    counter!(CALLS, "outcome" => outcome).increment(1);
    counter!(TOKENS, "direction" => "in").increment(tokens_in);
    counter!(TOKENS, "direction" => "out").increment(tokens_out);
}

pub(crate) fn first_token(seconds: f64) {
    histogram!(FIRST_TOKEN).record(seconds);
}

/// Prompt tokens that the engine had computed before.
pub(crate) fn tokens_cached(tokens: u64) {
    counter!(CACHED).increment(tokens);
    CACHED_SUM.fetch_add(tokens, Ordering::Relaxed);
}

/// All of them since the start.
pub(crate) fn tokens_cached_sum() -> u64 {
    CACHED_SUM.load(Ordering::Relaxed)
}

pub(crate) fn snapshot(found: &Snapshot) {
    jobs_live(found.jobs_quoted + found.jobs_locked);
    gauge!(UNCLAIMED).set(found.unclaimed.0 as f64);
    gauge!(UNPAID_IN).set(found.unpaid_in as f64);
    gauge!(SPEED).set(found.tokens_per_s as f64);
}

pub(crate) fn memory(bytes: u64) {
    gauge!(MEMORY).set(bytes as f64);
}

pub(crate) fn calls_waiting(calls: usize) {
    gauge!(QUEUE).set(calls as f64);
}

pub(crate) fn jobs_live(jobs: usize) {
    gauge!(JOBS_LIVE).set(jobs as f64);
}

pub(crate) fn seats_free(seats: usize) {
    gauge!(SEATS_FREE).set(seats as f64);
}

pub(crate) fn operator_balance(lamports: u64) {
    gauge!(BALANCE).set(lamports as f64);
}
