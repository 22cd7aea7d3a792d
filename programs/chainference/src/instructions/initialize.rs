use anchor_lang::prelude::*;
use chainference_market::limits::{GRACE_S_MAX, GRACE_S_MIN};
use chainference_market::MarketError;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::program::Chainference;
use crate::seeds;
use crate::state::{Config, SharesBps, LAYOUT_VERSION};

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct InitializeArgs {
    pub shares: SharesBps,
    pub platform_payout: Pubkey,
    pub stakers_payout: Pubkey,
    /// Lamports.
    pub bond_min: u64,
    /// Lamports of platform fees, see `Config`.
    pub reputation_prior: u64,
    pub grace_s: u32,
}

/// Makes the market's configuration, once. Only the program's upgrade authority may: else whoever is
/// first after a deployment would own the market's fees.
#[derive(Accounts)]
pub struct Initialize<'info> {
    /// Upgrade authority of the program; becomes the admin and pays the rent.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(init, payer = authority, space = 8 + Config::INIT_SPACE, seeds = [seeds::CONFIG], bump)]
    pub config: Account<'info, Config>,
    /// This program: names its data account.
    #[account(constraint = program.programdata_address()? == Some(program_data.key())
        @ ProgramErrorCode::NotUpgradeAuthority)]
    pub program: Program<'info, Chainference>,
    /// Holds the upgrade authority, which must be the signer.
    #[account(constraint = program_data.upgrade_authority_address == Some(authority.key())
        @ ProgramErrorCode::NotUpgradeAuthority)]
    pub program_data: Account<'info, ProgramData>,
    pub system_program: Program<'info, System>,
}

impl Initialize<'_> {
    pub fn validate(&self, args: &InitializeArgs) -> Result<()> {
        args.shares.checked()?;
        check_grace(args.grace_s)
    }

    pub fn handle(ctx: Context<Self>, args: InitializeArgs) -> Result<()> {
        ctx.accounts.config.set_inner(Config {
            version: LAYOUT_VERSION,
            bump: ctx.bumps.config,
            admin: ctx.accounts.authority.key(),
            pending_admin: None,
            shares: args.shares,
            platform_payout: args.platform_payout,
            stakers_payout: args.stakers_payout,
            bond_min: args.bond_min,
            reputation_prior: args.reputation_prior,
            grace_s: args.grace_s,
            paused: false,
        });
        Ok(())
    }
}

/// Refuses a grace period that publishes would be refused with.
pub(crate) fn check_grace(grace_s: u32) -> Result<()> {
    if (GRACE_S_MIN..=GRACE_S_MAX).contains(&grace_s) {
        Ok(())
    } else {
        Err(MarketError::BadGrace).or_refuse()
    }
}
