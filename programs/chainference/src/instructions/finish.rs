use anchor_lang::prelude::*;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobFinished;
use crate::state::{Job, Vault};

/// The client wants no more of a job: its worker has one grace period left to claim. How a client leaves
/// a dead worker.
#[derive(Accounts)]
pub struct Finish<'info> {
    /// The vault's owner or delegate.
    #[account(constraint = vault.load()?.is_client(client.key) @ ProgramErrorCode::NotClient)]
    pub client: Signer<'info>,
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: AccountLoader<'info, Job>,
}

impl Finish<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let job = &ctx.accounts.job;
        let stored = &mut *job.load_mut()?;
        let mut rules = stored.rules()?;
        rules.finish(Clock::get()?.unix_timestamp).or_refuse()?;
        stored.store(&rules)?;
        emit!(JobFinished { job: job.key(), claim_until_unix_s: stored.claim_until_unix_s });
        Ok(())
    }
}
