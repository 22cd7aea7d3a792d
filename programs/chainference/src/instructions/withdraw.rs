use anchor_lang::prelude::*;
use chainference_market::{Lamports, MarketError};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::money;
use crate::state::Vault;

/// The owner takes money out that no live job reserves.
#[derive(Accounts)]
pub struct Withdraw<'info> {
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ ProgramErrorCode::NotVaultOwner)]
    pub vault: Account<'info, Vault>,
}

impl Withdraw<'_> {
    pub fn validate(&self, lamports: u64) -> Result<()> {
        if Lamports(lamports) > self.vault.free(&self.vault.to_account_info())? {
            return Err(MarketError::InsufficientBalance).or_refuse();
        }
        Ok(())
    }

    pub fn handle(ctx: Context<Self>, lamports: u64) -> Result<()> {
        let Withdraw { owner, vault } = ctx.accounts;
        let account = vault.to_account_info();
        money::pay(&account, owner, lamports)?;
        vault.invariant(&account)
    }
}
