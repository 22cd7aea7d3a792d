use anchor_lang::prelude::*;

use super::update_config::set;
use crate::error::ProgramErrorCode;
use crate::events::WorkerChanged;
use crate::seeds;
use crate::state::{Config, Worker, WorkerStatus};

/// What is `None` stays as it is.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default)]
pub struct UpdateWorkerArgs {
    pub operator: Option<Pubkey>,
    pub x25519: Option<[u8; 32]>,
    pub endpoint: Option<String>,
    /// `Retiring` is the first step of leaving: the bond's cooldown begins.
    pub status: Option<WorkerStatus>,
}

/// The owner changes how a worker is reached, which hot key acts for it, or whether it takes jobs.
/// A new operator claims the jobs that the old one locked.
#[derive(Accounts)]
pub struct UpdateWorker<'info> {
    pub owner: Signer<'info>,
    /// Says how long a bond cools down.
    #[account(address = seeds::CONFIG_ADDRESS)]
    pub config: AccountLoader<'info, Config>,
    #[account(mut, has_one = owner @ ProgramErrorCode::NotWorkerOwner)]
    pub worker: AccountLoader<'info, Worker>,
}

impl UpdateWorker<'_> {
    pub fn handle(ctx: Context<Self>, args: UpdateWorkerArgs) -> Result<()> {
        let UpdateWorker { config, worker, .. } = ctx.accounts;
        let record = &mut *worker.load_mut()?;
        set(&mut record.operator, args.operator);
        set(&mut record.x25519, args.x25519);
        if let Some(endpoint) = &args.endpoint {
            record.set_endpoint(endpoint)?;
        }
        if let Some(status) = args.status {
            let cooldown_s = config.load()?.bond_cooldown_s;
            record.set_status(status, cooldown_s, Clock::get()?.unix_timestamp);
        }
        emit!(WorkerChanged {
            worker: worker.key(),
            operator: record.operator,
            endpoint: args.endpoint,
            status: record.status(),
            bond_free_unix_s: record.bond_free_unix_s,
        });
        Ok(())
    }
}
