use anchor_lang::prelude::*;

use crate::events::VaultOpened;
use crate::seeds;
use crate::state::{Stored, Vault};

/// A client opens its vault; money comes with `deposit`.
#[derive(Accounts)]
pub struct OpenVault<'info> {
    /// Pays the rent; alone withdraws.
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(init, payer = owner, space = Vault::BYTES,
        seeds = [seeds::VAULT, owner.key().as_ref()], bump)]
    pub vault: AccountLoader<'info, Vault>,
    pub system_program: Program<'info, System>,
}

impl OpenVault<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let OpenVault { owner, vault, .. } = ctx.accounts;
        let mut stored = vault.load_init()?;
        stored.owner = owner.key();
        stored.rent = Rent::get()?.minimum_balance(Vault::BYTES);
        stored.period_start_unix_s = Clock::get()?.unix_timestamp;
        emit!(VaultOpened { vault: vault.key(), owner: stored.owner });
        Ok(())
    }
}
