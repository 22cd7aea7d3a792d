//! Every setting, declared once: as a flag, an environment variable and a line of config.toml.
//! A flag beats the environment, that beats config.toml, that beats the default.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use chainference_chain::Endpoints;
use chainference_gateway::Mode;
use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{error::CliError, home::Home};

mod engine;
mod mistake;
mod model;
mod upstream;

pub use engine::EngineSettings;
pub use model::ModelSetting;
pub use upstream::UpstreamSetting;

const LAMPORTS_PER_SOL: u64 = 1_000_000_000;

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    #[command(flatten)]
    pub chain: ChainSettings,
    #[command(flatten)]
    pub gateway: GatewaySettings,
    #[command(flatten)]
    pub worker: WorkerSettings,
    #[command(flatten)]
    pub engine: EngineSettings,
    #[command(flatten)]
    pub vault: VaultSettings,
}

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

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Worker")]
pub struct WorkerSettings {
    /// Address and port that the worker serves gateways on [default: 127.0.0.1:7071]
    #[arg(long, env = "CHAINFERENCE_WORKER_LISTEN", value_name = "ADDR:PORT")]
    #[serde(rename = "listen")]
    pub worker_listen: Option<SocketAddr>,
    /// URL under which gateways reach the worker, published on chain [default: http://ADDR:PORT]
    #[arg(long, env = "CHAINFERENCE_WORKER_ENDPOINT", value_name = "URL")]
    #[serde(rename = "endpoint")]
    pub worker_endpoint: Option<String>,
    /// Model to serve: a GGUF file, a Hugging Face id (owner/name[:quantisation]), or "quickstart"; several by several
    /// --model, or by commas [default: quickstart]
    #[arg(long, env = "CHAINFERENCE_MODEL", value_name = "MODEL", value_delimiter = ',')]
    #[serde(deserialize_with = "model::one_or_many", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "model::schema")]
    pub model: Vec<ModelSetting>,
    /// Context length to serve, in tokens [default: the model's own, at most 4096]
    #[arg(long, env = "CHAINFERENCE_CONTEXT_TOKENS", value_name = "TOKENS")]
    pub context_tokens: Option<NonZeroU32>,
    /// Calls generated at once [default: 4]
    #[arg(long, env = "CHAINFERENCE_WORKER_SLOTS", value_name = "N")]
    #[serde(rename = "slots")]
    pub worker_slots: Option<NonZeroU32>,
    /// Threads of the engine [default: the machine's cores]
    #[arg(long, env = "CHAINFERENCE_WORKER_THREADS", value_name = "N")]
    #[serde(rename = "threads")]
    pub worker_threads: Option<NonZeroU32>,
    /// Price of a million input tokens, in lamports [default: 600000]
    #[arg(long, env = "CHAINFERENCE_PRICE_IN_PER_MTOK", value_name = "LAMPORTS")]
    pub price_in_per_mtok: Option<u64>,
    /// Price of a million output tokens, in lamports [default: 1200000]
    #[arg(long, env = "CHAINFERENCE_PRICE_OUT_PER_MTOK", value_name = "LAMPORTS")]
    pub price_out_per_mtok: Option<u64>,
    /// Least charge of a job, in lamports [default: 2000]
    #[arg(long, env = "CHAINFERENCE_CHARGE_MIN", value_name = "LAMPORTS")]
    #[serde(rename = "charge_min_lamports")]
    pub charge_min: Option<u64>,
    /// How prices come about [default: fixed]
    #[arg(long, env = "CHAINFERENCE_PRICING", value_name = "HOW")]
    pub pricing: Option<PricingMode>,
    /// How often a price that follows utilisation changes, in seconds [default: 300]
    #[arg(long, env = "CHAINFERENCE_REPRICE_S", value_name = "SECONDS")]
    pub reprice_s: Option<NonZeroU32>,
    /// No price of a million input tokens below this, in lamports [default: 0]
    #[arg(long, env = "CHAINFERENCE_PRICE_FLOOR_IN_PER_MTOK", value_name = "LAMPORTS")]
    pub price_floor_in_per_mtok: Option<u64>,
    /// No price of a million output tokens below this, in lamports [default: 0]
    #[arg(long, env = "CHAINFERENCE_PRICE_FLOOR_OUT_PER_MTOK", value_name = "LAMPORTS")]
    pub price_floor_out_per_mtok: Option<u64>,
    /// Vouched lamports of a running job that are worth a claim before its end [default: 10000000]
    #[arg(long, env = "CHAINFERENCE_PART_CLAIM_MIN", value_name = "LAMPORTS")]
    #[serde(rename = "part_claim_min_lamports")]
    pub part_claim_min: Option<u64>,
    /// How long claims too small for a fee of their own wait for others; a gateway's patience is 20 s
    /// [default: 1 on the embedded chain, else 10]
    #[arg(long, env = "CHAINFERENCE_CLAIM_WAIT_S", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=15))]
    pub claim_wait_s: Option<u32>,
    /// Lock published jobs that fit, beside those that are quoted [default: true]
    #[arg(long, env = "CHAINFERENCE_OPEN_MARKET", value_name = "BOOL")]
    pub open_market: Option<bool>,
    /// Serve only these clients, by the address of their vault or its owner (repeatable) [default: all]
    #[arg(long, env = "CHAINFERENCE_ALLOW_CLIENTS", value_name = "ADDRESS", value_delimiter = ',')]
    #[serde(rename = "allow_clients")]
    pub allow_client: Option<Vec<String>>,
    /// Never serve these clients (repeatable)
    #[arg(long, env = "CHAINFERENCE_BLOCK_CLIENTS", value_name = "ADDRESS", value_delimiter = ',')]
    #[serde(rename = "block_clients")]
    pub block_client: Option<Vec<String>>,
    /// Most unpaid input tokens of one client [default: what all slots and the queue hold]
    #[arg(long, env = "CHAINFERENCE_UNPAID_INPUT_MAX", value_name = "TOKENS")]
    #[serde(rename = "unpaid_input_max_tokens")]
    pub unpaid_input_max: Option<u64>,
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

/// How a worker's prices come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PricingMode {
    /// As set.
    Fixed,
    /// A tenth less while the worker idles, a tenth more while all its slots are taken.
    Utilisation,
}

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Vault")]
pub struct VaultSettings {
    /// What `up` puts into a vault that it opens, in lamports [default: 10 SOL]
    #[arg(long, env = "CHAINFERENCE_DEPOSIT_LAMPORTS", value_name = "LAMPORTS")]
    pub deposit_lamports: Option<u64>,
    /// What the gateway's key may spend of the vault each day, in lamports [default: 1 SOL]
    #[arg(long, env = "CHAINFERENCE_LIMIT_LAMPORTS", value_name = "LAMPORTS")]
    pub limit_lamports: Option<u64>,
}

impl Settings {
    /// Lays what was given by flag and environment over what stands in the file.
    ///
    /// `file` names config.toml; it may be missing unless `required`.
    pub fn load(self, file: &Path, required: bool) -> Result<Self, CliError> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(self);
            }
            other => other.map_err(CliError::file(file))?,
        };
        let below: Self = toml::from_str(&text).map_err(|error| CliError::Config {
            path: file.to_owned(),
            message: mistake::explained(&error),
        })?;
        self.over(below)
            .map_err(|error| CliError::Config { path: file.to_owned(), message: error.to_string() })
    }

    /// These settings, and those of `below` where these say nothing.
    fn over(self, below: Self) -> Result<Self, toml::ser::Error> {
        let mut merged = toml::Table::try_from(below)?;
        for (section, settings) in toml::Table::try_from(self)? {
            match (merged.get_mut(&section), settings) {
                (Some(toml::Value::Table(below)), toml::Value::Table(above)) => below.extend(above),
                (_, settings) => drop(merged.insert(section, settings)),
            }
        }
        merged.try_into().map_err(serde::ser::Error::custom)
    }

    /// Whether this home runs a chain of its own.
    pub fn embedded_chain(&self) -> bool {
        self.chain.rpc_url.is_none()
    }

    /// Whether a gateway serves the market, `supervised` by `up`, which has one, or not.
    pub fn market(&self, supervised: bool) -> bool {
        self.gateway.market(supervised || !self.embedded_chain())
    }

    pub fn endpoints(&self) -> Result<Endpoints, CliError> {
        let chain = &self.chain;
        match &chain.rpc_url {
            None => Ok(Endpoints {
                rpc_url: format!("http://127.0.0.1:{}", chain.rpc_port()),
                ws_url: format!("ws://127.0.0.1:{}", chain.ws_port()),
            }),
            Some(rpc_url) => node("--rpc-url", rpc_url, chain.ws_url.clone()),
        }
    }

    /// The nodes that are asked where the first is away.
    pub fn fallbacks(&self) -> Result<Vec<Endpoints>, CliError> {
        self.chain.rpc_fallback.iter().map(|url| node("--rpc-fallback", url, None)).collect()
    }
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

impl GatewaySettings {
    pub fn listen(&self) -> SocketAddr {
        self.gateway_listen.unwrap_or(loopback(7070))
    }
    /// Whether the market is served where nobody says so: one with upstreams needs a chain to be named.
    fn market(&self, has_chain: bool) -> bool {
        self.market.unwrap_or(has_chain || self.upstream.is_empty())
    }
}

impl WorkerSettings {
    pub fn listen(&self) -> SocketAddr {
        self.worker_listen.unwrap_or(loopback(7071))
    }
    /// The models to serve; at least one.
    pub fn models(&self) -> Vec<ModelSetting> {
        if self.model.is_empty() {
            vec![ModelSetting { name: "quickstart".to_owned(), ..ModelSetting::default() }]
        } else {
            self.model.clone()
        }
    }
    pub fn endpoint(&self) -> String {
        self.worker_endpoint
            .clone()
            .unwrap_or_else(|| format!("http://{}", reachable(self.listen())))
    }
}

impl VaultSettings {
    pub fn deposit_lamports(&self) -> u64 {
        self.deposit_lamports.unwrap_or(10 * LAMPORTS_PER_SOL)
    }
    pub fn limit_lamports(&self) -> u64 {
        self.limit_lamports.unwrap_or(LAMPORTS_PER_SOL)
    }
}

/// Where the settings of the `up` that lives in this home stand, whole.
pub fn running_file(home: &Home) -> PathBuf {
    home.run().join("settings.toml")
}

/// An address that a client on this machine can connect to: the unspecified one becomes loopback.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { loopback(listen.port()) } else { listen }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Solana's habit: https becomes wss on the same address; on a local validator the port is one higher.
fn node(
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

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn flag_beats_file_and_file_beats_default() {
        let file = file("[chain]\nrpc_port = 1\nws_port = 2\n[worker]\nlisten = \"127.0.0.1:9\"\n");
        let flags = Settings {
            chain: ChainSettings { rpc_port: Some(7), ..Default::default() },
            ..Default::default()
        };
        let settings = flags.load(file.path(), true).expect("read");
        assert_eq!(
            (settings.chain.rpc_port(), settings.chain.ws_port(), settings.chain.slot_ms()),
            (7, 2, 400)
        );
        assert_eq!(settings.worker.endpoint(), "http://127.0.0.1:9");
    }

    #[test]
    fn mistakes_in_the_file_are_named_with_their_line() {
        for (text, expected) in [
            ("[chain]\nslot = 400\n", "did you mean `slot_ms`?"),
            ("[gateway]\n\nlow_balance = 1\n", "did you mean `low_balance_lamports`?"),
            ("[gatewy]\n", "did you mean `gateway`?"),
            ("[gateway]\nlisten = 7070\n", "line 2"),
            ("[chain\n", "line 1"),
        ] {
            let error =
                Settings::default().load(file(text).path(), true).expect_err("refused").to_string();
            assert!(error.contains(expected) && error.contains("line"), "{error}");
        }
        let far = Settings::default().load(file("[chain]\nzzz = 1\n").path(), true);
        assert!(!far.expect_err("refused").to_string().contains("did you mean"));
    }

    #[test]
    fn missing_file_matters_only_where_it_was_named() {
        let nowhere = Path::new("/nonexistent/config.toml");
        assert_eq!(
            Settings::default().load(nowhere, false).expect("defaults"),
            Settings::default()
        );
        assert!(Settings::default().load(nowhere, true).is_err());
    }

    #[test]
    fn settings_survive_being_written_for_the_children() {
        let settings = Settings {
            chain: ChainSettings { slot_ms: Some(50), ..Default::default() },
            worker: WorkerSettings {
                model: vec!["/a b.gguf".parse().expect("a source")],
                pricing: Some(PricingMode::Utilisation),
                allow_client: Some(vec!["a".into(), "b".into()]),
                ..Default::default()
            },
            gateway: GatewaySettings {
                upstream: vec!["http://a:1/v1".parse().expect("a URL")],
                ..Default::default()
            },
            ..Default::default()
        };
        let text = toml::to_string(&settings).expect("serialised");
        assert_eq!(Settings::default().load(file(&text).path(), true).expect("read"), settings);
    }

    #[test]
    fn a_gateway_with_upstreams_serves_the_market_only_where_a_chain_is_named() {
        let settings = |upstream: &[&str], market, rpc_url: Option<&str>| Settings {
            chain: ChainSettings { rpc_url: rpc_url.map(str::to_owned), ..Default::default() },
            gateway: GatewaySettings {
                upstream: upstream.iter().map(|url| url.parse().expect("a URL")).collect(),
                market,
                ..Default::default()
            },
            ..Default::default()
        };
        let own = &["http://a:1/v1"][..];
        assert!(settings(&[], None, None).market(false));
        assert!(!settings(own, None, None).market(false));
        assert!(settings(own, None, None).market(true), "`up` brings a chain");
        assert!(settings(own, None, Some("http://a")).market(false));
        assert!(settings(own, Some(true), None).market(false));
        assert!(!settings(&[], Some(false), Some("http://a")).market(true));
    }

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
