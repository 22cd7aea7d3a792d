use anchor_lang::prelude::*;
use anchor_lang::system_program::{transfer, Transfer};
use chainference_market::limits::ENDPOINT_BYTES_MAX;

use crate::error::{refuse, ProgramErrorCode};
use crate::seeds;
use crate::state::{Config, Worker, WorkerStatus, LAYOUT_VERSION};

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct RegisterWorkerArgs {
    pub operator: Pubkey,
    pub x25519: [u8; 32],
    pub endpoint: String,
    /// Lamports.
    pub bond: u64,
}

/// A worker enters the market and posts its bond.
#[derive(Accounts)]
pub struct RegisterWorker<'info> {
    /// The worker's cold key; pays rent and bond.
    #[account(mut)]
    pub owner: Signer<'info>,
    #[account(seeds = [seeds::CONFIG], bump = config.bump,
        constraint = !config.paused @ ProgramErrorCode::Paused)]
    pub config: Account<'info, Config>,
    #[account(init, payer = owner, space = 8 + Worker::INIT_SPACE,
        seeds = [seeds::WORKER, owner.key().as_ref()], bump)]
    pub worker: Account<'info, Worker>,
    pub system_program: Program<'info, System>,
}

impl RegisterWorker<'_> {
    pub fn validate(&self, args: &RegisterWorkerArgs) -> Result<()> {
        require!(args.bond >= self.config.bond_min, ProgramErrorCode::BondTooSmall);
        check_endpoint(&args.endpoint)
    }

    pub fn handle(ctx: Context<Self>, args: RegisterWorkerArgs) -> Result<()> {
        let accounts = ctx.accounts;
        accounts.worker.set_inner(Worker {
            version: LAYOUT_VERSION,
            status: WorkerStatus::Active,
            owner: accounts.owner.key(),
            operator: args.operator,
            x25519: args.x25519,
            live_jobs: 0,
            bond: args.bond,
            earnings: 0,
            fees_platform: 0,
            fees_stakers: 0,
            last_heartbeat_unix_s: Clock::get()?.unix_timestamp,
            fees_completed: 0,
            fees_flagged: 0,
            jobs_completed: 0,
            jobs_flagged: 0,
            endpoint: args.endpoint,
        });
        let bond = Transfer {
            from: accounts.owner.to_account_info(),
            to: accounts.worker.to_account_info(),
        };
        transfer(CpiContext::new(accounts.system_program.key(), bond), args.bond)?;
        accounts.worker.invariant(&accounts.worker.to_account_info())
    }
}

/// A URL of printable ASCII: whoever shows or dials it shall meet no control characters.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<()> {
    let is_url = endpoint.starts_with("http://") || endpoint.starts_with("https://");
    let is_plain = endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    if is_url && is_plain && endpoint.len() <= ENDPOINT_BYTES_MAX {
        Ok(())
    } else {
        refuse(ProgramErrorCode::BadText)
    }
}
