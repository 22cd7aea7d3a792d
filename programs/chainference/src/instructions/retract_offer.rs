use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::seeds;
use crate::state::Offer;

/// The owner takes an offer back; its rent returns. Works after the worker's record is gone, too.
#[derive(Accounts)]
pub struct RetractOffer<'info> {
    /// The worker's owner: paid the rent and gets it back.
    #[account(mut)]
    pub owner: Signer<'info>,
    /// The record's address; it may hold nothing any more.
    /// CHECK: derived from the signer, never read.
    #[account(seeds = [seeds::WORKER, owner.key().as_ref()], bump)]
    pub worker: UncheckedAccount<'info>,
    #[account(mut, close = owner, has_one = worker @ ProgramErrorCode::WrongOffer)]
    pub offer: Account<'info, Offer>,
}

impl RetractOffer<'_> {
    pub fn handle(_ctx: Context<Self>) -> Result<()> {
        Ok(())
    }
}
