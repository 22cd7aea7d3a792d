use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobToppedUp;
use crate::state::{Job, Vault};

/// The client adds to the stake of a job that is still served, so that a session can go on.
#[derive(Accounts)]
pub struct TopUp<'info> {
    /// The vault's owner or delegate, within the delegate's limit.
    #[account(constraint = vault.load()?.is_client(client.key) @ ProgramErrorCode::NotClient)]
    pub client: Signer<'info>,
    /// Where the addition is reserved.
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault)]
    pub job: AccountLoader<'info, Job>,
}

impl TopUp<'_> {
    pub fn handle(ctx: Context<Self>, lamports: u64) -> Result<()> {
        let TopUp { client, vault, job } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let (stored, purse) = (&mut *job.load_mut()?, &mut *vault.load_mut()?);
        let (held, addition) = (vault.as_ref().lamports(), Lamports(lamports));
        let mut rules = stored.rules()?;
        rules.top_up(addition, now_unix_s).or_refuse()?;
        stored.store(&rules)?;
        purse.reserve(addition, client.key, now_unix_s, held)?;
        emit!(JobToppedUp { job: job.key(), stake: stored.stake });
        purse.invariant(held)
    }
}
