use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::state::Vault;

/// The owner takes everything out, rent included. Not while an account of one of its jobs exists.
#[derive(Accounts)]
pub struct CloseVault<'info> {
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(mut, close = owner, has_one = owner @ ProgramErrorCode::NotVaultOwner,
        constraint = vault.unclosed_jobs == 0 && vault.reserved == 0 @ ProgramErrorCode::HasJobs)]
    pub vault: Account<'info, Vault>,
}

impl CloseVault<'_> {
    pub fn handle(_ctx: Context<Self>) -> Result<()> {
        Ok(())
    }
}
