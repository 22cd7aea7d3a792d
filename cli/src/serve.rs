//! The long-running parts, each alone. `up` starts the same commands as its children.

use std::{
    fs,
    io::Read,
    num::NonZeroU32,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use chainference_chain::{Abilities, Commitment, Lamports, PROGRAM_ID, Pubkey, Signer};
use chainference_gateway::{JwksSource, JwtOptions};
use chainference_worker::{
    Clients, Pricing,
    models::{Hub, ModelSource, ModelSourceError, ModelStore, Progress},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    args::Supervision,
    error::CliError,
    home::{Home, KeyName},
    progress::Steps,
    settings::{GatewaySettings, PricingMode, Settings},
    tokenizers,
};

/// The program that the embedded chain starts with, as it was built from programs/chainference.
const PROGRAM: &[u8] = include_bytes!("../../programs/artifacts/chainference.so");
/// How long a child drains when `up` is gone.
const ORPHAN_DRAIN: Duration = Duration::from_secs(5);

/// Becomes the embedded chain.
pub fn chain(home: &Home, settings: &Settings, supervision: Supervision) -> Result<(), CliError> {
    home.create()?;
    let binary = chain_binary(settings)?;
    let program = home.chain().join("chainference.so");
    write_program(&program)?;
    let authority = home.keypair(KeyName::Wallet)?.pubkey();
    let mut command = Command::new(&binary);
    let chain = &settings.chain;
    command
        .arg("--rpc-port")
        .arg(chain.rpc_port().to_string())
        .arg("--ws-port")
        .arg(chain.ws_port().to_string())
        .arg("--slot-ms")
        .arg(chain.slot_ms().to_string())
        .arg("--ledger")
        .arg(home.chain().join("ledger.sqlite"))
        .arg("--program")
        .arg(format!("{PROGRAM_ID}={}", program.display()))
        .arg("--upgrade-authority")
        .arg(authority.to_string());
    if supervision.supervised {
        command.arg("--exit-with-parent");
    }
    let source = command.exec();
    Err(CliError::File { path: binary, source })
}

/// Beside ourselves, where `make build` and an installation put it.
pub fn chain_binary(settings: &Settings) -> Result<PathBuf, CliError> {
    if let Some(binary) = &settings.chain.chain_bin {
        return Ok(binary.clone());
    }
    let ours = std::env::current_exe().map_err(CliError::file(Path::new("chainference")))?;
    let beside = ours.with_file_name("chainference-chain");
    if beside.exists() { Ok(beside) } else { Err(CliError::ChainBinaryMissing) }
}

fn write_program(path: &Path) -> Result<(), CliError> {
    match fs::read(path) {
        Ok(bytes) if bytes == PROGRAM => Ok(()),
        _ => fs::write(path, PROGRAM).map_err(CliError::file(path)),
    }
}

/// A worker that registers, serves its model and claims, until it is told to end.
pub async fn worker(
    home: Home,
    settings: Settings,
    supervision: Supervision,
) -> Result<(), CliError> {
    home.create()?;
    home.make_keys()?;
    if !supervision.supervised {
        show_models(&home, &settings, &Steps::new()).await?;
    }
    let options = worker_options(&home, &settings)?;
    let failed = |error: chainference_worker::WorkerError| CliError::Service {
        role: "worker",
        message: chain_of(&error),
    };
    chainference_worker::run(options, shutdown(supervision)?).await.map_err(failed)
}

/// A gateway, until it is told to end.
pub async fn gateway(
    home: Home,
    settings: Settings,
    supervision: Supervision,
) -> Result<(), CliError> {
    home.create()?;
    home.make_keys()?;
    let mut options = gateway_options(&home, &settings, supervision)?;
    if options.market && settings.gateway.recount != Some(false) {
        options.tokenizers = tokenizers::at_hand(&home, &settings, supervision.supervised).await?;
    }
    let failed = |error: chainference_gateway::GatewayError| CliError::Service {
        role: "gateway",
        message: chain_of(&error),
    };
    chainference_gateway::run(options, shutdown(supervision)?).await.map_err(failed)
}

/// The engine speaks with its worker over standard input and output.
pub fn engine() -> std::process::ExitCode {
    chainference_worker::engine::child::main()
}

/// Finds the worker's models, or downloads them, and shows how far that is. Returns the name of one that a person can talk to,
/// where there is one.
pub async fn show_models(
    home: &Home,
    settings: &Settings,
    steps: &Steps,
) -> Result<String, CliError> {
    let store = ModelStore::new(home.models(), Hub::from_env());
    let (mut talking, mut any) = (None, None);
    for source in model_sources(settings)? {
        let what = format!("fetching the model {source}");
        let step = steps.begin(&what);
        let progress = |progress: Progress| {
            step.bytes(progress.bytes_done, progress.bytes_total.unwrap_or(0), &what);
        };
        let model = store.resolve(&source, &progress).await?;
        step.done(&format!("model {}: {}", model.name, model.gguf.abilities));
        if model.gguf.abilities.contains(Abilities::CHAT) {
            talking.get_or_insert(model.name.clone());
        }
        any.get_or_insert(model.name);
    }
    Ok(talking.or(any).unwrap_or_default())
}

pub fn model_sources(settings: &Settings) -> Result<Vec<ModelSource>, CliError> {
    settings.worker.models().iter().map(|model| model.source().map_err(no_source)).collect()
}

fn no_source(error: ModelSourceError) -> CliError {
    CliError::Setting { setting: "--model", message: error.to_string() }
}

/// `processed` is final on the embedded chain, which never forks.
fn commitment(settings: &Settings) -> Commitment {
    if settings.embedded_chain() { Commitment::Processed } else { Commitment::Confirmed }
}

fn worker_options(
    home: &Home,
    settings: &Settings,
) -> Result<chainference_worker::Options, CliError> {
    let ours = std::env::current_exe().map_err(CliError::file(Path::new("chainference")))?;
    let engine = settings.engine.engine_bin.clone().unwrap_or(ours);
    let mut options = chainference_worker::Options::new(home.root(), settings.endpoints()?, engine);
    let given = &settings.worker;
    options.listen = given.listen();
    options.endpoint_url = Some(given.endpoint());
    options.commitment = commitment(settings);
    options.context_tokens = given.context_tokens;
    options.threads = given.worker_threads;
    options.slots = given.worker_slots.unwrap_or(options.slots);
    let prices = &mut options.prices;
    prices.input_per_mtok = given.price_in_per_mtok.unwrap_or(prices.input_per_mtok);
    prices.output_per_mtok = given.price_out_per_mtok.unwrap_or(prices.output_per_mtok);
    prices.charge_min = given.charge_min.unwrap_or(prices.charge_min);
    let models = given.models();
    let models = models.iter().map(|model| model.options(options.prices).map_err(no_source));
    options.models = models.collect::<Result<_, _>>()?;
    let engine = &settings.engine;
    options.memory_bytes = engine.memory_bytes();
    options.idle_unload_s = engine.idle_unload_s.unwrap_or(options.idle_unload_s);
    options.load_wait_s = engine.load_wait_s.unwrap_or(options.load_wait_s);
    options.gpu_layers = engine.gpu_layers.unwrap_or(options.gpu_layers);
    options.tuning = engine.tuning();
    trade_options(settings, &mut options)?;
    Ok(options)
}

/// How often a price that follows demand is looked at, in seconds.
const REPRICE_S: u32 = 300;
/// How often the open market is looked at where the chain tells of it, on a node that counts questions.
const MARKET_POLL_S: u32 = 30;
/// How long claims wait for others where their fee is money. Claims must be on their way before a gateway
/// loses its patience and finishes the job, 20 s after its last voucher.
const CLAIM_COMPANY_S: u32 = 10;

/// Whom the worker serves, at what price, and how it looks for jobs and gets its money.
fn trade_options(
    settings: &Settings,
    options: &mut chainference_worker::Options,
) -> Result<(), CliError> {
    let given = &settings.worker;
    options.clients = Clients::new(
        &addresses("--allow-client", given.allow_client.as_deref())?,
        &addresses("--block-client", given.block_client.as_deref())?,
    );
    if given.pricing == Some(PricingMode::Utilisation) {
        options.pricing =
            Pricing::Utilisation { every_s: given.reprice_s.map_or(REPRICE_S, NonZeroU32::get) };
    }
    options.price_floor_in_per_mtok = given.price_floor_in_per_mtok.unwrap_or(0);
    options.price_floor_out_per_mtok = given.price_floor_out_per_mtok.unwrap_or(0);
    options.unpaid_in_max = given.unpaid_input_max;
    if !settings.embedded_chain() {
        options.market_poll_s = MARKET_POLL_S;
        options.claim_company_s = CLAIM_COMPANY_S;
    }
    if let Some(wait_s) = given.claim_wait_s {
        options.claim_company_s = wait_s;
    }
    if let Some(lamports) = given.part_claim_min {
        options.part_claim_min = Lamports(lamports);
    }
    if given.open_market == Some(false) {
        options.market_poll_s = 0;
    }
    Ok(())
}

fn addresses(setting: &'static str, given: Option<&[String]>) -> Result<Vec<Pubkey>, CliError> {
    let parse = |text: &String| {
        let message = format!("`{text}` is no address");
        text.trim().parse().map_err(|_| CliError::Setting { setting, message })
    };
    given.unwrap_or_default().iter().map(parse).collect()
}

fn gateway_options(
    home: &Home,
    settings: &Settings,
    supervision: Supervision,
) -> Result<chainference_gateway::Options, CliError> {
    let given = &settings.gateway;
    let vault_owner = match &given.vault_owner {
        Some(owner) => owner.parse().map_err(|_| CliError::Setting {
            setting: "--vault-owner",
            message: format!("`{owner}` is no address"),
        })?,
        None => home.keypair(KeyName::Wallet)?.pubkey(),
    };
    let mut options = chainference_gateway::Options::new(
        settings.endpoints()?,
        vault_owner,
        home.key_file(KeyName::Gateway),
        home.api_key_file(),
        home.gateway_ledger(),
    );
    options.listen = given.listen();
    options.chain_fallbacks = settings.fallbacks()?;
    options.commitment = commitment(settings);
    let count = |given: Option<NonZeroU32>, default: usize| {
        given.map_or(default, |given| usize::try_from(given.get()).unwrap_or(default))
    };
    options.concurrency_max = count(given.concurrency_max, options.concurrency_max);
    options.connections_max = count(given.connections_max, options.connections_max);
    options.body_bytes_max = count(given.body_bytes_max, options.body_bytes_max);
    options.low_balance = given.low_balance_lamports.map_or(options.low_balance, Lamports);
    options.mode = given.mode.map_or(options.mode, Into::into);
    options.fees_matter = !settings.embedded_chain();
    options.ahead_max = given.ahead_max.map_or(options.ahead_max, Lamports);
    options.allow_private_endpoints =
        given.allow_private_endpoints.unwrap_or(settings.embedded_chain());
    options.store_responses = given.store_responses.unwrap_or(false);
    options.upstreams = given.upstream.iter().map(|upstream| upstream.options()).collect();
    options.market = settings.market(supervision.supervised);
    options.jwt = jwt(given)?;
    Ok(options)
}

/// Whose signed tokens are taken, if anybody's.
fn jwt(given: &GatewaySettings) -> Result<Option<JwtOptions>, CliError> {
    let wrong =
        |message: &str| CliError::Setting { setting: "--jwt-jwks", message: message.into() };
    let (source, issuer, audience) = match (&given.jwt_jwks, &given.jwt_issuer, &given.jwt_audience)
    {
        (None, None, None) => return Ok(None),
        (Some(source), Some(issuer), Some(audience)) => (source, issuer, audience),
        _ => return Err(wrong("it goes together with --jwt-issuer and --jwt-audience")),
    };
    let jwks = match source.split_once("://") {
        None => JwksSource::File(source.into()),
        Some(("https", _)) => JwksSource::Url(source.clone()),
        // On this machine nobody can stand in between.
        Some(("http", rest)) if rest.starts_with("127.0.0.1") || rest.starts_with("localhost") => {
            JwksSource::Url(source.clone())
        }
        Some(_) => return Err(wrong("keys come from a file or over https")),
    };
    let key_claim = given.jwt_key_claim.clone().unwrap_or_else(|| "chainference_key".to_owned());
    Ok(Some(JwtOptions { jwks, issuer: issuer.clone(), audience: audience.clone(), key_claim }))
}

/// An error and what lies under it, in one line.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        below = cause.source();
    }
    text
}

/// Cancelled by SIGINT and SIGTERM, and under `up` when our standard input closes: then `up` has ended, however it did.
fn shutdown(supervision: Supervision) -> Result<CancellationToken, CliError> {
    let token = CancellationToken::new();
    let failed = CliError::file(Path::new("signal handler"));
    let (mut interrupt, mut terminate) = signal(SignalKind::interrupt())
        .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)))
        .map_err(failed)?;
    let told = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            if told.is_cancelled() {
                std::process::exit(130);
            }
            told.cancel();
        }
    });
    if supervision.supervised {
        let orphaned = token.clone();
        // A thread of its own: a read of standard input can't be cancelled, and must not hold up the runtime's end.
        std::thread::spawn(move || {
            while std::io::stdin().read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
            orphaned.cancel();
            std::thread::sleep(ORPHAN_DRAIN);
            std::process::exit(1);
        });
    }
    Ok(token)
}
