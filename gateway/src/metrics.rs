//! What is measured, under the names of OpenTelemetry's GenAI conventions where these have one.

use std::{sync::OnceLock, time::Duration};

use chainference_market::Lamports;
use metrics::{counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::ledger::CallEnd;

const DURATION: &str = "gen_ai_server_request_duration_seconds";
const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
const TOKENS: &str = "gen_ai_server_token_usage_total";
const CALLS: &str = "chainference_gateway_calls_total";
const OVERHEAD: &str = "chainference_gateway_overhead_seconds";
const JOBS: &str = "chainference_gateway_jobs_settled_total";
const SPENT: &str = "chainference_gateway_spent_lamports_total";
const PAID: &str = "chainference_gateway_paid_lamports_total";

const SECONDS: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The process's recorder: a process has one, however many gateways run in it.
///
/// # Errors
/// [`BuildError`], where the buckets are refused.
pub fn recorder() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let suffix = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(suffix, SECONDS)?;
    let handle = RECORDER.get_or_init(|| {
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("metrics are recorded elsewhere in this process");
        }
        handle
    });
    describe();
    Ok(handle.clone())
}

fn describe() {
    describe_histogram!(DURATION, "Time from a call's arrival to its end");
    describe_histogram!(FIRST_TOKEN, "Time from a call's arrival to its first token");
    describe_histogram!(OVERHEAD, "Time that staking took before the worker had the call");
    describe_counter!(TOKENS, "Tokens paid for");
    describe_counter!(CALLS, "Calls by how they ended");
    describe_counter!(JOBS, "Jobs that the chain has settled");
    describe_counter!(SPENT, "Lamports that calls cost, by the name of their key");
    describe_counter!(PAID, "Lamports paid to workers");
}

pub fn call_ended(status: &'static str) {
    counter!(CALLS, "status" => status).increment(1);
}

/// `model` is the market's id: a label made of what clients write could be made to fill the memory.
pub fn served(model: &str, end: &CallEnd, elapsed: Duration) {
    histogram!(DURATION, "gen_ai_request_model" => model.to_owned()).record(elapsed);
    for (kind, tokens) in [("input", end.tokens_in), ("output", end.tokens_out)] {
        let model = model.to_owned();
        counter!(TOKENS, "gen_ai_request_model" => model, "gen_ai_token_type" => kind)
            .increment(tokens);
    }
}

pub fn first_token(model: &str, elapsed: Duration) {
    histogram!(FIRST_TOKEN, "gen_ai_request_model" => model.to_owned()).record(elapsed);
}

pub fn overhead(elapsed: Duration) {
    histogram!(OVERHEAD).record(elapsed);
}

pub fn settled(paid: Lamports) {
    counter!(JOBS).increment(1);
    counter!(PAID).increment(paid.0);
}

/// `key` is a key's name: there are only as many as an operator has made.
pub fn spent(key: &str, cost: Lamports) {
    counter!(SPENT, "api_key" => key.to_owned()).increment(cost.0);
}
