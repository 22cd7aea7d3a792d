use anchor_lang::prelude::*;

use crate::seeds;
use crate::state::{Vault, LAYOUT_VERSION};

/// A client opens its vault; money comes with `deposit`.
#[derive(Accounts)]
pub struct OpenVault<'info> {
    /// Pays the rent; alone withdraws.
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(init, payer = owner, space = 8 + Vault::INIT_SPACE,
        seeds = [seeds::VAULT, owner.key().as_ref()], bump)]
    pub vault: Account<'info, Vault>,
    pub system_program: Program<'info, System>,
}

impl OpenVault<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        ctx.accounts.vault.set_inner(Vault {
            version: LAYOUT_VERSION,
            owner: ctx.accounts.owner.key(),
            delegate: None,
            limit: 0,
            period_s: 0,
            period_start_unix_s: Clock::get()?.unix_timestamp,
            settled_in_period: 0,
            reserved: 0,
            unclosed_jobs: 0,
        });
        Ok(())
    }
}
