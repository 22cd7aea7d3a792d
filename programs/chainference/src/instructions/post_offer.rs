use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::OfferPosted;
use crate::seeds;
use crate::state::{model_hash, Config, Offer, Stored, Text, Worker};

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct PostOfferArgs {
    /// Hugging Face id.
    pub model: String,
    pub revision: String,
    pub quantisation: String,
    pub gguf_sha256: [u8; 32],
    pub tokenizer_sha256: [u8; 32],
    /// Lamports for 1,000,000 tokens.
    pub price_in_per_mtok: u64,
    /// Lamports for 1,000,000 tokens.
    pub price_out_per_mtok: u64,
    /// Lamports.
    pub charge_min: u64,
    pub context_tokens: u32,
    pub abilities: u32,
}

/// A worker offers a model.
#[derive(Accounts)]
#[instruction(args: PostOfferArgs)]
pub struct PostOffer<'info> {
    /// The worker's owner or operator; pays the rent.
    #[account(mut)]
    pub agent: Signer<'info>,
    #[account(address = seeds::CONFIG_ADDRESS,
        constraint = !config.load()?.paused() @ ProgramErrorCode::Paused)]
    pub config: AccountLoader<'info, Config>,
    #[account(constraint = worker.load()?.is_agent(agent.key) @ ProgramErrorCode::NotWorkerAgent)]
    pub worker: AccountLoader<'info, Worker>,
    #[account(init, payer = agent, space = Offer::BYTES,
        seeds = [seeds::OFFER, worker.key().as_ref(), &model_hash(&args.model, &args.quantisation)], bump)]
    pub offer: AccountLoader<'info, Offer>,
    pub system_program: Program<'info, System>,
}

impl PostOffer<'_> {
    pub fn handle(ctx: Context<Self>, args: PostOfferArgs) -> Result<()> {
        let PostOffer { agent, worker, offer, .. } = ctx.accounts;
        let mut stored = offer.load_init()?;
        stored.worker = worker.key();
        stored.payer = agent.key();
        stored.model_hash = model_hash(&args.model, &args.quantisation);
        stored.gguf_sha256 = args.gguf_sha256;
        stored.tokenizer_sha256 = args.tokenizer_sha256;
        stored.price_in_per_mtok = args.price_in_per_mtok;
        stored.price_out_per_mtok = args.price_out_per_mtok;
        stored.charge_min = args.charge_min;
        stored.context_tokens = args.context_tokens;
        stored.abilities = args.abilities;
        stored.model.set_text(&args.model)?;
        stored.revision.set_text(&args.revision)?;
        stored.quantisation.set_text(&args.quantisation)?;
        stored.active = 1;
        emit!(OfferPosted {
            offer: offer.key(),
            worker: stored.worker,
            model: args.model,
            revision: args.revision,
            quantisation: args.quantisation,
            price_in_per_mtok: args.price_in_per_mtok,
            price_out_per_mtok: args.price_out_per_mtok,
            charge_min: args.charge_min,
        });
        Ok(())
    }
}
