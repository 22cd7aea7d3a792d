use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::seeds;
use crate::state::Config;

/// The second of two steps, so that the market is never handed to a key that nobody holds.
#[derive(Accounts)]
pub struct AcceptAdmin<'info> {
    /// The pending admin.
    pub new_admin: Signer<'info>,
    #[account(mut, seeds = [seeds::CONFIG], bump = config.bump,
        constraint = config.pending_admin == Some(new_admin.key()) @ ProgramErrorCode::NotAdmin)]
    pub config: Account<'info, Config>,
}

impl AcceptAdmin<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let config = &mut ctx.accounts.config;
        config.admin = ctx.accounts.new_admin.key();
        config.pending_admin = None;
        Ok(())
    }
}
