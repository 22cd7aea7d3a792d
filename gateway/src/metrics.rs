//! What is measured, under the names of OpenTelemetry's GenAI conventions where these have one.
//! docs/metrics.md has the table; a test holds it to this one.

use std::{sync::OnceLock, time::Duration};

use chainference_market::Lamports;
use chainference_protocol::Task;
use metrics::{
    Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::ledger::CallEnd;

const DURATION: &str = "gen_ai_server_request_duration_seconds";
const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
const PER_TOKEN: &str = "gen_ai_server_time_per_output_token_seconds";
const TOKENS: &str = "gen_ai_client_token_usage";
const CALLS: &str = "chainference_gateway_calls_total";
const REFUSED: &str = "chainference_gateway_refused_total";
const RECOUNTS: &str = "chainference_gateway_recounts_total";
const OVERHEAD: &str = "chainference_gateway_overhead_seconds";
const LAG: &str = "chainference_gateway_settlement_lag_seconds";
const JOBS: &str = "chainference_gateway_jobs_settled_total";
const PAID: &str = "chainference_gateway_paid_lamports_total";
const REFUNDED: &str = "chainference_gateway_refunded_lamports_total";
const SPENT: &str = "chainference_gateway_spent_lamports_total";
const VAULT_FREE: &str = "chainference_gateway_vault_free_lamports";
const VAULT_RESERVED: &str = "chainference_gateway_vault_reserved_lamports";
const READY: &str = "chainference_gateway_jobs_ready";
const SESSIONS: &str = "chainference_gateway_sessions_open";
const UPSTREAM_UP: &str = "chainference_gateway_upstream_up";
const UPSTREAM_FAILURES: &str = "chainference_gateway_upstream_failures_total";
const TASKS: &str = "chainference_gateway_tasks";
const OWN_KEY: &str = "chainference_gateway_key_lamports";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    /// With its buckets.
    Histogram(&'static [f64]),
}

// The boundaries that the conventions ask for; ours are those of a duration.
const DURATIONS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKENS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKENS: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
const TOKEN_COUNTS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// All there is: name, kind, what it tells.
const METRICS: [(&str, Kind, &str); 21] = [
    (DURATION, Kind::Histogram(DURATIONS), "Time from a call's arrival to its end"),
    (FIRST_TOKEN, Kind::Histogram(FIRST_TOKENS), "Time from a call's arrival to its first token"),
    (PER_TOKEN, Kind::Histogram(PER_TOKENS), "Time for each token after the first, by call"),
    (TOKENS, Kind::Histogram(TOKEN_COUNTS), "Tokens that a call is charged for"),
    (CALLS, Kind::Counter, "Calls by how they ended"),
    (REFUSED, Kind::Counter, "Requests that their key's limits refused, by the error's code"),
    (
        RECOUNTS,
        Kind::Counter,
        "Answers whose tokens were counted again by the model's tokenizer, by what it says of them",
    ),
    (OVERHEAD, Kind::Histogram(DURATIONS), "Time that staking took before the worker had the call"),
    (LAG, Kind::Histogram(DURATIONS), "Time from the end of a job's use to its settlement"),
    (JOBS, Kind::Counter, "Jobs that the chain has settled"),
    (PAID, Kind::Counter, "Lamports paid to workers"),
    (REFUNDED, Kind::Counter, "Lamports of stakes that came back"),
    (SPENT, Kind::Counter, "Lamports that calls cost, by the name of their key"),
    (VAULT_FREE, Kind::Gauge, "Lamports of the vault that no live job holds"),
    (VAULT_RESERVED, Kind::Gauge, "Lamports of the vault that live jobs hold"),
    (READY, Kind::Gauge, "Locked jobs that wait for a call"),
    (SESSIONS, Kind::Gauge, "Jobs that are shared among calls and take more"),
    (
        TASKS,
        Kind::Gauge,
        "Tasks that have not ended: what a connection or a call left behind would show",
    ),
    (OWN_KEY, Kind::Gauge, "Lamports of the gateway's own key, which pays fees and lends rent"),
    (UPSTREAM_UP, Kind::Gauge, "Whether an upstream answered when it was last looked at"),
    (UPSTREAM_FAILURES, Kind::Counter, "Calls that an upstream failed on"),
];

/// The process's recorder: a process has one, however many gateways run in it.
///
/// # Errors
/// [`BuildError`], where the buckets are refused.
pub fn recorder() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let mut builder = PrometheusBuilder::new();
    for (name, kind, _) in METRICS {
        if let Kind::Histogram(buckets) = kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
    }
    let handle = RECORDER.get_or_init(|| {
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("metrics are recorded elsewhere in this process");
        }
        handle
    });
    for (name, kind, what) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, what),
            Kind::Gauge => describe_gauge!(name, what),
            Kind::Histogram(_) => describe_histogram!(name, what),
        }
    }
    Ok(handle.clone())
}

/// What the conventions want to know of a call. `model` is the market's id: a label made of what
/// clients write could be made to fill the memory.
fn labels(operation: &'static str, model: &str) -> Vec<Label> {
    vec![
        Label::from_static_parts("gen_ai_operation_name", operation),
        Label::from_static_parts("gen_ai_provider_name", "chainference"),
        Label::new("gen_ai_request_model", model.to_owned()),
    ]
}

fn operation(task: &Task) -> &'static str {
    match task {
        Task::Chat(_) => "chat",
        Task::Complete(_) => "text_completion",
        Task::Embed(_) => "embeddings",
    }
}

pub fn call_ended(status: &'static str) {
    counter!(CALLS, "status" => status).increment(1);
}

pub fn refused(code: &'static str) {
    counter!(REFUSED, "code" => code).increment(1);
}

/// `verdict` is `right`, `wrong`, or `unknown` where the tokenizer didn't tell in time.
pub fn recounted(verdict: &'static str) {
    counter!(RECOUNTS, "verdict" => verdict).increment(1);
}

/// A call that a worker served has ended, after `elapsed`; `first` was when its first token came.
pub fn served(task: &Task, model: &str, end: &CallEnd, first: Option<Duration>, elapsed: Duration) {
    served_as(operation(task), model, end, first, elapsed);
}

/// The same of a call that is known by its operation alone.
pub fn served_as(
    operation: &'static str,
    model: &str,
    end: &CallEnd,
    first: Option<Duration>,
    elapsed: Duration,
) {
    let labels = labels(operation, model);
    for (kind, tokens) in [("input", end.tokens_in), ("output", end.tokens_out)] {
        let mut labels = labels.clone();
        labels.push(Label::from_static_parts("gen_ai_token_type", kind));
        #[expect(clippy::cast_precision_loss, reason = "no call has 2^52 tokens")]
        histogram!(TOKENS, labels).record(tokens as f64);
    }
    let mut ended = labels.clone();
    if end.status != "completed" {
        ended.push(Label::from_static_parts("error_type", end.status));
    } else if let Some(first) = first
        && let Ok(rest) = u32::try_from(end.tokens_out.saturating_sub(1))
        && rest > 0
    {
        histogram!(PER_TOKEN, labels).record(elapsed.saturating_sub(first) / rest);
    }
    histogram!(DURATION, ended).record(elapsed);
}

pub fn first_token(task: &Task, model: &str, elapsed: Duration) {
    first_token_as(operation(task), model, elapsed);
}

pub fn first_token_as(operation: &'static str, model: &str, elapsed: Duration) {
    histogram!(FIRST_TOKEN, labels(operation, model)).record(elapsed);
}

pub fn overhead(elapsed: Duration) {
    histogram!(OVERHEAD).record(elapsed);
}

/// `lag_ms` is since nothing more was called on the job.
pub fn settled(paid: Lamports, refund: Lamports, lag_ms: i64) {
    counter!(JOBS).increment(1);
    counter!(PAID).increment(paid.0);
    counter!(REFUNDED).increment(refund.0);
    histogram!(LAG).record(Duration::from_millis(lag_ms.max(0).unsigned_abs()));
}

/// `key` is a key's name: there are only as many as an operator has made.
pub fn spent(key: &str, cost: Lamports) {
    counter!(SPENT, "api_key" => key.to_owned()).increment(cost.0);
}

#[expect(clippy::cast_precision_loss, reason = "to look at, not to calculate with")]
pub fn vault(free: u64, reserved: u64) {
    gauge!(VAULT_FREE).set(free as f64);
    gauge!(VAULT_RESERVED).set(reserved as f64);
}

#[expect(clippy::cast_precision_loss, reason = "to look at, not to calculate with")]
pub fn ahead(ready: usize, sessions: usize) {
    gauge!(READY).set(ready as f64);
    gauge!(SESSIONS).set(sessions as f64);
}

/// `name` is an upstream's: there are only as many as an operator has named.
pub fn upstream_up(name: &str, up: bool) {
    gauge!(UPSTREAM_UP, "upstream" => name.to_owned()).set(f64::from(u8::from(up)));
}

pub fn upstream_failed(name: &str) {
    counter!(UPSTREAM_FAILURES, "upstream" => name.to_owned()).increment(1);
}

/// Those of the runtime that asks.
#[expect(clippy::cast_precision_loss, reason = "to look at, not to calculate with")]
pub fn tasks() {
    gauge!(TASKS).set(tokio::runtime::Handle::current().metrics().num_alive_tasks() as f64);
}

pub fn own_key(held: Lamports) {
    gauge!(OWN_KEY).set(held.0 as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_table_is_this_one() {
        let documented: Vec<(String, String, String)> = include_str!("../../docs/metrics.md")
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.split(" | ");
                let name = cells.next()?.trim_end_matches('`').to_owned();
                let kind = cells.next()?.to_owned();
                Some((name, kind, cells.next()?.to_owned()))
            })
            .collect();
        let measured = METRICS.map(|(name, kind, what)| {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            (name.to_owned(), kind.to_owned(), what.to_owned())
        });
        assert_eq!(documented, measured);
    }

    #[test]
    fn a_call_shows_under_the_names_of_the_conventions() {
        let handle = recorder().unwrap();
        let task =
            Task::Embed(chainference_protocol::Embedding { inputs: vec![], dimensions: None });
        let totals = chainference_market::Totals { tokens_in: 70, tokens_out: 3 };
        let elapsed = Duration::from_millis(900);
        first_token(&task, "a/metrics", elapsed / 3);
        let end = CallEnd::completed(totals);
        served(&task, "a/metrics", &end, Some(elapsed / 3), elapsed);
        served(&task, "a/metrics", &CallEnd::abandoned(totals), None, elapsed);
        let text = handle.render();
        let labels = "gen_ai_operation_name=\"embeddings\",gen_ai_provider_name=\"chainference\",\
                      gen_ai_request_model=\"a/metrics\"";
        for line in [
            format!("{DURATION}_bucket{{{labels},le=\"1.28\"}} 1"),
            format!("{DURATION}_count{{{labels},error_type=\"abandoned\"}} 1"),
            format!("{FIRST_TOKEN}_bucket{{{labels},le=\"0.5\"}} 1"),
            format!("{PER_TOKEN}_bucket{{{labels},le=\"0.3\"}} 1"),
            format!("{TOKENS}_bucket{{{labels},gen_ai_token_type=\"input\",le=\"256\"}} 2"),
            format!("{TOKENS}_bucket{{{labels},gen_ai_token_type=\"output\",le=\"4\"}} 2"),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
