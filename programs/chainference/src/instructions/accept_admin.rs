use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::ConfigChanged;
use crate::seeds;
use crate::state::Config;

/// The second of two steps, so that the market is never handed to a key that nobody holds.
#[derive(Accounts)]
pub struct AcceptAdmin<'info> {
    /// The pending admin.
    pub new_admin: Signer<'info>,
    #[account(mut, address = seeds::CONFIG_ADDRESS,
        constraint = config.load()?.pending_admin() == Some(new_admin.key()) @ ProgramErrorCode::NotAdmin)]
    pub config: AccountLoader<'info, Config>,
}

impl AcceptAdmin<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let config = &mut *ctx.accounts.config.load_mut()?;
        config.admin = std::mem::take(&mut config.pending_admin);
        emit!(ConfigChanged::of(config));
        Ok(())
    }
}
