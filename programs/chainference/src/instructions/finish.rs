use anchor_lang::prelude::*;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::state::{Job, Vault};

/// The client wants no more of a job: its worker has one grace period left to claim. How a client leaves
/// a dead worker.
#[derive(Accounts)]
pub struct Finish<'info> {
    /// The vault's owner or delegate.
    #[account(constraint = vault.is_client(client.key) @ ProgramErrorCode::NotClient)]
    pub client: Signer<'info>,
    pub vault: Account<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: Box<Account<'info, Job>>,
}

impl Finish<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let job = &mut ctx.accounts.job;
        let mut rules = job.rules()?;
        rules.finish(Clock::get()?.unix_timestamp).or_refuse()?;
        job.store(&rules)
    }
}
