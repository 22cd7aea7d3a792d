use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::state::Worker;

/// The owner leaves the market with bond, earnings and rent. Not while a locked job names the record, or
/// fees in it belong to others.
#[derive(Accounts)]
pub struct RetireWorker<'info> {
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(mut, close = owner, has_one = owner @ ProgramErrorCode::NotWorkerOwner,
        constraint = worker.live_jobs == 0 @ ProgramErrorCode::HasJobs,
        constraint = worker.fees_platform == 0 && worker.fees_stakers == 0 @ ProgramErrorCode::UnsweptFees)]
    pub worker: Account<'info, Worker>,
}

impl RetireWorker<'_> {
    pub fn handle(_ctx: Context<Self>) -> Result<()> {
        Ok(())
    }
}
