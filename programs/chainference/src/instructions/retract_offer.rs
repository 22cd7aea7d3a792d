use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::OfferRetracted;
use crate::seeds;
use crate::state::Offer;

/// The owner takes an offer back; its rent returns to who paid it. Works after the worker's record is gone,
/// too.
#[derive(Accounts)]
pub struct RetractOffer<'info> {
    /// The worker's owner.
    pub owner: Signer<'info>,
    /// The record's address; it may hold nothing any more.
    /// CHECK: derived from the signer, never read.
    #[account(seeds = [seeds::WORKER, owner.key().as_ref()], bump)]
    pub worker: UncheckedAccount<'info>,
    #[account(mut, close = payer, has_one = worker @ ProgramErrorCode::WrongOffer,
        has_one = payer @ ProgramErrorCode::WrongDestination)]
    pub offer: AccountLoader<'info, Offer>,
    /// Gets the rent back.
    /// CHECK: the address is the offer's; it only receives.
    #[account(mut)]
    pub payer: UncheckedAccount<'info>,
}

impl RetractOffer<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        emit!(OfferRetracted { offer: ctx.accounts.offer.key() });
        Ok(())
    }
}
