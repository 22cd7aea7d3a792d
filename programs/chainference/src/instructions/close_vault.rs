use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::VaultClosed;
use crate::state::Vault;

/// The owner takes everything out, rent included. Not while an account of one of its jobs exists.
#[derive(Accounts)]
pub struct CloseVault<'info> {
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(mut, close = owner, has_one = owner @ ProgramErrorCode::NotVaultOwner,
        constraint = vault.load()?.unclosed_jobs == 0 @ ProgramErrorCode::HasJobs)]
    pub vault: AccountLoader<'info, Vault>,
}

impl CloseVault<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let vault = &ctx.accounts.vault;
        emit!(VaultClosed { vault: vault.key(), paid: vault.as_ref().lamports() });
        Ok(())
    }
}
