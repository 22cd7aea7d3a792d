use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobsCompared;
use crate::state::{Job, Vault, Worker};

/// Which of two answers a client liked better.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preferred {
    First,
    Second,
}

/// The client closes two settled jobs that it paid for and says which answer was better. Once, and after
/// both: no worker knows that it is being compared. It weighs as much as the smaller platform fee of the two.
#[derive(Accounts)]
pub struct Compare<'info> {
    /// The vault's owner or delegate.
    #[account(constraint = vault.load()?.is_client(client.key) @ ProgramErrorCode::NotClient)]
    pub client: Signer<'info>,
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, close = first_authority, has_one = vault @ ProgramErrorCode::WrongVault,
        constraint = first.load()?.authority == first_authority.key() @ ProgramErrorCode::WrongDestination,
        constraint = first.load()?.worker == first_worker.key() @ ProgramErrorCode::WrongWorker)]
    pub first: AccountLoader<'info, Job>,
    #[account(mut, close = second_authority, has_one = vault @ ProgramErrorCode::WrongVault,
        constraint = second.load()?.authority == second_authority.key() @ ProgramErrorCode::WrongDestination,
        constraint = second.load()?.worker == second_worker.key() @ ProgramErrorCode::WrongWorker)]
    pub second: AccountLoader<'info, Job>,
    #[account(mut)]
    pub first_worker: AccountLoader<'info, Worker>,
    #[account(mut)]
    pub second_worker: AccountLoader<'info, Worker>,
    /// Gets the first job's rent back; may be the same as the second's.
    /// CHECK: the address is the job's; it only receives.
    #[account(mut, dup)]
    pub first_authority: UncheckedAccount<'info>,
    /// Gets the second job's rent back.
    /// CHECK: the address is the job's; it only receives.
    #[account(mut, dup)]
    pub second_authority: UncheckedAccount<'info>,
}

impl Compare<'_> {
    pub fn validate(&self) -> Result<()> {
        let clock = Clock::get()?;
        let (first, second) = (self.first.load()?, self.second.load()?);
        for job in [&first, &second] {
            job.rules()?.may_close(true, clock.unix_timestamp, clock.slot).or_refuse()?;
            require!(job.credited > 0, ProgramErrorCode::NothingPaid);
        }
        let comparable = first.worker != second.worker && first.model_hash == second.model_hash;
        require!(comparable, ProgramErrorCode::NotComparable);
        Ok(())
    }

    pub fn handle(ctx: Context<Self>, preferred: Preferred) -> Result<()> {
        let Compare { vault, first, second, first_worker, second_worker, .. } = ctx.accounts;
        let weight = first.load()?.fees_platform.min(second.load()?.fees_platform);
        for (worker, place) in
            [(first_worker, Preferred::First), (second_worker, Preferred::Second)]
        {
            let is_preferred = place == preferred;
            worker
                .load_mut()?
                .rate(|reputation| reputation.compare(Lamports(weight), is_preferred));
        }
        let mut purse = vault.load_mut()?;
        purse.job_closed()?;
        purse.job_closed()?;
        emit!(JobsCompared { first: first.key(), second: second.key(), preferred, weight });
        Ok(())
    }
}
