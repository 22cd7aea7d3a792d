use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::state::Worker;

/// The operator says that the worker is there.
#[derive(Accounts)]
pub struct Heartbeat<'info> {
    pub operator: Signer<'info>,
    #[account(mut, has_one = operator @ ProgramErrorCode::NotOperator)]
    pub worker: Account<'info, Worker>,
}

impl Heartbeat<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        ctx.accounts.worker.last_heartbeat_unix_s = Clock::get()?.unix_timestamp;
        Ok(())
    }
}
