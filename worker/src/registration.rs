//! The worker's record and offer on chain: made once, kept in step with the options, and the
//! heartbeat. The owner's key is read only when something must be signed with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chainference_chain::accounts::{
    Config, Offer, PostOfferArgs, RegisterWorkerArgs, UpdateOfferArgs, UpdateWorkerArgs, Worker,
    WorkerStatus, model_hash,
};
use chainference_chain::{
    Abilities, Chain, ChainError, Instruction, Keypair, Pubkey, SignError, SignedTransaction,
    Signer, SubmitError, address, instruction,
};
use chainference_market::Prices;
use tokio_util::sync::CancellationToken;

use crate::keys::{KeyError, read_keypair};
use crate::metrics;

const WAIT_PAUSE: Duration = Duration::from_millis(250);
/// Tries of one transaction whose blockhash expired on the way.
const SIGN_TRIES: u32 = 3;

/// Why the worker's record or offer is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("the chain did not answer for {waited_s} s: {last}")]
    NoChain { waited_s: u32, last: String },
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the worker is not registered yet, or its record must change, and for that: {0}")]
    OwnerKey(#[source] KeyError),
    #[error("the owner key {path} belongs to {found}, the worker's record to {expected}")]
    WrongOwner { path: PathBuf, found: Pubkey, expected: Pubkey },
    #[error("{what} was refused: {source}. {payer}, who pays for it, holds {lamports} lamports")]
    Refused { what: &'static str, payer: Pubkey, lamports: u64, source: Box<SubmitError> },
    #[error(
        "the operator key {operator} holds nothing: it pays the fees of claims, send it some SOL"
    )]
    NoFees { operator: Pubkey },
    #[error("{0}")]
    Sign(#[from] SignError),
}

/// What the record says of this worker.
pub(crate) struct Identity<'a> {
    pub operator: &'a Keypair,
    pub owner_key_path: &'a Path,
    pub x25519: [u8; 32],
    pub endpoint_url: String,
}

/// What the offer says of the model.
pub(crate) struct ModelOffer {
    pub model: String,
    pub revision: String,
    pub quantisation: String,
    pub gguf_sha256: [u8; 32],
    pub tokenizer_sha256: [u8; 32],
    pub context_tokens: u32,
    pub abilities: Abilities,
    pub prices: Prices,
}

/// Who signs for an offer: what moves rent, the owner; what changes it, the operator.
#[derive(Clone, Copy)]
pub(crate) struct OfferKeys<'a> {
    pub owner_path: &'a Path,
    pub operator: &'a Keypair,
}

/// A registered worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    pub owner: Pubkey,
    /// Address of the record.
    pub worker: Pubkey,
}

/// Waits until the chain answers and the market is set up.
pub(crate) async fn wait_for_market(
    chain: &Chain,
    wait_s: u32,
) -> Result<Config, RegistrationError> {
    let mut last = String::new();
    let asked = async {
        loop {
            match chain.config().await {
                Ok(Some(config)) => return config,
                Ok(None) => last = "the market is not set up on it".to_owned(),
                Err(error) => last = error.to_string(),
            }
            tracing::debug!(last, "waiting for the chain");
            tokio::time::sleep(WAIT_PAUSE).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(wait_s.into()), asked).await;
    found.map_err(|_| RegistrationError::NoChain { waited_s: wait_s, last })
}

/// Finds the record of this operator, or makes it, and brings endpoint and keys up to date.
pub(crate) async fn ensure_worker(
    chain: &Chain,
    config: &Config,
    identity: &Identity<'_>,
) -> Result<Registered, RegistrationError> {
    let operator = identity.operator.pubkey();
    if chain.balance(&operator).await?.0 == 0 {
        return Err(RegistrationError::NoFees { operator });
    }
    let mut records = chain.workers().await?.into_iter();
    if let Some((worker, record)) = records.find(|(_, record)| record.operator == operator) {
        let registered = Registered { owner: record.owner, worker };
        return update_worker(chain, identity, registered, &record).await;
    }
    let owner = read_keypair(identity.owner_key_path).map_err(RegistrationError::OwnerKey)?;
    let registered = Registered { owner: owner.pubkey(), worker: address::worker(&owner.pubkey()) };
    if let Some(record) = chain.worker(&registered.worker).await? {
        return update_worker(chain, identity, registered, &record).await;
    }
    let args = RegisterWorkerArgs {
        operator,
        x25519: identity.x25519,
        endpoint: identity.endpoint_url.clone(),
        bond: config.bond_min,
    };
    let register = instruction::register_worker(&owner.pubkey(), args);
    send(chain, "the registration", &[register], &owner).await?;
    tracing::info!(worker = %registered.worker, "worker registered");
    Ok(registered)
}

async fn update_worker(
    chain: &Chain,
    identity: &Identity<'_>,
    registered: Registered,
    record: &Worker,
) -> Result<Registered, RegistrationError> {
    let operator = identity.operator.pubkey();
    let args = UpdateWorkerArgs {
        operator: (record.operator != operator).then_some(operator),
        x25519: (record.x25519 != identity.x25519).then_some(identity.x25519),
        endpoint: (record.endpoint() != identity.endpoint_url)
            .then(|| identity.endpoint_url.clone()),
        status: None, // an owner who wants to leave isn't brought back by a start
    };
    if record.status() == WorkerStatus::Retiring {
        tracing::warn!(
            "this worker is leaving the market: it takes no new jobs, and ends and claims those it has"
        );
    }
    let is_current = args.operator.is_none() && args.x25519.is_none() && args.endpoint.is_none();
    if !is_current {
        let owner = owner_key(identity.owner_key_path, &registered.owner)?;
        let update = instruction::update_worker(&owner.pubkey(), args);
        send(chain, "the update of the worker's record", &[update], &owner).await?;
        tracing::info!(worker = %registered.worker, "worker's record updated");
    }
    Ok(registered)
}

/// Posts the offer, or brings it up to date. Returns its address.
pub(crate) async fn ensure_offer(
    chain: &Chain,
    keys: OfferKeys<'_>,
    registered: Registered,
    model: &ModelOffer,
) -> Result<Pubkey, RegistrationError> {
    let Registered { owner, worker } = registered;
    let offer = address::offer(&worker, &model.model, &model.quantisation);
    let instructions = match chain.offer(&offer).await? {
        None => vec![instruction::post_offer(&owner, &worker, post_args(model))],
        Some(found) if !is_same_file(&found, model) => vec![
            instruction::retract_offer(&owner, &offer, &found.payer),
            instruction::post_offer(&owner, &worker, post_args(model)),
        ],
        Some(found) if found.prices() != model.prices || !found.active() => {
            let args = UpdateOfferArgs {
                price_in_per_mtok: Some(model.prices.input_per_mtok),
                price_out_per_mtok: Some(model.prices.output_per_mtok),
                charge_min: Some(model.prices.charge_min),
                active: Some(true),
            };
            let operator = keys.operator.pubkey();
            let update = instruction::update_offer(&operator, &worker, &offer, args);
            send(chain, "the offer's new prices", &[update], keys.operator).await?;
            tracing::info!(%offer, model = model.model, "offer updated");
            return Ok(offer);
        }
        Some(_) => return Ok(offer),
    };
    let key = owner_key(keys.owner_path, &owner)?;
    send(chain, "the offer", &instructions, &key).await?;
    tracing::info!(%offer, model = model.model, "offer posted");
    Ok(offer)
}

/// Ends this worker's offers but those that are `kept`. With the owner's key they are taken back, and
/// their rent with them; without it they rest. Locked jobs keep what they have.
pub(crate) async fn retire_offers(
    chain: &Chain,
    owner_key_path: &Path,
    operator: &Keypair,
    registered: Registered,
    kept: &[Pubkey],
) -> Result<(), RegistrationError> {
    let Registered { owner, worker } = registered;
    let offers = chain.offers().await?.into_iter();
    let others = offers.filter(|(key, offer)| offer.worker == worker && !kept.contains(key));
    for (address, offer) in others {
        match owner_key(owner_key_path, &owner) {
            Ok(key) => {
                let retract = instruction::retract_offer(&owner, &address, &offer.payer);
                send(chain, "the end of an offer", &[retract], &key).await?;
            }
            Err(_) if offer.active() => {
                let rest = UpdateOfferArgs { active: Some(false), ..UpdateOfferArgs::default() };
                let operator_key = operator.pubkey();
                let rest = instruction::update_offer(&operator_key, &worker, &address, rest);
                send(chain, "the end of an offer", &[rest], operator).await?;
            }
            Err(_) => continue,
        }
        tracing::info!(%address, model = offer.model(), "offer of a model that is not served ended");
    }
    Ok(())
}

fn post_args(model: &ModelOffer) -> PostOfferArgs {
    PostOfferArgs {
        model: model.model.clone(),
        revision: model.revision.clone(),
        quantisation: model.quantisation.clone(),
        gguf_sha256: model.gguf_sha256,
        tokenizer_sha256: model.tokenizer_sha256,
        price_in_per_mtok: model.prices.input_per_mtok,
        price_out_per_mtok: model.prices.output_per_mtok,
        charge_min: model.prices.charge_min,
        context_tokens: model.context_tokens,
        abilities: model.abilities.bits(),
    }
}

fn is_same_file(found: &Offer, model: &ModelOffer) -> bool {
    found.model_hash == model_hash(&model.model, &model.quantisation)
        && found.gguf_sha256 == model.gguf_sha256
        && found.tokenizer_sha256 == model.tokenizer_sha256
        && found.revision() == model.revision
        && found.context_tokens == model.context_tokens
        && found.abilities == model.abilities.bits()
}

/// Says that the worker lives, until `shutdown`.
pub(crate) async fn heartbeat(
    chain: Chain,
    operator: Arc<Keypair>,
    worker: Pubkey,
    every_s: u32,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(every_s.max(1).into()));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let beat = instruction::heartbeat(&operator.pubkey(), &worker);
        let sent = shutdown.run_until_cancelled(try_send(&chain, &[beat], &operator)).await;
        match sent {
            Some(Err(error)) => tracing::warn!(%error, "the heartbeat did not land"),
            Some(Ok(())) => tracing::debug!("heartbeat"),
            None => return,
        }
        if let Ok(held) = chain.balance(&operator.pubkey()).await {
            metrics::operator_balance(held.0);
        }
    }
}

fn owner_key(path: &Path, expected: &Pubkey) -> Result<Keypair, RegistrationError> {
    let owner = read_keypair(path).map_err(RegistrationError::OwnerKey)?;
    if owner.pubkey() != *expected {
        let (path, expected) = (path.to_owned(), *expected);
        return Err(RegistrationError::WrongOwner { path, found: owner.pubkey(), expected });
    }
    Ok(owner)
}

async fn send(
    chain: &Chain,
    what: &'static str,
    instructions: &[Instruction],
    payer: &Keypair,
) -> Result<(), RegistrationError> {
    match try_send(chain, instructions, payer).await {
        Err(RegistrationError::Refused { source, .. }) => {
            let (payer, lamports) = (payer.pubkey(), chain.balance(&payer.pubkey()).await?.0);
            Err(RegistrationError::Refused { what, payer, lamports, source })
        }
        outcome => outcome,
    }
}

/// These instructions can land twice without harm, so nothing is stored before they are sent.
pub(crate) async fn try_send(
    chain: &Chain,
    instructions: &[Instruction],
    payer: &Keypair,
) -> Result<(), RegistrationError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let blockhash = chain.blockhash().await?;
        let signed = SignedTransaction::sign(instructions, payer, &[], &blockhash)?;
        match chain.submit(&signed).await {
            Ok(()) => return Ok(()),
            Err(SubmitError::Expired) if tries < SIGN_TRIES => {}
            Err(source) => {
                let (what, payer) = ("a transaction", payer.pubkey());
                let source = Box::new(source);
                return Err(RegistrationError::Refused { what, payer, lamports: 0, source });
            }
        }
    }
}
