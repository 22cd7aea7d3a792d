use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::state::{Job, Vault};

/// The client takes back a job that nobody locked. Its account stays, settled, until its address can't
/// be used again.
#[derive(Accounts)]
pub struct Cancel<'info> {
    /// The vault's owner or delegate.
    #[account(constraint = vault.is_client(client.key) @ ProgramErrorCode::NotClient)]
    pub client: Signer<'info>,
    /// Where the stake is freed.
    #[account(mut)]
    pub vault: Account<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: Box<Account<'info, Job>>,
}

impl Cancel<'_> {
    pub fn handle(ctx: Context<Self>) -> Result<()> {
        let Cancel { vault, job, .. } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let mut rules = job.rules()?;
        let refund = rules.cancel(now_unix_s).or_refuse()?;
        job.store(&rules)?;
        vault.settle(Lamports::ZERO, refund, now_unix_s)?;
        vault.invariant(&vault.to_account_info())
    }
}
