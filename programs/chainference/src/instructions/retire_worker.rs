use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::WorkerRetired;
use crate::state::{Worker, WorkerStatus};

/// The owner leaves the market with bond, earnings and rent, once the cooldown is over. Not while a locked
/// job names the record, or fees in it belong to others.
#[derive(Accounts)]
pub struct RetireWorker<'info> {
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(mut, close = owner, has_one = owner @ ProgramErrorCode::NotWorkerOwner)]
    pub worker: AccountLoader<'info, Worker>,
}

impl RetireWorker<'_> {
    pub fn validate(&self) -> Result<()> {
        let worker = self.worker.load()?;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let swept = worker.fees_platform == 0 && worker.fees_stakers == 0;
        require!(worker.status() == WorkerStatus::Retiring, ProgramErrorCode::WorkerActive);
        require!(now_unix_s >= worker.bond_free_unix_s, ProgramErrorCode::BondCoolingDown);
        require!(worker.live_jobs == 0, ProgramErrorCode::HasJobs);
        require!(swept, ProgramErrorCode::UnsweptFees);
        Ok(())
    }

    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let worker = &ctx.accounts.worker;
        emit!(WorkerRetired { worker: worker.key(), paid: worker.as_ref().lamports() });
        Ok(())
    }
}
