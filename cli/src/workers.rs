//! `chainference workers`: the market's workers as the running gateway sees them, and why a call would go where it
//! goes.

use std::{fmt::Write, time::Duration};

use clap::Args;
use serde_json::Value;

use crate::{
    error::CliError,
    home::Home,
    output::{print, print_json},
    settings::Settings,
    status::base_url,
};

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
pub struct Workers {
    /// Only those that offer this model, and how a call for it would fare with each
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn workers(home: Home, settings: Settings, command: Workers) -> Result<(), CliError> {
    let url = format!("{}/chainference/workers", base_url(&settings));
    let found = ask(&url, &home.api_key()?, command.model.as_deref()).await?;
    if command.json {
        return print_json(&found["data"]);
    }
    print(&told(&found["data"], command.model.as_deref()))
}

async fn ask(url: &str, api_key: &str, model: Option<&str>) -> Result<Value, CliError> {
    let away = |error: reqwest::Error| CliError::Unreachable {
        what: "the gateway",
        message: error.without_url().to_string(),
    };
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(away)?;
    let request = client.get(url).bearer_auth(api_key);
    let request = match model {
        Some(model) => request.query(&[("model", model)]),
        None => request,
    };
    let response = request.send().await.map_err(away)?;
    let is_fine = response.status().is_success();
    let body: Value = response.json().await.map_err(away)?;
    if is_fine {
        return Ok(body);
    }
    let message = body["error"]["message"].as_str().unwrap_or("it refused").to_owned();
    Err(CliError::Service { role: "gateway", message })
}

/// Writing to a `String` can't fail.
fn told(workers: &Value, model: Option<&str>) -> String {
    let mut out = String::new();
    for worker in workers.as_array().into_iter().flatten() {
        one(&mut out, worker).ok();
    }
    if out.is_empty() {
        out = match model {
            Some(model) => format!("No worker offers {model}.\n"),
            None => "There is no worker in this market yet.\n".to_owned(),
        };
    }
    out
}

fn one(out: &mut String, worker: &Value) -> std::fmt::Result {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let (breaker, reputation) = (&worker["breaker"], &worker["reputation"]);
    writeln!(
        out,
        "{}  {}  {}",
        word(&worker["worker"]),
        word(&worker["standing"]),
        word(&worker["endpoint"])
    )?;
    writeln!(
        out,
        "  reputation {}: rating {}, success {}, preference {}; {} jobs completed, {} flagged",
        share(&reputation["reputation_bps"]),
        share(&reputation["rating_bps"]),
        share(&reputation["success_bps"]),
        share(&reputation["preference_bps"]),
        reputation["jobs_completed"],
        reputation["jobs_flagged"]
    )?;
    let left = match breaker["open_for_ms"].as_u64() {
        Some(0) | None => String::new(),
        Some(ms) => format!(" for {ms} ms"),
    };
    writeln!(
        out,
        "  breaker {}{left}, {} failures; {} calls of this gateway, {} live jobs; heartbeat {} s ago",
        word(&breaker["state"]),
        breaker["failures"],
        worker["in_flight"],
        worker["live_jobs"],
        worker["heartbeat_age_s"]
    )?;
    worker["offers"].as_array().into_iter().flatten().try_for_each(|offer| offered(out, offer))
}

fn offered(out: &mut String, offer: &Value) -> std::fmt::Result {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    writeln!(
        out,
        "  {} ({})  {}: {} in, {} out for a million tokens, at least {} a job, in lamports",
        word(&offer["model"]),
        word(&offer["quantisation"]),
        word(&offer["standing"]),
        offer["input_per_mtok_lamports"],
        offer["output_per_mtok_lamports"],
        offer["charge_min_lamports"]
    )?;
    let choice = &offer["choice"];
    if choice.is_null() {
        return Ok(());
    }
    let expected = match choice["expected_ms"].as_u64() {
        Some(ms) => format!("{ms} ms"),
        None => "not measured lately".to_owned(),
    };
    writeln!(
        out,
        "    score {}: {}\n    price {}, reputation {}, time {} ({expected}), load {}, sticky {}",
        share(&choice["score_bps"]),
        word(&choice["why"]),
        share(&choice["price_bps"]),
        share(&choice["reputation_bps"]),
        share(&choice["time_bps"]),
        share(&choice["load_bps"]),
        share(&choice["sticky_bps"])
    )
}

/// Basis points as a share of one.
fn share(bps: &Value) -> String {
    let hundredths = bps.as_u64().unwrap_or(0) / 100;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_worker_is_told_with_its_offers_and_why_it_is_chosen() {
        let worker = json!([{
            "worker": "W", "standing": "serving", "endpoint": "http://w", "heartbeat_age_s": 3,
            "live_jobs": 2, "in_flight": 1,
            "breaker": {"state": "open", "failures": 2, "open_for_ms": 900},
            "reputation": {"reputation_bps": 8_200, "rating_bps": 8_200, "success_bps": 10_000,
                "preference_bps": 5_000, "jobs_completed": 9, "jobs_flagged": 1},
            "offers": [{"model": "a/b", "quantisation": "Q8", "standing": "serving",
                "input_per_mtok_lamports": 1, "output_per_mtok_lamports": 2, "charge_min_lamports": 3,
                "choice": {"why": "chosen", "score_bps": 7_732, "price_bps": 10_000,
                    "reputation_bps": 8_200, "time_bps": 9_512, "load_bps": 8_000, "sticky_bps": 0,
                    "expected_ms": 812}}],
        }]);
        let text = told(&worker, None);
        for part in [
            "W  serving  http://w",
            "breaker open for 900 ms, 2 failures; 1 calls of this gateway, 2 live jobs",
            "a/b (Q8)  serving: 1 in, 2 out",
            "score 0.77: chosen",
            "time 0.95 (812 ms), load 0.80, sticky 0.00",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(told(&json!([]), Some("x")), "No worker offers x.\n");
    }
}
