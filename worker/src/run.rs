//! The worker from start to drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chainference_chain::{Chain, Keypair, Signer};
use chainference_market::limits::{MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX, REVISION_BYTES_MAX};
use chainference_protocol::WorkerSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::{Engine, EngineOptions};
use crate::keys::{read_keypair, read_x25519};
use crate::ledger::Ledger;
use crate::models::{ModelStore, Resolved};
use crate::pricing::{self, Demand, PriceTag, Pricing, Shelf};
use crate::registration::{
    Identity, ModelOffer, OfferKeys, Registered, ensure_offer, ensure_worker, heartbeat,
    wait_for_market,
};
use crate::routes::{App, Limits, Offered, router};
use crate::settlement::{Policy, Settings, Settlement, Stall};
use crate::{Options, WorkerError, metrics, server};

/// What the background gets once it is told to end.
const TASKS_DRAIN: Duration = Duration::from_secs(2);
/// What open connections get after the last call has ended.
const CONNECTIONS_DRAIN: Duration = Duration::from_secs(2);

/// Serves a model until `shutdown`, then drains and returns.
///
/// # Errors
/// [`WorkerError`]: what kept the worker from starting. Once it serves, trouble is logged and tried
/// again.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let started = shutdown.run_until_cancelled(start(&options, &shutdown)).await;
    let Some(started) = started.transpose()? else { return Ok(()) };
    let Started { listener, app, background, tasks } = started;

    let settlement = app.settlement.clone();
    let serving = CancellationToken::new();
    let served =
        tokio::spawn(server::serve(listener, router(app), serving.clone(), CONNECTIONS_DRAIN));
    shutdown.cancelled().await;
    tracing::info!("draining: no new jobs, running calls may end");
    // Vouchers must come in until the last call has ended: the server stops after the drain.
    settlement.drain(Duration::from_secs(options.drain_s.into())).await;
    serving.cancel();
    served.await.ok();
    background.cancel();
    // Each ends at its next await, and with the last of them the ledger is let go of.
    tasks.close();
    tokio::time::timeout(TASKS_DRAIN, tasks.wait()).await.ok();
    Ok(())
}

struct Started {
    listener: TcpListener,
    app: Arc<App>,
    /// Ends the engine, the heartbeat and the watch: they live as long as calls may run.
    background: CancellationToken,
    tasks: TaskTracker,
}

async fn start(options: &Options, shutdown: &CancellationToken) -> Result<Started, WorkerError> {
    let operator = Arc::new(read_keypair(&options.operator_key_path)?);
    let x25519 = read_x25519(&options.x25519_key_path)?;
    let ledger = Ledger::open(&options.ledger_path).await?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|source| WorkerError::Listen { listen: options.listen, source })?;
    let chain = Chain::new(options.chain.clone(), options.commitment);
    let (background, tasks) = (CancellationToken::new(), TaskTracker::new());
    let guard = background.clone().drop_guard();

    let config = wait_for_market(&chain, options.chain_wait_s).await?;
    let registered = ensure_worker(&chain, &config, &identity(options, &operator, &x25519)).await?;
    // What is owed is claimed from here on, however long the model takes.
    let settlement = settle(options, &chain, ledger, registered, Arc::clone(&operator)).await?;
    let (watched, sweep_s, until) = (settlement.clone(), options.sweep_s, background.clone());
    tasks.spawn(async move { watched.watch(sweep_s, until).await });

    let (model, engine) = load(options, &background).await?;
    let offer = model_offer(options, &model, &engine);
    let keys = OfferKeys { owner_path: &options.owner_key_path, operator: &operator };
    let address = ensure_offer(&chain, keys, registered, &offer).await?;
    let offered = Offered {
        address,
        model_hash: chainference_chain::accounts::model_hash(&offer.model, &offer.quantisation),
        model: offer.model,
        prices: PriceTag::new(offer.prices),
    };
    tasks.spawn(heartbeat(
        chain.clone(),
        Arc::clone(&operator),
        registered.worker,
        options.heartbeat_s,
        shutdown.clone(),
    ));
    tracing::info!(
        listen = %options.listen,
        worker = %registered.worker,
        model = offered.model,
        "worker ready"
    );
    let app = App {
        settlement,
        chain,
        engine,
        operator,
        x25519,
        owner: registered.owner,
        worker: registered.worker,
        offer: offered,
        limits: Limits {
            serve_max_s: options.serve_max_s,
            voucher_timeout: Duration::from_secs(options.voucher_timeout_s.into()),
            call_max: Duration::from_secs(options.call_max_s.into()),
            first_token_max: Duration::from_secs(options.first_token_max_s.into()),
            idle_max: Duration::from_secs(options.idle_max_s.into()),
            seats: options.slots.get() as usize + options.queue_max as usize,
            slots: options.slots.get() as usize,
        },
        metrics: metrics::install(),
        began: Instant::now(),
    };
    trade(options, &app, &tasks, shutdown);
    guard.disarm();
    Ok(Started { listener, app: Arc::new(app), background, tasks })
}

/// What is done for an offer beside answering requests: open jobs, and prices that follow demand.
fn trade(options: &Options, app: &App, tasks: &TaskTracker, shutdown: &CancellationToken) {
    let offer = &app.offer;
    if options.market_poll_s > 0 {
        let engine = app.engine.clone();
        let stall = Stall {
            owner: app.owner,
            offer: offer.address,
            model_hash: offer.model_hash,
            prices: offer.prices.clone(),
            serve_max_s: options.serve_max_s,
            room: Box::new(move || if engine.is_ready() { engine.free_seats() } else { 0 }),
        };
        let every = Duration::from_secs(options.market_poll_s.into());
        let (settlement, until) = (app.settlement.clone(), shutdown.clone());
        tasks.spawn(async move { settlement.watch_market(stall, every, until).await });
    }
    if let Pricing::Utilisation { every_s } = options.pricing {
        let engine = app.engine.clone();
        let seats = app.limits.seats;
        let demand = Demand {
            base: options.prices,
            floor: options.price_floor(),
            slots: options.slots.get() as usize,
            busy: Box::new(move || seats.saturating_sub(engine.free_seats())),
        };
        let shelf = Shelf {
            chain: app.chain.clone(),
            operator: Arc::clone(&app.operator),
            worker: app.worker,
            offer: offer.address,
            tag: offer.prices.clone(),
        };
        tasks.spawn(pricing::follow(shelf, demand, every_s, shutdown.clone()));
    }
}

fn identity<'a>(
    options: &'a Options,
    operator: &'a Keypair,
    x25519: &WorkerSecret,
) -> Identity<'a> {
    Identity {
        operator,
        owner_key_path: &options.owner_key_path,
        x25519: x25519.public().0,
        endpoint_url: options.endpoint_url(),
    }
}

/// Takes up the jobs of the ledger.
async fn settle(
    options: &Options,
    chain: &Chain,
    ledger: Ledger,
    registered: Registered,
    operator: Arc<Keypair>,
) -> Result<Settlement, WorkerError> {
    let clock = chain.clock().await.map_err(crate::registration::RegistrationError::from)?;
    tracing::debug!(operator = %operator.pubkey(), slot = clock.slot, "settlement begins");
    let settings = Settings {
        operator,
        worker: registered.worker,
        policy: Policy {
            idle_s: options.idle_claim_s.into(),
            patience_s: i64::from(options.voucher_timeout_s.min(options.drain_s / 2)),
            claim_margin_s: options.claim_margin_s.into(),
            part_min: options.part_claim_min,
            slack_in_tokens: options.slack_in_tokens(),
        },
        jobs_max: options.jobs_max,
        jobs_per_client_max: options.jobs_per_client_max,
        credit_max: options.credit_max,
        unpaid_in_max: options.unpaid_in_max(),
        unfinal_max: options.unfinal_max(),
        claim_company: Duration::from_secs(options.claim_company_s.into()),
        clients: options.clients.clone(),
    };
    Ok(Settlement::restore(chain.clone(), ledger, settings, clock.unix_s).await?)
}

async fn load(
    options: &Options,
    background: &CancellationToken,
) -> Result<(Resolved, Engine), WorkerError> {
    let store = ModelStore::new(options.models_path.clone(), options.hub.clone());
    let model = store.resolve(&options.model, &*options.on_progress).await?;
    tracing::info!(model = model.name, quantisation = model.quantisation, "model found, loading");
    let engine = EngineOptions {
        context_tokens: options.context_tokens,
        slots: options.slots,
        queue_max: options.queue_max,
        threads: options.threads,
        gpu_layers: options.gpu_layers,
        ..EngineOptions::new(
            options.engine_exe.clone(),
            options.engine_args.clone(),
            model.path.clone(),
        )
    };
    let engine = Engine::start(engine, background.clone()).await?;
    Ok((model, engine))
}

fn model_offer(options: &Options, model: &Resolved, engine: &Engine) -> ModelOffer {
    ModelOffer {
        model: plain(&model.name, MODEL_BYTES_MAX, "unnamed"),
        revision: plain(&model.revision, REVISION_BYTES_MAX, "local"),
        quantisation: plain(&model.quantisation, QUANTISATION_BYTES_MAX, "unknown"),
        gguf_sha256: model.sha256,
        tokenizer_sha256: model.tokenizer_sha256,
        context_tokens: engine.facts().context_tokens,
        prices: options.price_floor().raise(options.prices),
    }
}

/// What the chain takes as a name: graphic ASCII, not too long, not empty. Files of one's own call
/// themselves anything.
fn plain(name: &str, bytes_max: usize, nameless: &str) -> String {
    let graphic = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let plain: String = name.trim().chars().map(graphic).take(bytes_max).collect();
    if plain.is_empty() { nameless.to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_that_the_chain_takes() {
        for (name, expected) in [
            ("owner/Model-1.5B", "owner/Model-1.5B"),
            (" My model\n2 ", "My-model-2"),
            ("größer", "gr--er"),
            ("", "none"),
            ("  ", "none"),
            ("0123456789abcdef", "0123456789"),
        ] {
            assert_eq!(plain(name, 10.max(expected.len()), "none"), expected, "{name:?}");
        }
    }
}
