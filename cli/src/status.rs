//! `chainference status`: what runs in this home, a market or a gateway in front of upstreams alone, and how to call it.

use std::{collections::BTreeMap, time::Duration};

use chainference_chain::{Chain, Commitment, Endpoints, PROGRAM_ID};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::{args::Status, error::CliError, home::Home, settings::Settings, upstreams};

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

pub async fn status(home: Home, settings: Settings, command: Status) -> Result<(), CliError> {
    let seen = Seen::look(&home, &settings).await?;
    if command.json {
        print_json(&seen.as_json(&home))?;
    } else {
        seen.print(&home, &settings);
    }
    if seen.is_there() {
        return Ok(());
    }
    let start = if seen.market.is_some() { "chainference up" } else { "chainference gateway" };
    Err(CliError::NotRunning { start })
}

struct Seen {
    running: bool,
    /// `None` in a home that has upstreams alone.
    market: Option<MarketSeen>,
    /// By name, `ok` or what is wrong.
    upstreams: BTreeMap<String, String>,
    /// Whether this home's gateway answers, and whether it would serve a call.
    has_gateway: bool,
    gateway: bool,
    base_url: String,
    api_key: Option<String>,
}

struct MarketSeen {
    endpoints: Endpoints,
    chain: bool,
    worker: bool,
}

impl Seen {
    async fn look(home: &Home, settings: &Settings) -> Result<Self, CliError> {
        let running = home.is_running();
        let market = match settings.market(running) {
            true => Some(MarketSeen::look(settings).await?),
            false => None,
        };
        let (base_url, api_key) = (base_url(settings), home.api_key().ok());
        let has_gateway = accepts(&base_url, api_key.as_deref()).await;
        let gateway = has_gateway && answers(&ready_url(settings)).await;
        let upstreams = upstreams::states(settings).await;
        Ok(Self { running, market, upstreams, has_gateway, gateway, base_url, api_key })
    }

    /// Whether anything runs here.
    fn is_there(&self) -> bool {
        let has_part = |market: &MarketSeen| market.chain || market.worker;
        self.running || self.has_gateway || self.market.as_ref().is_some_and(has_part)
    }

    fn as_json(&self, home: &Home) -> Value {
        let market = self.market.as_ref();
        json!({
            "ready": self.gateway && market.is_none_or(|market| market.chain),
            "running": self.running,
            "base_url": self.base_url,
            "api_key": self.api_key,
            "rpc_url": market.map(|market| &market.endpoints.rpc_url),
            "ws_url": market.map(|market| &market.endpoints.ws_url),
            "program_id": market.map(|_| PROGRAM_ID.to_string()),
            "home": home.root(),
            "chain": market.map(|market| market.chain),
            "worker": market.map(|market| market.worker),
            "gateway": self.gateway,
            "upstreams": self.upstreams,
            "processes": processes(home),
        })
    }

    fn print(&self, home: &Home, settings: &Settings) {
        let mark = |well| if well { "✓" } else { "✗" };
        match &self.market {
            Some(market) => {
                println!("{} chain     {}", mark(market.chain), market.endpoints.rpc_url);
                println!("{} worker    {}", mark(market.worker), settings.worker.endpoint());
            }
            None => println!("  market    none: calls go to upstreams alone"),
        }
        for (name, state) in &self.upstreams {
            println!("{} upstream  {name}: {state}", mark(state == "ok"));
        }
        println!("{} gateway   {}", mark(self.gateway), self.base_url);
        println!(
            "  API key   {}",
            self.api_key.as_deref().unwrap_or("none yet: the gateway makes it at its first start")
        );
        if self.market.is_some() {
            println!("  program   {PROGRAM_ID}");
        }
        println!("  home      {}", home.root().display());
    }
}

impl MarketSeen {
    async fn look(settings: &Settings) -> Result<Self, CliError> {
        let endpoints = settings.endpoints()?;
        let chain = Chain::new(endpoints.clone(), Commitment::Processed).health().await.is_ok();
        let worker = answers(&format!("{}/health", settings.worker.endpoint())).await;
        Ok(Self { endpoints, chain, worker })
    }
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

/// The JSON that is at that URL, whatever the status.
pub async fn told(url: &str) -> Option<Value> {
    client()?.get(url).send().await.ok()?.json().await.ok()
}

async fn succeeds(request: impl FnOnce(&Client) -> RequestBuilder) -> bool {
    let Some(client) = client() else { return false };
    request(&client).send().await.is_ok_and(|response| response.status().is_success())
}

fn client() -> Option<Client> {
    Client::builder().timeout(PROBE_TIMEOUT).no_proxy().build().ok()
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
