//! `chainference status`: whether a market runs in this home, and how to call it.

use std::time::Duration;

use chainference_chain::{Chain, Commitment, PROGRAM_ID};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::{args::Status, error::CliError, home::Home, settings::Settings};

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

pub async fn status(home: Home, settings: Settings, command: Status) -> Result<(), CliError> {
    let endpoints = settings.endpoints()?;
    let base_url = base_url(&settings);
    let chain = Chain::new(endpoints.clone(), Commitment::Processed).health().await.is_ok();
    let worker = answers(&format!("{}/health", settings.worker.endpoint())).await;
    let api_key = home.api_key().ok();
    let gateway =
        answers(&ready_url(&settings)).await && accepts(&base_url, api_key.as_deref()).await;
    let running = home.is_running();
    if command.json {
        print_json(&json!({
            "ready": chain && gateway,
            "running": running,
            "base_url": base_url,
            "api_key": api_key,
            "rpc_url": endpoints.rpc_url,
            "ws_url": endpoints.ws_url,
            "program_id": PROGRAM_ID.to_string(),
            "home": home.root(),
            "chain": chain,
            "worker": worker,
            "gateway": gateway,
            "processes": processes(&home),
        }))?;
    } else {
        let mark = |well| if well { "✓" } else { "✗" };
        println!("{} chain     {}", mark(chain), endpoints.rpc_url);
        println!("{} worker    {}", mark(worker), settings.worker.endpoint());
        println!("{} gateway   {base_url}", mark(gateway));
        println!(
            "  API key   {}",
            api_key.as_deref().unwrap_or("none yet: the gateway makes it at its first start")
        );
        println!("  program   {PROGRAM_ID}");
        println!("  home      {}", home.root().display());
    }
    if chain || worker || gateway || running {
        return Ok(());
    }
    Err(CliError::NotRunning)
}

pub fn base_url(settings: &Settings) -> String {
    format!("http://{}/v1", crate::settings::reachable(settings.gateway.listen()))
}

pub fn ready_url(settings: &Settings) -> String {
    format!("http://{}/ready", crate::settings::reachable(settings.gateway.listen()))
}

/// Whether that URL answers with a success, soon.
pub async fn answers(url: &str) -> bool {
    succeeds(|client| client.get(url)).await
}

/// Whether the gateway there knows this home's key: another home's may listen at the same address.
async fn accepts(base_url: &str, api_key: Option<&str>) -> bool {
    let Some(key) = api_key else { return false };
    succeeds(|client| client.get(format!("{base_url}/models")).bearer_auth(key)).await
}

async fn succeeds(request: impl FnOnce(&Client) -> RequestBuilder) -> bool {
    let Ok(client) = Client::builder().timeout(PROBE_TIMEOUT).no_proxy().build() else {
        return false;
    };
    request(&client).send().await.is_ok_and(|response| response.status().is_success())
}

/// One JSON value on standard output. A reader that has gone away is no error.
pub fn print_json(value: &Value) -> Result<(), CliError> {
    crate::output::print_json(value)
}

/// Process numbers by part, as the running `up` noted them.
fn processes(home: &Home) -> Value {
    let noted = std::fs::read(home.run().join("up.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    match noted {
        Some(noted) if home.is_running() => noted["processes"].clone(),
        _ => json!({}),
    }
}
