use anchor_lang::prelude::*;
use chainference_market::limits::{MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX, REVISION_BYTES_MAX};

use crate::error::{refuse, ProgramErrorCode};
use crate::seeds;
use crate::state::{model_hash, Config, Offer, Worker, LAYOUT_VERSION};

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
    /// The worker's owner; pays the rent.
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(seeds = [seeds::CONFIG], bump = config.bump,
        constraint = !config.paused @ ProgramErrorCode::Paused)]
    pub config: Account<'info, Config>,
    #[account(has_one = owner @ ProgramErrorCode::NotWorkerOwner)]
    pub worker: Account<'info, Worker>,
    #[account(init, payer = owner, space = 8 + Offer::INIT_SPACE,
        seeds = [seeds::OFFER, worker.key().as_ref(), &model_hash(&args.model, &args.quantisation)], bump)]
    pub offer: Account<'info, Offer>,
    pub system_program: Program<'info, System>,
}

impl PostOffer<'_> {
    pub fn validate(&self, args: &PostOfferArgs) -> Result<()> {
        check_name(&args.model, MODEL_BYTES_MAX)?;
        check_name(&args.revision, REVISION_BYTES_MAX)?;
        check_name(&args.quantisation, QUANTISATION_BYTES_MAX)
    }

    pub fn handle(ctx: Context<Self>, args: PostOfferArgs) -> Result<()> {
        ctx.accounts.offer.set_inner(Offer {
            version: LAYOUT_VERSION,
            active: true,
            worker: ctx.accounts.worker.key(),
            model_hash: model_hash(&args.model, &args.quantisation),
            gguf_sha256: args.gguf_sha256,
            tokenizer_sha256: args.tokenizer_sha256,
            price_in_per_mtok: args.price_in_per_mtok,
            price_out_per_mtok: args.price_out_per_mtok,
            charge_min: args.charge_min,
            context_tokens: args.context_tokens,
            abilities: args.abilities,
            model: args.model,
            revision: args.revision,
            quantisation: args.quantisation,
        });
        Ok(())
    }
}

/// A name without spaces and control characters, of at most `bytes_max`.
fn check_name(name: &str, bytes_max: usize) -> Result<()> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain && (1..=bytes_max).contains(&name.len()) {
        Ok(())
    } else {
        refuse(ProgramErrorCode::BadText)
    }
}
