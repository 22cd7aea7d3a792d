use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::seeds;
use crate::state::{Config, Worker};

/// The operator says that the worker is there. Emits nothing: whoever asks reads the record.
#[derive(Accounts)]
pub struct Heartbeat<'info> {
    pub operator: Signer<'info>,
    /// Says how long a window is.
    #[account(address = seeds::CONFIG_ADDRESS)]
    pub config: AccountLoader<'info, Config>,
    #[account(mut, has_one = operator @ ProgramErrorCode::NotOperator)]
    pub worker: AccountLoader<'info, Worker>,
}

impl Heartbeat<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let heartbeat_s = ctx.accounts.config.load()?.heartbeat_s;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let worker = &mut *ctx.accounts.worker.load_mut()?;
        worker.last_heartbeat_unix_s = now_unix_s;
        worker.rate(|reputation| reputation.beat(now_unix_s, heartbeat_s));
        Ok(())
    }
}
