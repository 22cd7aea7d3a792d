//! The worker from start to drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chainference_chain::{Chain, Keypair, Signer};
use chainference_protocol::WorkerSecret;
use chainference_serving::count_samples_until;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::{self, Catalog};
use crate::keys::{read_keypair, read_x25519};
use crate::ledger::Ledger;
use crate::pricing::{self, Demand, PriceTag, Pricing, Shelf};
use crate::registration::{
    Identity, OfferKeys, Registered, ensure_offer, ensure_worker, heartbeat, retire_offers,
    wait_for_market,
};
use crate::routes::{App, Limits, Offered, router};
use crate::settlement::{Policy, Settings, Settlement, Stall};
use crate::{Options, WorkerError, metrics, server};

/// What the background gets once it is told to end.
const TASKS_DRAIN: Duration = Duration::from_secs(2);
/// What open connections get after the last call has ended.
const CONNECTIONS_DRAIN: Duration = Duration::from_secs(2);

/// Serves its models until `shutdown`, then drains and returns.
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

    let catalog = catalog::open(options, &background).await?;
    let host = catalog.host.clone();
    let offers = offer(options, &chain, registered, &operator, catalog).await?;
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
        models = offers.len(),
        "worker ready"
    );
    let app = App {
        settlement,
        chain,
        host,
        operator,
        x25519,
        owner: registered.owner,
        worker: registered.worker,
        offers,
        limits: Limits {
            serve_max_s: options.serve_max_s,
            voucher_timeout: Duration::from_secs(options.voucher_timeout_s.into()),
            call_max: Duration::from_secs(options.call_max_s.into()),
            first_token_max: Duration::from_secs(options.first_token_max_s.into()),
            idle_max: Duration::from_secs(options.idle_max_s.into()),
        },
        metrics: metrics::install(),
        began: Instant::now(),
    };
    tasks.spawn(count_samples_until(app.metrics.clone(), background.clone()));
    trade(options, &app, &tasks, shutdown);
    guard.disarm();
    Ok(Started { listener, app: Arc::new(app), background, tasks })
}

/// What is done for the offers beside answering requests: open jobs, and prices that follow demand.
fn trade(options: &Options, app: &App, tasks: &TaskTracker, shutdown: &CancellationToken) {
    for offer in &app.offers {
        if options.market_poll_s > 0 {
            let every = Duration::from_secs(options.market_poll_s.into());
            let (settlement, stall) = (app.settlement.clone(), stall(options, app, offer));
            let until = shutdown.clone();
            tasks.spawn(async move { settlement.watch_market(stall, every, until).await });
        }
        if let Pricing::Utilisation { every_s } = options.pricing {
            let shelf = Shelf {
                chain: app.chain.clone(),
                operator: Arc::clone(&app.operator),
                worker: app.worker,
                offer: offer.address,
                tag: offer.prices.clone(),
            };
            let demand = demand(options, app, offer);
            tasks.spawn(pricing::follow(shelf, demand, every_s, shutdown.clone()));
        }
    }
}

fn stall(options: &Options, app: &App, offer: &Offered) -> Stall {
    let (host, id) = (app.host.clone(), offer.id);
    Stall {
        owner: app.owner,
        offer: offer.address,
        model_hash: offer.model_hash,
        prices: offer.prices.clone(),
        serve_max_s: options.serve_max_s,
        room: Box::new(move || host.standing(id).seats_free),
    }
}

fn demand(options: &Options, app: &App, offer: &Offered) -> Demand {
    let (host, id) = (app.host.clone(), offer.id);
    Demand {
        base: offer.base,
        floor: options.price_floor(),
        slots: app.host.standing(id).slots,
        busy: Box::new(move || host.standing(id).busy),
    }
}

/// Posts the offers of all models, and ends those of models that are not served any more.
async fn offer(
    options: &Options,
    chain: &Chain,
    registered: Registered,
    operator: &Keypair,
    catalog: Catalog,
) -> Result<Vec<Offered>, WorkerError> {
    let keys = OfferKeys { owner_path: &options.owner_key_path, operator };
    let mut offers = Vec::new();
    let served = catalog.offers.into_iter().zip(catalog.holds).enumerate();
    for (id, (model, hold)) in served {
        let address = ensure_offer(chain, keys, registered, &model).await?;
        offers.push(Offered {
            id,
            address,
            model_hash: chainference_chain::accounts::model_hash(&model.model, &model.quantisation),
            model: model.model,
            quantisation: model.quantisation,
            prices: PriceTag::new(model.prices),
            base: model.prices,
            _hold: hold,
        });
    }
    let kept: Vec<_> = offers.iter().map(|offered| offered.address).collect();
    retire_offers(chain, &options.owner_key_path, operator, registered, &kept).await?;
    Ok(offers)
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
