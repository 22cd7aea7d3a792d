//! How a gateway listens, what it serves, and how its calls are settled.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use chainference_gateway::Mode;
use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{UpstreamSetting, loopback, upstream};

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Gateway")]
pub struct GatewaySettings {
    /// Address and port of the OpenAI-compatible API [default: 127.0.0.1:7070]
    #[arg(long, env = "CHAINFERENCE_GATEWAY_LISTEN", value_name = "ADDR:PORT")]
    #[serde(rename = "listen")]
    pub gateway_listen: Option<SocketAddr>,
    /// Server of your own that speaks OpenAI's API (llama-server, vLLM, …), asked first and for nothing (repeatable)
    #[arg(long, env = "CHAINFERENCE_UPSTREAM", value_name = "URL", value_delimiter = ',')]
    #[serde(deserialize_with = "upstream::one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "upstream::schema")]
    pub upstream: Vec<UpstreamSetting>,
    /// Serve the market's models, too [default: true; false where there is an --upstream and no --rpc-url]
    #[arg(long, env = "CHAINFERENCE_GATEWAY_MARKET", value_name = "BOOL")]
    pub market: Option<bool>,
    /// Address of the cold key whose vault pays [default: this home's wallet]
    #[arg(long, env = "CHAINFERENCE_VAULT_OWNER", value_name = "ADDRESS")]
    pub vault_owner: Option<String>,
    /// Requests in progress, streams included; more are refused for a moment [default: 256]
    #[arg(long, env = "CHAINFERENCE_CONCURRENCY_MAX", value_name = "N")]
    pub concurrency_max: Option<NonZeroU32>,
    /// Connections at once; beyond that one without a request makes room [default: 1024]
    #[arg(long, env = "CHAINFERENCE_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<NonZeroU32>,
    /// The largest body of a request [default: 2097152]
    #[arg(long, env = "CHAINFERENCE_BODY_BYTES_MAX", value_name = "BYTES")]
    pub body_bytes_max: Option<NonZeroU32>,
    /// Warn when less of the vault is free, in lamports [default: 50000000]
    #[arg(long, env = "CHAINFERENCE_LOW_BALANCE_LAMPORTS", value_name = "LAMPORTS")]
    pub low_balance_lamports: Option<u64>,
    /// How calls come to their staked jobs [default: auto]
    #[arg(long, env = "CHAINFERENCE_GATEWAY_MODE", value_name = "MODE")]
    pub mode: Option<SettlementMode>,
    /// Most that jobs waiting for calls may hold of the vault, in lamports; never more than a quarter of what is free
    /// [default: 1 SOL]
    #[arg(long, env = "CHAINFERENCE_AHEAD_MAX_LAMPORTS", value_name = "LAMPORTS")]
    #[serde(rename = "ahead_max_lamports")]
    pub ahead_max: Option<u64>,
    /// Call workers on private addresses too [default: only on the embedded chain]
    #[arg(long, env = "CHAINFERENCE_ALLOW_PRIVATE_ENDPOINTS", value_name = "BOOL")]
    pub allow_private_endpoints: Option<bool>,
    /// Keep responses in memory, so that `previous_response_id` works [default: false]
    #[arg(long, env = "CHAINFERENCE_STORE_RESPONSES", value_name = "BOOL")]
    pub store_responses: Option<bool>,
    /// GGUF file whose tokenizer counts again what workers of that model bill (repeatable); `up` has those of its worker
    #[arg(long, env = "CHAINFERENCE_TOKENIZER", value_name = "FILE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokenizer: Vec<PathBuf>,
    /// Count tokens again where a model's tokenizer is at hand [default: true]
    #[arg(long, env = "CHAINFERENCE_RECOUNT", value_name = "BOOL")]
    pub recount: Option<bool>,
    /// Take signed tokens (JWT) beside API keys, checked by the issuer's keys (JWKS) in this file or at this https address
    #[arg(long, env = "CHAINFERENCE_JWT_JWKS", value_name = "FILE|URL")]
    pub jwt_jwks: Option<String>,
    /// Their issuer (iss)
    #[arg(long, env = "CHAINFERENCE_JWT_ISSUER", value_name = "TEXT")]
    pub jwt_issuer: Option<String>,
    /// Their audience (aud)
    #[arg(long, env = "CHAINFERENCE_JWT_AUDIENCE", value_name = "TEXT")]
    pub jwt_audience: Option<String>,
    /// The claim that names the API key whose models, budgets and rates hold, by its id or name [default: chainference_key]
    #[arg(long, env = "CHAINFERENCE_JWT_KEY_CLAIM", value_name = "CLAIM")]
    pub jwt_key_claim: Option<String>,
}

impl GatewaySettings {
    pub fn listen(&self) -> SocketAddr {
        self.gateway_listen.unwrap_or(loopback(7070))
    }
    /// Whether the market is served where nobody says so: one with upstreams needs a chain to be named.
    pub(super) fn market(&self, has_chain: bool) -> bool {
        self.market.unwrap_or(has_chain || self.upstream.is_empty())
    }
}

/// How calls come to their jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SettlementMode {
    /// A job for each call, published when it arrives.
    Strict,
    /// A job for each call, published and locked before it arrives.
    PerCall,
    /// One job for many calls.
    Session,
    /// Per call where fees are small beside the calls (always on the embedded chain), else sessions.
    Auto,
}

impl From<SettlementMode> for Mode {
    fn from(mode: SettlementMode) -> Self {
        match mode {
            SettlementMode::Strict => Self::Strict,
            SettlementMode::PerCall => Self::PerCall,
            SettlementMode::Session => Self::Session,
            SettlementMode::Auto => Self::Auto,
        }
    }
}
