use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::state::{Job, JobStatus, Vault, Worker};

/// Anyone ends a job whose time is over; what was not credited is free again in the vault. It takes no
/// voucher: money comes back though the worker is dead and the client asleep.
#[derive(Accounts)]
pub struct Expire<'info> {
    /// Where the rest of the stake is freed.
    #[account(mut)]
    pub vault: Account<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: Box<Account<'info, Job>>,
    /// The job's worker; none where nobody locked it.
    #[account(mut, constraint = worker.key() == job.worker @ ProgramErrorCode::WrongWorker)]
    pub worker: Option<Box<Account<'info, Worker>>>,
}

impl Expire<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let Expire { vault, job, worker } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let was_locked = job.status == JobStatus::Locked;
        let mut rules = job.rules()?;
        let refund = rules.expire(now_unix_s).or_refuse()?;
        job.store(&rules)?;
        vault.settle(Lamports::ZERO, refund, now_unix_s)?;
        if was_locked {
            let worker = worker.as_mut().ok_or(ProgramErrorCode::WrongWorker)?;
            worker.job_ended(job.credited > 0)?;
        }
        vault.invariant(&vault.to_account_info())
    }
}
