//! Everything that can be set about a worker.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chainference_chain::{Commitment, Endpoints};
use chainference_market::{Lamports, Prices};

use crate::engine::{CONTEXT_TOKENS_DEFAULT_MAX, GPU_LAYERS, Tuning};
use crate::models::{Hub, ModelSource, Progress};
use crate::pricing::{Floor, Pricing};
use crate::settlement::Clients;

/// Receives the progress of a model's download.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// A model to serve; what is `None` is as the worker's own setting of that name.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    pub source: ModelSource,
    pub prices: Option<Prices>,
    pub context_tokens: Option<NonZeroU32>,
    pub slots: Option<NonZeroU32>,
    pub queue_max: Option<u32>,
    pub threads: Option<NonZeroU32>,
    pub gpu_layers: Option<u32>,
    pub tuning: Tuning,
    /// A chat template in Jinja instead of the model's own.
    pub chat_template_path: Option<PathBuf>,
}

impl From<ModelSource> for ModelOptions {
    fn from(source: ModelSource) -> Self {
        Self {
            source,
            prices: None,
            context_tokens: None,
            slots: None,
            queue_max: None,
            threads: None,
            gpu_layers: None,
            tuning: Tuning::default(),
            chat_template_path: None,
        }
    }
}

/// A worker's settings. [`Options::new`] gives the defaults.
#[derive(Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// Published on chain, where gateways find it. `None`: `http://<listen>`.
    pub endpoint_url: Option<String>,
    pub chain: Endpoints,
    pub commitment: Commitment,
    /// Signs the registration; not needed once the worker is registered and nothing changed.
    pub owner_key_path: PathBuf,
    /// Signs quotes, claims and heartbeats, and pays their fees.
    pub operator_key_path: PathBuf,
    pub x25519_key_path: PathBuf,
    pub ledger_path: PathBuf,
    /// Where downloaded models are kept.
    pub models_path: PathBuf,
    /// Each has an offer and an engine of its own.
    pub models: Vec<ModelOptions>,
    /// What models in memory may take together. `None`: three quarters of what this process may use.
    pub memory_bytes: Option<u64>,
    /// A model that nobody used for so long leaves the memory until it is wanted; 0: it stays.
    pub idle_unload_s: u32,
    /// A call waits so long for a model that is being loaded, then it is refused as busy.
    pub load_wait_s: u32,
    /// Where models are downloaded from.
    pub hub: Hub,
    pub prices: Prices,
    /// The program that runs the engine (usually this very one) and the arguments that make it do so.
    pub engine_exe: PathBuf,
    pub engine_args: Vec<OsString>,
    /// `None`: what the model was trained for, within the engine's default.
    pub context_tokens: Option<NonZeroU32>,
    /// Calls that are computed at once.
    pub slots: NonZeroU32,
    /// Calls that may wait for a slot.
    pub queue_max: u32,
    pub threads: Option<NonZeroU32>,
    pub gpu_layers: u32,
    /// How llama.cpp computes.
    pub tuning: Tuning,
    /// Live jobs of all clients, quoted ones included.
    pub jobs_max: usize,
    pub jobs_per_client_max: usize,
    /// How far ahead a job's `serve_until` may lie.
    pub serve_max_s: u32,
    /// The most unpaid output, by price; at least one token.
    pub credit_max: Lamports,
    /// A call that waits so long for a voucher is given up.
    pub voucher_timeout_s: u32,
    /// The longest that a call may run.
    pub call_max_s: u32,
    /// A call whose first token takes longer is broken off.
    pub first_token_max_s: u32,
    /// So is one whose engine says nothing for so long between two tokens.
    pub idle_max_s: u32,
    /// A called job that is idle for so long is claimed.
    pub idle_claim_s: u32,
    /// Claims are sent at the latest so long before the chain's deadline.
    pub claim_margin_s: u32,
    pub heartbeat_s: u32,
    /// How often the chain is asked for this worker's jobs.
    pub sweep_s: u32,
    /// How long running calls and claims may take after the shutdown began.
    pub drain_s: u32,
    /// How long the chain is waited for at the start.
    pub chain_wait_s: u32,
    pub on_progress: OnProgress,
    /// How often the open market is looked at, in seconds, beside what the chain tells of it; 0: only quotes
    /// are served.
    pub market_poll_s: u32,
    /// Whom the worker serves.
    pub clients: Clients,
    /// The most unpaid input tokens of one client. `None`: as much as all of the engine's places hold.
    pub unpaid_in_max: Option<u64>,
    /// The most that a job is served, by cost, before its lock is final. Without effect on a chain that
    /// never forks (commitment `processed`).
    pub unfinal_max: Lamports,
    /// So long claims that together don't earn their transaction's fee wait for others.
    pub claim_company_s: u32,
    /// So much that is vouched and unclaimed is worth a claim while its job goes on.
    pub part_claim_min: Lamports,
    pub pricing: Pricing,
    /// No price goes below these, in lamports for 1,000,000 tokens.
    pub price_floor_in_per_mtok: u64,
    pub price_floor_out_per_mtok: u64,
}

impl Options {
    /// The defaults of a worker whose state lies under `home`.
    pub fn new(home: &Path, chain: Endpoints, engine_exe: PathBuf) -> Self {
        let keys = home.join("keys");
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7071)),
            endpoint_url: None,
            chain,
            commitment: Commitment::Processed,
            owner_key_path: keys.join("worker-owner.json"),
            operator_key_path: keys.join("worker-operator.json"),
            x25519_key_path: keys.join("worker-x25519.key"),
            ledger_path: home.join("worker/ledger.sqlite"),
            models_path: home.join("models"),
            models: vec![ModelSource::Quickstart.into()],
            memory_bytes: None,
            idle_unload_s: 1_800,
            load_wait_s: 20,
            hub: Hub::from_env(),
            prices: Prices {
                input_per_mtok: 600_000,
                output_per_mtok: 1_200_000,
                charge_min: 2_000,
            },
            engine_exe,
            engine_args: vec!["engine".into()],
            context_tokens: None,
            slots: NonZeroU32::new(4).expect("four is not zero"),
            queue_max: 4,
            threads: None,
            gpu_layers: GPU_LAYERS,
            tuning: Tuning::default(),
            jobs_max: 256,
            jobs_per_client_max: 64,
            serve_max_s: 3_600,
            credit_max: Lamports(100_000),
            voucher_timeout_s: 10,
            call_max_s: 300,
            first_token_max_s: 120,
            idle_max_s: 30,
            idle_claim_s: 120,
            claim_margin_s: 120,
            heartbeat_s: 60,
            sweep_s: 15,
            drain_s: 20,
            chain_wait_s: 60,
            on_progress: Arc::new(|_| {}),
            market_poll_s: 5,
            clients: Clients::default(),
            unpaid_in_max: None,
            unfinal_max: Lamports(100_000),
            claim_company_s: 1,
            part_claim_min: Lamports(10_000_000),
            pricing: Pricing::Fixed,
            price_floor_in_per_mtok: 0,
            price_floor_out_per_mtok: 0,
        }
    }

    /// Input of calls that a crash may have left uncounted: one full context a slot.
    pub(crate) fn slack_in_tokens(&self) -> u64 {
        let slack = |model| self.context_tokens(model) * self.slots(model);
        self.models.iter().map(slack).max().unwrap_or(0)
    }

    fn context_tokens(&self, model: &ModelOptions) -> u64 {
        let context = model.context_tokens.or(self.context_tokens);
        context.map_or(CONTEXT_TOKENS_DEFAULT_MAX, NonZeroU32::get).into()
    }

    fn slots(&self, model: &ModelOptions) -> u64 {
        model.slots.unwrap_or(self.slots).get().into()
    }

    /// A client that fills every place with the longest prompts still finds each taken.
    pub(crate) fn unpaid_in_max(&self) -> u64 {
        let most = |model: &ModelOptions| {
            let places = self.slots(model) + u64::from(model.queue_max.unwrap_or(self.queue_max));
            places * self.context_tokens(model)
        };
        self.unpaid_in_max.unwrap_or_else(|| self.models.iter().map(most).sum())
    }

    pub(crate) fn price_floor(&self) -> Floor {
        Floor {
            input_per_mtok: self.price_floor_in_per_mtok,
            output_per_mtok: self.price_floor_out_per_mtok,
        }
    }

    /// The cap on what is served before a lock is final, where locks can be rolled back at all.
    pub(crate) fn unfinal_max(&self) -> Option<Lamports> {
        (self.commitment != Commitment::Processed).then_some(self.unfinal_max)
    }

    /// What is published on chain.
    pub fn endpoint_url(&self) -> String {
        self.endpoint_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}
