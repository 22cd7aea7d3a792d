//! The gateway: an OpenAI-compatible API in front of a market of workers. Each call becomes a
//! staked job on chain, is sealed to one worker, paid as its tokens come, and accounted for.
//!
//! ```text
//! routes ─ openai (shapes) ─ settlement (stake, relay, vouch, end) ─ chain, worker
//!                               │            │
//!                            routing       ledger
//! ```

mod access;
mod clock;
mod error;
mod failpoint;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod keys;
mod ledger;
mod limits;
mod lull;
mod metrics;
mod middleware;
mod mode;
mod openai;
mod openapi;
mod options;
mod repeats;
mod router;
mod routes;
mod routing;
mod server;
mod settlement;
mod stalled;
mod state;
mod tokenizers;
mod upstream;

pub use access::{JwksSource, JwtOptions, model_pattern};
pub use error::{GatewayError, GatewayError as Error};
pub use keys::{NewKeyError, create_key};
pub use ledger::{
    Books, Budgets, DEFAULT_KEY, JobStatus, JobStory, JobSummary, KeyLimits, KeyRow, Ledger,
    LedgerError, NewKey, Span, Spend, Used,
};
pub use mode::Mode;
pub use options::Options;
pub use tokenizers::{Recount, Tokenizer};
pub use upstream::{UpstreamOptions, upstream_url};

use std::{sync::Arc, time::Duration};

use chainference_chain::{Chain, Keypair, address};
use chainference_serving::count_samples_until;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Access, Tokens},
    clock::now_unix_ms,
    keys::Secret,
    lull::Lull,
    repeats::Repeats,
    routing::{Admission, Directory},
    settlement::{Parts, Settlement, Workers},
    state::App,
    tokenizers::Tokenizers,
    upstream::Upstreams,
};

/// Runs a gateway until `shutdown`, then lets calls end, books what they cost, and returns.
///
/// A chain or worker that is away does not end it: calls are answered with 503 meanwhile.
///
/// # Errors
/// [`GatewayError`], where it can't start.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), GatewayError> {
    let default_key = Secret::load_or_create(&options.api_key_file)?;
    let key = if options.market { read_keypair(&options)? } else { Keypair::new() };
    let upstreams = Upstreams::new(&options.upstreams)?;
    let address = options.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| GatewayError::Listen { address, source })?;
    let metrics = metrics::recorder()?;
    let ledger = Ledger::open(&options.ledger_path).await?;
    ledger.keep_default_key(&default_key.stored(), now_unix_ms()).await?;
    let cut_short = ledger.fail_running_calls(now_unix_ms()).await?;
    if cut_short > 0 {
        tracing::warn!(calls = cut_short, "calls were cut short when the gateway last stopped");
    }

    let tokens = options.jwt.clone().map(Tokens::new).transpose()?;
    let background = CancellationToken::new();
    let settlement = assemble(&options, key, ledger, &background).await?;
    let services = TaskTracker::new();
    if !options.market {
        warn_of_open_jobs(&settlement.ledger).await?;
    }
    if options.market {
        services.spawn(settlement.clone().sweep_until(background.clone()));
        services.spawn(settlement.clone().keep_ahead_until(background.clone()));
        services.spawn(settlement.clone().watch_balance_until(background.clone()));
    }
    if !upstreams.is_empty() {
        upstreams.refresh().await;
        services.spawn(upstreams.clone().watch_until(background.clone()));
        let ledger = settlement.ledger.clone();
        services.spawn(upstreams.clone().note_until(ledger, background.clone()));
    }
    services.spawn(count_samples_until(metrics.clone(), background.clone()));
    let sockets = TaskTracker::new();
    let app = App::new(state::Parts {
        settlement: settlement.clone(),
        upstreams,
        access: Access::new(settlement.ledger.clone(), tokens),
        repeats: Repeats::new(settlement.ledger.clone()),
        permits: Arc::new(Semaphore::new(options.concurrency_max)),
        body_bytes_max: options.body_bytes_max,
        responses: options.store_responses.then(openai::Responses::default),
        metrics,
        sockets: sockets.clone(),
    });
    let vault = options.market.then(|| tracing::field::display(settlement.vault));
    tracing::info!(%address, vault, "the gateway is ready");
    server::serve(listener, router::router(app), options.connections_max, shutdown).await;
    // Their connections are no requests any more, and were not waited for.
    sockets.close();
    if tokio::time::timeout(limits::DRAIN_DEADLINE, sockets.wait()).await.is_err() {
        tracing::warn!("some WebSockets were cut: their answers did not end in time");
    }
    drain(settlement, services, background).await;
    Ok(())
}

/// Jobs of an earlier run with the market are nobody's business while there is none.
async fn warn_of_open_jobs(ledger: &Ledger) -> Result<(), GatewayError> {
    let jobs = ledger.unfinished_jobs().await?.len();
    if jobs > 0 {
        tracing::warn!(
            jobs,
            "jobs are open, and are left so until a gateway with the market runs here"
        );
    }
    Ok(())
}

async fn assemble(
    options: &Options,
    key: Keypair,
    ledger: Ledger,
    background: &CancellationToken,
) -> Result<Settlement, GatewayError> {
    let fallbacks = options.chain_fallbacks.clone();
    let chain = Chain::with_fallbacks(options.chain.clone(), fallbacks, options.commitment);
    let admission = Admission {
        heartbeat_age_s_max: options.heartbeat_age_s_max,
        allow_private_endpoints: options.allow_private_endpoints,
    };
    let lull = Lull::new();
    ledger.keep_tidy(lull.clone());
    let directory = if options.market {
        Directory::start(chain.clone(), admission, lull.clone(), background.clone()).await
    } else {
        Directory::closed()
    };
    let workers = Workers::new(options.allow_private_endpoints)?;
    Ok(Settlement::new(Parts {
        chain,
        ledger,
        directory,
        workers,
        key,
        vault: address::vault(&options.vault_owner),
        tokenizers: Tokenizers::new(&options.tokenizers),
        mode: options.mode,
        fees_matter: options.fees_matter,
        ahead_max: options.ahead_max,
        low_balance: options.low_balance,
        lull,
    }))
}

/// Calls first, then what moves jobs on, then the ledger: nothing is left half written.
async fn drain(settlement: Settlement, services: TaskTracker, background: CancellationToken) {
    settlement.retire();
    settlement.tasks.close();
    settlement.cut.cancel();
    let settled = tokio::time::timeout(limits::SETTLE_DEADLINE, settlement.tasks.wait()).await;
    if settled.is_err() {
        tracing::warn!("some jobs were not settled yet; they will be at the next start");
    }
    background.cancel();
    services.close();
    let stopped = tokio::time::timeout(Duration::from_secs(5), services.wait()).await;
    if stopped.is_err() {
        tracing::warn!("the sweeper was cut; it goes on at the next start");
    }
    settlement.ledger.close().await;
}

fn read_keypair(options: &Options) -> Result<Keypair, GatewayError> {
    let path = &options.gateway_key_file;
    let failed = |reason: String| GatewayError::GatewayKey { path: path.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let malformed = || failed("not a key in the form of the Solana CLI".to_owned());
    let bytes: Vec<u8> = serde_json::from_str(&text).map_err(|_| malformed())?;
    Keypair::try_from(bytes.as_slice()).map_err(|_| malformed())
}
