use anchor_lang::prelude::*;
use chainference_market::limits::ALLOWED_WORKERS_MAX;
use chainference_market::{self as market, Lamports, NewJob, Prices};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobPublished;
use crate::seeds;
use crate::state::{Config, Filters, Job, Vault};

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
    /// Lamports. Named like the prices: else a worker could raise it between its quote and the lock.
    pub max_charge_min: u64,
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
    #[account(address = seeds::CONFIG_ADDRESS,
        constraint = !config.load()?.paused() @ ProgramErrorCode::Paused)]
    pub config: AccountLoader<'info, Config>,
    /// Where the stake is reserved.
    #[account(mut, constraint = vault.load()?.is_client(authority.key) @ ProgramErrorCode::NotClient)]
    pub vault: AccountLoader<'info, Vault>,
    #[account(init, payer = authority, space = Job::space(args.allowed.len().min(ALLOWED_WORKERS_MAX)),
        seeds = [seeds::JOB, vault.key().as_ref(), args.session_key.as_ref(), &args.open_slot.to_le_bytes()], bump)]
    pub job: AccountLoader<'info, Job>,
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
        let (new, now_unix_s) = (args.new_job(config.load()?.grace_s), clock.unix_timestamp);
        let rules = market::Job::publish(new, now_unix_s, clock.slot).or_refuse()?;
        let lamports = vault.as_ref().lamports();
        let purse = &mut *vault.load_mut()?;
        purse.reserve(new.stake, authority.key, now_unix_s, lamports)?;
        purse.job_opened()?;
        Job::set_allowed(&mut job.as_ref().try_borrow_mut_data()?, &args.allowed);
        let mut stored = job.load_init()?;
        stored.vault = vault.key();
        stored.authority = authority.key();
        args.describe(&mut stored);
        stored.store(&rules)?;
        emit!(JobPublished {
            job: job.key(),
            vault: stored.vault,
            model_hash: args.model_hash,
            stake: args.stake,
            serve_until_unix_s: args.serve_until_unix_s,
            filters: args.filters,
            allowed: args.allowed,
        });
        purse.invariant(lamports)
    }
}

impl PublishArgs {
    fn new_job(&self, grace_s: u32) -> NewJob {
        NewJob {
            stake: Lamports(self.stake),
            highest: Prices {
                input_per_mtok: self.max_price_in_per_mtok,
                output_per_mtok: self.max_price_out_per_mtok,
                charge_min: self.max_charge_min,
            },
            open_slot: self.open_slot,
            serve_until_unix_s: self.serve_until_unix_s,
            grace_s,
        }
    }

    /// What of a new job the rules don't know or don't change.
    fn describe(&self, job: &mut Job) {
        job.session_key = self.session_key;
        job.model_hash = self.model_hash;
        job.fees_completed_min = self.filters.fees_completed_min;
        job.success_bps_min = self.filters.success_bps_min;
        job.preference_bps_min = self.filters.preference_bps_min;
    }
}
