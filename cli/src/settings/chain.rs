//! Which chain: the embedded one, or nodes of another.

use std::path::PathBuf;

use chainference_chain::Endpoints;
use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Chain")]
pub struct ChainSettings {
    /// JSON-RPC address of a chain to use instead of the embedded one
    #[arg(long, global = true, env = "CHAINFERENCE_RPC_URL", value_name = "URL")]
    pub rpc_url: Option<String>,
    /// Further nodes of the same chain, which a gateway asks where that one is away (repeatable)
    #[arg(
        long,
        global = true,
        env = "CHAINFERENCE_RPC_FALLBACKS",
        value_name = "URL",
        value_delimiter = ','
    )]
    #[serde(rename = "rpc_fallbacks", skip_serializing_if = "Vec::is_empty")]
    pub rpc_fallback: Vec<String>,
    /// Its websocket address [default: guessed from the RPC address]
    #[arg(long, global = true, env = "CHAINFERENCE_WS_URL", value_name = "URL")]
    pub ws_url: Option<String>,
    /// Port of the embedded chain's JSON-RPC [default: 8899]
    #[arg(long, global = true, env = "CHAINFERENCE_RPC_PORT", value_name = "PORT")]
    pub rpc_port: Option<u16>,
    /// Port of the embedded chain's websocket [default: 8900]
    #[arg(long, global = true, env = "CHAINFERENCE_WS_PORT", value_name = "PORT")]
    pub ws_port: Option<u16>,
    /// Length of the embedded chain's slots, in milliseconds [default: 400]
    #[arg(long, env = "CHAINFERENCE_SLOT_MS", value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub slot_ms: Option<u64>,
    /// The embedded chain's program [default: chainference-chain beside chainference]
    #[arg(long, env = "CHAINFERENCE_CHAIN_BIN", value_name = "PATH")]
    #[serde(rename = "binary")]
    pub chain_bin: Option<PathBuf>,
}

impl ChainSettings {
    pub fn rpc_port(&self) -> u16 {
        self.rpc_port.unwrap_or(8899)
    }
    pub fn ws_port(&self) -> u16 {
        self.ws_port.unwrap_or(8900)
    }
    pub fn slot_ms(&self) -> u64 {
        self.slot_ms.unwrap_or(400)
    }
}

/// Solana's habit: https becomes wss on the same address; on a local validator the port is one higher.
pub(super) fn node(
    setting: &'static str,
    rpc_url: &str,
    ws_url: Option<String>,
) -> Result<Endpoints, CliError> {
    let ws_url = ws_url.or_else(|| guess_ws_url(rpc_url)).ok_or_else(|| CliError::Setting {
        setting,
        message: format!("`{rpc_url}` is no http or https URL"),
    })?;
    Ok(Endpoints { rpc_url: rpc_url.to_owned(), ws_url })
}

fn guess_ws_url(rpc_url: &str) -> Option<String> {
    let url = reqwest::Url::parse(rpc_url).ok()?;
    let mut ws = url.clone();
    ws.set_scheme(match url.scheme() {
        "http" => "ws",
        "https" => "wss",
        _ => return None,
    })
    .ok()?;
    if let Some(port) = url.port() {
        ws.set_port(Some(port.checked_add(1)?)).ok()?;
    }
    Some(ws.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_address_follows_the_rpc_address() {
        for (rpc, ws) in [
            ("https://api.devnet.solana.com", Some("wss://api.devnet.solana.com/")),
            ("http://127.0.0.1:8899", Some("ws://127.0.0.1:8900/")),
            ("ftp://x", None),
            ("nonsense", None),
        ] {
            assert_eq!(guess_ws_url(rpc).as_deref(), ws, "{rpc}");
        }
    }
}
