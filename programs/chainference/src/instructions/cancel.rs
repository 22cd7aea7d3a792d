use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobCancelled;
use crate::state::{Job, Vault};

/// The client takes back a job that nobody locked. Its account stays, settled, until its address can't
/// be used again.
#[derive(Accounts)]
pub struct Cancel<'info> {
    /// The vault's owner or delegate.
    #[account(constraint = vault.load()?.is_client(client.key) @ ProgramErrorCode::NotClient)]
    pub client: Signer<'info>,
    /// Where the stake is freed.
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: AccountLoader<'info, Job>,
}

impl Cancel<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let Cancel { vault, job, .. } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let (stored, purse) = (&mut *job.load_mut()?, &mut *vault.load_mut()?);
        let mut rules = stored.rules()?;
        let refund = rules.cancel(now_unix_s).or_refuse()?;
        stored.store(&rules)?;
        purse.settle(Lamports::ZERO, refund, now_unix_s)?;
        emit!(JobCancelled { job: job.key(), refund: refund.0 });
        purse.invariant(vault.as_ref().lamports())
    }
}
