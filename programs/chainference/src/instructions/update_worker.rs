use anchor_lang::prelude::*;

use super::register_worker::check_endpoint;
use crate::error::ProgramErrorCode;
use crate::state::{Worker, WorkerStatus};

/// What is `None` stays as it is.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default)]
pub struct UpdateWorkerArgs {
    pub operator: Option<Pubkey>,
    pub x25519: Option<[u8; 32]>,
    pub endpoint: Option<String>,
    pub status: Option<WorkerStatus>,
}

/// The owner changes how a worker is reached, which hot key acts for it, or whether it takes jobs.
/// A new operator claims the jobs that the old one locked.
#[derive(Accounts)]
pub struct UpdateWorker<'info> {
    pub owner: Signer<'info>,
    #[account(mut, has_one = owner @ ProgramErrorCode::NotWorkerOwner)]
    pub worker: Account<'info, Worker>,
}

impl UpdateWorker<'_> {
    pub fn validate(&self, args: &UpdateWorkerArgs) -> Result<()> {
        args.endpoint.as_deref().map_or(Ok(()), check_endpoint)
    }

    pub fn handle(ctx: Context<Self>, args: UpdateWorkerArgs) -> Result<()> {
        let worker = &mut ctx.accounts.worker;
        worker.operator = args.operator.unwrap_or(worker.operator);
        worker.x25519 = args.x25519.unwrap_or(worker.x25519);
        worker.status = args.status.unwrap_or(worker.status);
        if let Some(endpoint) = args.endpoint {
            worker.endpoint = endpoint;
        }
        Ok(())
    }
}
