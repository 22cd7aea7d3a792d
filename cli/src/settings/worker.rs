//! What a worker serves, whom, and for how much.

use std::{net::SocketAddr, num::NonZeroU32};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelSetting, loopback, model, reachable};

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

/// How a worker's prices come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PricingMode {
    /// As set.
    Fixed,
    /// A tenth less while the worker idles, a tenth more while all its slots are taken.
    Utilisation,
}
