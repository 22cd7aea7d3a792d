use anchor_lang::prelude::*;

use super::update_config::set;
use crate::error::ProgramErrorCode;
use crate::events::OfferChanged;
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
    /// The worker's owner or operator.
    pub agent: Signer<'info>,
    #[account(constraint = worker.load()?.is_agent(agent.key) @ ProgramErrorCode::NotWorkerAgent)]
    pub worker: AccountLoader<'info, Worker>,
    #[account(mut, has_one = worker @ ProgramErrorCode::WrongOffer)]
    pub offer: AccountLoader<'info, Offer>,
}

impl UpdateOffer<'_> {
    pub fn handle(ctx: Context<Self>, args: UpdateOfferArgs) -> Result<()> {
        let offer = &mut *ctx.accounts.offer.load_mut()?;
        set(&mut offer.price_in_per_mtok, args.price_in_per_mtok);
        set(&mut offer.price_out_per_mtok, args.price_out_per_mtok);
        set(&mut offer.charge_min, args.charge_min);
        set(&mut offer.active, args.active.map(u8::from));
        emit!(OfferChanged {
            offer: ctx.accounts.offer.key(),
            price_in_per_mtok: offer.price_in_per_mtok,
            price_out_per_mtok: offer.price_out_per_mtok,
            charge_min: offer.charge_min,
            active: offer.active(),
        });
        Ok(())
    }
}
