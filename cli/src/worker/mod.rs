//! `chainference worker status | withdraw | retire`: what an operator does beside running a worker.

mod retire;
mod status;

use chainference_chain::{
    Chain, Commitment, Keypair, Pubkey, Signer, accounts::Worker as Record, address,
};

use crate::{
    args::WorkerAction,
    error::CliError,
    home::{Home, KeyName},
    settings::Settings,
    wallet::{take_earnings, unreachable},
};

pub async fn worker(home: Home, settings: Settings, action: WorkerAction) -> Result<(), CliError> {
    match action {
        WorkerAction::Status { json } => status::status(&home, &settings, json).await,
        WorkerAction::Withdraw => take_earnings(home, &settings).await,
        WorkerAction::Retire { undo: true, .. } => {
            retire::undo(&Owner::open(home, &settings)?).await
        }
        WorkerAction::Retire { wait, .. } => {
            retire::retire(&Owner::open(home, &settings)?, wait).await
        }
    }
}

/// The worker's owner, at the chain.
struct Owner {
    home: Home,
    chain: Chain,
    key: Keypair,
    /// Address of the worker's record.
    record: Pubkey,
}

impl Owner {
    fn open(home: Home, settings: &Settings) -> Result<Self, CliError> {
        home.create()?;
        let chain = Chain::new(settings.endpoints()?, Commitment::Confirmed);
        let key = home.keypair(KeyName::WorkerOwner)?;
        let record = address::worker(&key.pubkey());
        Ok(Self { home, chain, key, record })
    }

    async fn record(&self) -> Result<Option<Record>, CliError> {
        self.chain.worker(&self.record).await.map_err(unreachable)
    }
}
