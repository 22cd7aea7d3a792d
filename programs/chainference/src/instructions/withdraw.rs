use anchor_lang::prelude::*;
use chainference_market::{Lamports, MarketError};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::Withdrawn;
use crate::money;
use crate::state::Vault;

/// The owner takes money out that no live job reserves.
#[derive(Accounts)]
pub struct Withdraw<'info> {
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ ProgramErrorCode::NotVaultOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl Withdraw<'_> {
    pub fn handle(ctx: Context<Self>, lamports: u64) -> Result<()> {
        let Withdraw { owner, vault } = ctx.accounts;
        let account = vault.as_ref();
        let stored = vault.load()?;
        if Lamports(lamports) > stored.free(account.lamports()) {
            return Err(MarketError::InsufficientBalance).or_refuse();
        }
        money::pay(account, owner, lamports)?;
        stored.invariant(account.lamports())?;
        emit!(Withdrawn { vault: vault.key(), lamports });
        Ok(())
    }
}
