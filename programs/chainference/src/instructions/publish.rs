use anchor_lang::prelude::*;
use chainference_market::limits::ALLOWED_WORKERS_MAX;
use chainference_market::{self as market, Lamports, NewJob, Prices};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::seeds;
use crate::state::{Config, Filters, Job, JobStatus, SharesBps, Vault, LAYOUT_VERSION};

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct PublishArgs {
    pub session_key: Pubkey,
    /// A recent slot: makes the address unique.
    pub open_slot: u64,
    /// See `state::model_hash`.
    pub model_hash: [u8; 32],
    /// Lamports.
    pub stake: u64,
    /// Lamports for 1,000,000 tokens.
    pub max_price_in_per_mtok: u64,
    /// Lamports for 1,000,000 tokens.
    pub max_price_out_per_mtok: u64,
    pub serve_until_unix_s: i64,
    pub filters: Filters,
    /// Records of the workers that may lock; empty: any that passes.
    pub allowed: Vec<Pubkey>,
}

/// A client publishes a job and reserves its stake in the vault.
#[derive(Accounts)]
#[instruction(args: PublishArgs)]
pub struct Publish<'info> {
    /// The vault's owner or delegate; pays the job's rent.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(seeds = [seeds::CONFIG], bump = config.bump,
        constraint = !config.paused @ ProgramErrorCode::Paused)]
    pub config: Account<'info, Config>,
    /// Where the stake is reserved.
    #[account(mut, constraint = vault.is_client(authority.key) @ ProgramErrorCode::NotClient)]
    pub vault: Box<Account<'info, Vault>>,
    #[account(init, payer = authority, space = Job::space(args.allowed.len().min(ALLOWED_WORKERS_MAX)),
        seeds = [seeds::JOB, vault.key().as_ref(), args.session_key.as_ref(), &args.open_slot.to_le_bytes()], bump)]
    pub job: Box<Account<'info, Job>>,
    pub system_program: Program<'info, System>,
}

impl Publish<'_> {
    pub fn validate(&self, args: &PublishArgs) -> Result<()> {
        require!(args.allowed.len() <= ALLOWED_WORKERS_MAX, ProgramErrorCode::TooManyAllowed);
        Ok(())
    }

    pub fn handle(ctx: Context<Self>, args: PublishArgs) -> Result<()> {
        let Publish { authority, config, vault, job, .. } = ctx.accounts;
        let clock = Clock::get()?;
        let new = NewJob {
            stake: Lamports(args.stake),
            highest: Prices {
                input_per_mtok: args.max_price_in_per_mtok,
                output_per_mtok: args.max_price_out_per_mtok,
                charge_min: args.stake,
            },
            open_slot: args.open_slot,
            serve_until_unix_s: args.serve_until_unix_s,
            grace_s: config.grace_s,
        };
        let rules = market::Job::publish(new, clock.unix_timestamp, clock.slot).or_refuse()?;
        let account = vault.to_account_info();
        vault.reserve(args.stake, authority.key, clock.unix_timestamp, &account)?;
        job.set_inner(published(&args, authority.key(), vault.key(), config.grace_s));
        job.store(&rules)?;
        vault.invariant(&account)
    }
}

/// The new account, before the rules' own fields are stored into it.
fn published(args: &PublishArgs, authority: Pubkey, vault: Pubkey, grace_s: u32) -> Job {
    Job {
        version: LAYOUT_VERSION,
        status: JobStatus::Open,
        vault,
        worker: Pubkey::default(),
        authority,
        session_key: args.session_key,
        open_slot: args.open_slot,
        model_hash: args.model_hash,
        stake: args.stake,
        max_price_in_per_mtok: args.max_price_in_per_mtok,
        max_price_out_per_mtok: args.max_price_out_per_mtok,
        serve_until_unix_s: args.serve_until_unix_s,
        claim_until_unix_s: 0,
        grace_s,
        filters: args.filters,
        price_in_per_mtok: 0,
        price_out_per_mtok: 0,
        charge_min: 0,
        shares: SharesBps::default(),
        tokens_in: 0,
        tokens_out: 0,
        credited: 0,
        fees_platform: 0,
        settled_unix_s: 0,
        allowed: args.allowed.clone(),
    }
}
