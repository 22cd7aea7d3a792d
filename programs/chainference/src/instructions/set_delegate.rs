use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::DelegateSet;
use crate::state::Vault;

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct SetDelegateArgs {
    /// The hot key, or nobody.
    pub delegate: Option<Pubkey>,
    /// Lamports that may be reserved and settled in a period.
    pub limit: u64,
    /// 0: the limit is for ever.
    pub period_s: u32,
}

/// The owner names the hot key that spends for it, and how much of the vault a thief of it could spend
/// in a period. What was settled in the running period keeps counting.
#[derive(Accounts)]
pub struct SetDelegate<'info> {
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ ProgramErrorCode::NotVaultOwner)]
    pub vault: AccountLoader<'info, Vault>,
}

impl SetDelegate<'_> {
    pub fn handle(ctx: Context<Self>, args: SetDelegateArgs) -> Result<()> {
        let SetDelegateArgs { delegate, limit, period_s } = args;
        let vault = &mut *ctx.accounts.vault.load_mut()?;
        vault.delegate = delegate.unwrap_or_default();
        vault.limit = limit;
        vault.period_s = period_s;
        emit!(DelegateSet { vault: ctx.accounts.vault.key(), delegate, limit, period_s });
        Ok(())
    }
}
