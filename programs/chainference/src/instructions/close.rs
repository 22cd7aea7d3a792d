use anchor_lang::prelude::*;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::state::{Job, Vault, Worker};

/// What a client says of a job that it paid for, once.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    None,
    Ok,
    Flag,
}

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct CloseArgs {
    pub feedback: Feedback,
}

/// A settled job's account goes, once its address can't be published again: by the client with its
/// feedback, or by anyone an hour after it was settled. The rent returns to who paid it.
#[derive(Accounts)]
pub struct Close<'info> {
    /// The vault's owner or delegate; after an hour, anyone.
    pub closer: Signer<'info>,
    #[account(mut)]
    pub vault: Account<'info, Vault>,
    #[account(mut, close = authority, has_one = vault @ ProgramErrorCode::WrongVault,
        has_one = authority @ ProgramErrorCode::WrongDestination)]
    pub job: Box<Account<'info, Job>>,
    /// Gets the rent back.
    /// CHECK: the address is the job's; it only receives.
    #[account(mut)]
    pub authority: UncheckedAccount<'info>,
    /// The job's worker, for feedback; none without.
    #[account(mut, constraint = worker.key() == job.worker @ ProgramErrorCode::WrongWorker)]
    pub worker: Option<Box<Account<'info, Worker>>>,
}

impl Close<'_> {
    pub fn validate(&self, args: &CloseArgs) -> Result<()> {
        let clock = Clock::get()?;
        let by_client = self.vault.is_client(self.closer.key);
        let rules = self.job.rules()?;
        rules.may_close(by_client, clock.unix_timestamp, clock.slot).or_refuse()?;
        if args.feedback != Feedback::None {
            require!(by_client, ProgramErrorCode::NotClient);
            require!(self.job.credited > 0, ProgramErrorCode::NothingPaid);
            require!(self.worker.is_some(), ProgramErrorCode::WrongWorker);
        }
        Ok(())
    }

    pub fn handle(ctx: Context<Self>, args: CloseArgs) -> Result<()> {
        let Close { vault, job, worker, .. } = ctx.accounts;
        vault.unclosed_jobs = vault.unclosed_jobs.saturating_sub(1);
        if let (Feedback::Flag, Some(worker)) = (args.feedback, worker.as_mut()) {
            worker.fees_flagged = worker.fees_flagged.saturating_add(job.fees_platform);
            worker.jobs_flagged = worker.jobs_flagged.saturating_add(1);
        }
        Ok(())
    }
}
