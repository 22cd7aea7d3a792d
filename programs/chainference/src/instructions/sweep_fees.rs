use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::FeesSwept;
use crate::money;
use crate::seeds;
use crate::state::{Treasury, Worker};

/// Moves the fees that gathered in a worker's record into the treasury. Anyone may send it, and nobody's
/// account can hold it up: both sides are the program's own.
#[derive(Accounts)]
pub struct SweepFees<'info> {
    #[account(mut)]
    pub worker: AccountLoader<'info, Worker>,
    #[account(mut, address = seeds::TREASURY_ADDRESS)]
    pub treasury: AccountLoader<'info, Treasury>,
}

impl SweepFees<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let SweepFees { worker, treasury } = ctx.accounts;
        let (from, to) = (worker.as_ref(), treasury.as_ref());
        let (record, purse) = (&mut *worker.load_mut()?, &mut *treasury.load_mut()?);
        let platform = std::mem::take(&mut record.fees_platform);
        let stakers = std::mem::take(&mut record.fees_stakers);
        require!(platform > 0 || stakers > 0, ProgramErrorCode::NothingOwed);
        purse.add(platform, stakers)?;
        money::pay(from, to, platform)?;
        money::pay(from, to, stakers)?;
        record.invariant(from.lamports())?;
        purse.invariant(to.lamports())?;
        emit!(FeesSwept { worker: worker.key(), platform, stakers });
        Ok(())
    }
}
