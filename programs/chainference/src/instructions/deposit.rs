use anchor_lang::prelude::*;
use anchor_lang::system_program::{transfer, Transfer};

use crate::state::Vault;

/// Anyone puts money into a vault. A plain transfer to its address does the same; this one is refused
/// where there is no vault.
#[derive(Accounts)]
pub struct Deposit<'info> {
    #[account(mut)]
    pub payer: Signer<'info>,
    #[account(mut)]
    pub vault: Account<'info, Vault>,
    pub system_program: Program<'info, System>,
}

impl Deposit<'_> {
    pub fn handle(ctx: Context<Self>, lamports: u64) -> Result<()> {
        let deposit = Transfer {
            from: ctx.accounts.payer.to_account_info(),
            to: ctx.accounts.vault.to_account_info(),
        };
        transfer(CpiContext::new(ctx.accounts.system_program.key(), deposit), lamports)
    }
}
