use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::money;
use crate::seeds;
use crate::state::{Config, Worker};

/// Pays the fees that gathered in a worker's record to where the market sends them. Anyone may send it.
#[derive(Accounts)]
pub struct SweepFees<'info> {
    #[account(seeds = [seeds::CONFIG], bump = config.bump,
        has_one = platform_payout @ ProgramErrorCode::WrongDestination,
        has_one = stakers_payout @ ProgramErrorCode::WrongDestination)]
    pub config: Account<'info, Config>,
    #[account(mut)]
    pub worker: Account<'info, Worker>,
    /// CHECK: the address is the configuration's; it only receives.
    #[account(mut)]
    pub platform_payout: UncheckedAccount<'info>,
    /// CHECK: the address is the configuration's; it only receives.
    #[account(mut)]
    pub stakers_payout: UncheckedAccount<'info>,
}

impl SweepFees<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let SweepFees { worker, platform_payout, stakers_payout, .. } = ctx.accounts;
        let platform = std::mem::take(&mut worker.fees_platform);
        let stakers = std::mem::take(&mut worker.fees_stakers);
        require!(platform > 0 || stakers > 0, ProgramErrorCode::NothingOwed);
        let account = worker.to_account_info();
        money::pay(&account, platform_payout, platform)?;
        money::pay(&account, stakers_payout, stakers)?;
        worker.invariant(&account)
    }
}
