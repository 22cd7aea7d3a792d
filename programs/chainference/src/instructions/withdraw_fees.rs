use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::FeesWithdrawn;
use crate::money;
use crate::seeds;
use crate::state::{Config, FeePart, Treasury};

/// Pays one part of the treasury to where the market sends it. Anyone may send it: the destinations are fixed.
/// One part at a time, so that a payout that can't be credited doesn't hold up the other.
#[derive(Accounts)]
#[instruction(part: FeePart)]
pub struct WithdrawFees<'info> {
    #[account(address = seeds::CONFIG_ADDRESS)]
    pub config: AccountLoader<'info, Config>,
    #[account(mut, address = seeds::TREASURY_ADDRESS)]
    pub treasury: AccountLoader<'info, Treasury>,
    /// CHECK: the address is the configuration's; it only receives.
    #[account(mut, constraint = payout.key() == config.load()?.payout(part) @ ProgramErrorCode::WrongDestination)]
    pub payout: UncheckedAccount<'info>,
}

impl WithdrawFees<'_> {
    pub fn handle(ctx: Context<Self>, part: FeePart) -> Result<()> {
        let WithdrawFees { treasury, payout, .. } = ctx.accounts;
        let account = treasury.as_ref();
        let purse = &mut *treasury.load_mut()?;
        let lamports = purse.take(part);
        require!(lamports > 0, ProgramErrorCode::NothingOwed);
        money::pay(account, payout, lamports)?;
        purse.invariant(account.lamports())?;
        emit!(FeesWithdrawn { part, payout: payout.key(), lamports });
        Ok(())
    }
}
