use anchor_lang::prelude::*;
use chainference_market::Terms;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobLocked;
use crate::seeds;
use crate::state::{Config, Job, Offer, Vault, Worker, WorkerStatus};

/// A worker takes a job on its offer's present prices, which the job keeps. It reserves money, not a
/// place in the worker's queue.
#[derive(Accounts)]
pub struct Lock<'info> {
    /// The worker's hot key.
    pub operator: Signer<'info>,
    #[account(address = seeds::CONFIG_ADDRESS,
        constraint = !config.load()?.paused() @ ProgramErrorCode::Paused)]
    pub config: AccountLoader<'info, Config>,
    /// Who the client is: no worker serves itself.
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: AccountLoader<'info, Job>,
    #[account(mut, has_one = operator @ ProgramErrorCode::NotOperator)]
    pub worker: AccountLoader<'info, Worker>,
    /// This worker's offer of the job's model.
    #[account(has_one = worker @ ProgramErrorCode::WrongOffer)]
    pub offer: AccountLoader<'info, Offer>,
}

impl Lock<'_> {
    pub fn validate(&self) -> Result<()> {
        let (job, worker) = (self.job.load()?, self.worker.load()?);
        require!(worker.status() == WorkerStatus::Active, ProgramErrorCode::WorkerRetiring);
        let vault = self.vault.load()?;
        let is_client = |key| vault.is_client(key) || job.authority == *key;
        let is_own = is_client(&worker.owner) || is_client(&worker.operator);
        require!(!is_own, ProgramErrorCode::WorkerIsClient);
        let data = self.job.as_ref().try_borrow_data()?;
        let allowed = Job::allowed(&data).ok_or(ProgramErrorCode::InvariantBroken)?;
        let is_named = allowed.is_empty() || allowed.contains(&self.worker.key());
        require!(is_named, ProgramErrorCode::WorkerNotAllowed);
        job.admit(&worker, &*self.offer.load()?, self.config.load()?.reputation_prior)
    }

    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let Lock { config, job, worker, offer, .. } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let (stored, record) = (&mut *job.load_mut()?, &mut *worker.load_mut()?);
        let (shares, rating_bps) = config.load()?.shares_for(&record.reputation.into(), now_unix_s);
        let mut rules = stored.rules()?;
        rules.lock(Terms { prices: offer.load()?.prices(), shares }, now_unix_s).or_refuse()?;
        stored.worker = worker.key();
        stored.rating_bps = rating_bps;
        stored.store(&rules)?;
        record.job_locked()?;
        emit!(JobLocked {
            job: job.key(),
            worker: stored.worker,
            price_in_per_mtok: stored.price_in_per_mtok,
            price_out_per_mtok: stored.price_out_per_mtok,
            charge_min: stored.charge_min,
            worker_bps: stored.worker_bps,
            stakers_bps: stored.stakers_bps,
            rating_bps,
        });
        Ok(())
    }
}
