use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobExpired;
use crate::state::{Job, JobStatus, Vault, Worker};

/// Anyone ends a job whose time is over; what was not credited is free again in the vault. It takes no
/// voucher: money comes back though the worker is dead and the client asleep.
#[derive(Accounts)]
pub struct Expire<'info> {
    /// Where the rest of the stake is freed.
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: AccountLoader<'info, Job>,
    /// The job's worker; none where nobody locked it.
    #[account(mut, constraint = worker.key() == job.load()?.worker @ ProgramErrorCode::WrongWorker)]
    pub worker: Option<AccountLoader<'info, Worker>>,
}

impl Expire<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let Expire { vault, job, worker } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let (stored, purse) = (&mut *job.load_mut()?, &mut *vault.load_mut()?);
        let was_locked = stored.status() == JobStatus::Locked;
        let mut rules = stored.rules()?;
        let refund = rules.expire(now_unix_s).or_refuse()?;
        stored.store(&rules)?;
        purse.settle(Lamports::ZERO, refund, now_unix_s)?;
        if was_locked {
            let worker = worker.as_ref().ok_or(ProgramErrorCode::WrongWorker)?;
            worker.load_mut()?.job_ended(stored.credited > 0)?;
        }
        emit!(JobExpired { job: job.key(), refund: refund.0 });
        purse.invariant(vault.as_ref().lamports())
    }
}
