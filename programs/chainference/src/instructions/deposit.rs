use anchor_lang::prelude::*;
use anchor_lang::system_program::{transfer, Transfer};

use crate::events::Deposited;
use crate::state::Vault;

/// Anyone puts money into a vault. A plain transfer to its address does the same, without an event; this one
/// is refused where there is no vault.
#[derive(Accounts)]
pub struct Deposit<'info> {
    #[account(mut)]
    pub payer: Signer<'info>,
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    pub system_program: Program<'info, System>,
}

impl Deposit<'_> {
    pub fn handle(ctx: Context<Self>, lamports: u64) -> Result<()> {
        let Deposit { payer, vault, system_program } = ctx.accounts;
        let deposit = Transfer { from: payer.to_account_info(), to: vault.as_ref().clone() };
        transfer(CpiContext::new(system_program.key(), deposit), lamports)?;
        emit!(Deposited { vault: vault.key(), payer: payer.key(), lamports });
        Ok(())
    }
}
