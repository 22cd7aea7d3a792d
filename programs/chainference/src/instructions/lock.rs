use anchor_lang::prelude::*;
use chainference_market::{MarketError, Terms};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::seeds;
use crate::state::{Config, Job, Offer, Vault, Worker, WorkerStatus};

/// A worker takes a job on its offer's present prices, which the job keeps. It reserves money, not a
/// place in the worker's queue.
#[derive(Accounts)]
pub struct Lock<'info> {
    /// The worker's hot key.
    pub operator: Signer<'info>,
    #[account(seeds = [seeds::CONFIG], bump = config.bump,
        constraint = !config.paused @ ProgramErrorCode::Paused)]
    pub config: Account<'info, Config>,
    /// Who the client is: no worker serves itself.
    pub vault: Box<Account<'info, Vault>>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: Box<Account<'info, Job>>,
    #[account(mut, has_one = operator @ ProgramErrorCode::NotOperator)]
    pub worker: Box<Account<'info, Worker>>,
    /// This worker's offer of the job's model; [`Job::admit`] checks it.
    pub offer: Box<Account<'info, Offer>>,
}

impl Lock<'_> {
    pub fn validate(&self) -> Result<()> {
        let Lock { config, vault, job, worker, offer, .. } = self;
        require!(worker.status == WorkerStatus::Active, ProgramErrorCode::WorkerRetiring);
        let keys = [worker.owner, worker.operator];
        let is_client = keys.iter().any(|key| vault.is_client(key) || job.authority == *key);
        require!(!is_client, ProgramErrorCode::WorkerIsClient);
        job.admit(&worker.key(), worker, offer, config.reputation_prior)
    }

    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let Lock { config, job, worker, offer, .. } = ctx.accounts;
        let mut rules = job.rules()?;
        let terms = Terms { prices: offer.prices(), shares: config.shares.checked()? };
        rules.lock(terms, Clock::get()?.unix_timestamp).or_refuse()?;
        job.worker = worker.key();
        job.store(&rules)?;
        worker.live_jobs =
            worker.live_jobs.checked_add(1).ok_or(MarketError::Overflow).or_refuse()?;
        Ok(())
    }
}
