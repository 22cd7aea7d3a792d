use anchor_lang::prelude::*;
use anchor_lang::system_program::{transfer, Transfer};

use crate::error::ProgramErrorCode;
use crate::events::WorkerRegistered;
use crate::seeds;
use crate::state::{Config, Reputation, Stored, Worker, WorkerStatus};

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
    #[account(address = seeds::CONFIG_ADDRESS,
        constraint = !config.load()?.paused() @ ProgramErrorCode::Paused)]
    pub config: AccountLoader<'info, Config>,
    #[account(init, payer = owner, space = Worker::BYTES,
        seeds = [seeds::WORKER, owner.key().as_ref()], bump)]
    pub worker: AccountLoader<'info, Worker>,
    pub system_program: Program<'info, System>,
}

impl RegisterWorker<'_> {
    pub fn validate(&self, args: &RegisterWorkerArgs) -> Result<()> {
        require!(args.bond >= self.config.load()?.bond_min, ProgramErrorCode::BondTooSmall);
        Ok(())
    }

    pub fn handle(ctx: Context<Self>, args: RegisterWorkerArgs) -> Result<()> {
        let RegisterWorker { owner, worker, system_program, .. } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        {
            let mut record = worker.load_init()?;
            record.owner = owner.key();
            record.operator = args.operator;
            record.x25519 = args.x25519;
            record.rent = Rent::get()?.minimum_balance(Worker::BYTES);
            record.bond = args.bond;
            record.status = WorkerStatus::Active as u8;
            record.last_heartbeat_unix_s = now_unix_s;
            record.reputation = Reputation { beats_from_unix_s: now_unix_s, ..Default::default() };
            record.set_endpoint(&args.endpoint)?;
        }
        let account = worker.as_ref();
        let bond = Transfer { from: owner.to_account_info(), to: account.clone() };
        transfer(CpiContext::new(system_program.key(), bond), args.bond)?;
        emit!(WorkerRegistered {
            worker: worker.key(),
            owner: owner.key(),
            operator: args.operator,
            endpoint: args.endpoint,
            bond: args.bond,
        });
        Ok(())
    }
}
