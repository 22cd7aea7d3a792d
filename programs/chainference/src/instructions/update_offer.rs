use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::state::{Offer, Worker};

/// What is `None` stays as it is.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default)]
pub struct UpdateOfferArgs {
    /// Lamports for 1,000,000 tokens.
    pub price_in_per_mtok: Option<u64>,
    /// Lamports for 1,000,000 tokens.
    pub price_out_per_mtok: Option<u64>,
    /// Lamports.
    pub charge_min: Option<u64>,
    pub active: Option<bool>,
}

/// A worker changes an offer's prices, or rests it. Locked jobs keep the prices of their lock.
#[derive(Accounts)]
pub struct UpdateOffer<'info> {
    pub owner: Signer<'info>,
    #[account(has_one = owner @ ProgramErrorCode::NotWorkerOwner)]
    pub worker: Account<'info, Worker>,
    #[account(mut, has_one = worker @ ProgramErrorCode::WrongOffer)]
    pub offer: Account<'info, Offer>,
}

impl UpdateOffer<'_> {
    pub fn handle(ctx: Context<Self>, args: UpdateOfferArgs) -> Result<()> {
        let offer = &mut ctx.accounts.offer;
        offer.price_in_per_mtok = args.price_in_per_mtok.unwrap_or(offer.price_in_per_mtok);
        offer.price_out_per_mtok = args.price_out_per_mtok.unwrap_or(offer.price_out_per_mtok);
        offer.charge_min = args.charge_min.unwrap_or(offer.charge_min);
        offer.active = args.active.unwrap_or(offer.active);
        Ok(())
    }
}
