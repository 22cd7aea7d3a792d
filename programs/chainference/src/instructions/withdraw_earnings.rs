use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::EarningsWithdrawn;
use crate::money;
use crate::state::Worker;

/// Pays a worker's earnings to its owner. Anyone may send it: the destination is fixed. Apart from claims,
/// since a small payment to an empty wallet fails, and must not take a settlement with it.
#[derive(Accounts)]
pub struct WithdrawEarnings<'info> {
    #[account(mut, has_one = owner @ ProgramErrorCode::WrongDestination)]
    pub worker: AccountLoader<'info, Worker>,
    /// CHECK: the address is the record's; it only receives.
    #[account(mut)]
    pub owner: UncheckedAccount<'info>,
}

impl WithdrawEarnings<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let WithdrawEarnings { worker, owner } = ctx.accounts;
        let account = worker.as_ref();
        let record = &mut *worker.load_mut()?;
        let earnings = std::mem::take(&mut record.earnings);
        require!(earnings > 0, ProgramErrorCode::NothingOwed);
        money::pay(account, owner, earnings)?;
        record.invariant(account.lamports())?;
        emit!(EarningsWithdrawn { worker: worker.key(), lamports: earnings });
        Ok(())
    }
}
