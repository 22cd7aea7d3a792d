use anchor_lang::prelude::*;

use super::initialize::check_grace;
use crate::error::ProgramErrorCode;
use crate::seeds;
use crate::state::{Config, SharesBps};

/// What is `None` stays as it is.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default)]
pub struct UpdateConfigArgs {
    pub paused: Option<bool>,
    pub shares: Option<SharesBps>,
    pub platform_payout: Option<Pubkey>,
    pub stakers_payout: Option<Pubkey>,
    /// Lamports.
    pub bond_min: Option<u64>,
    /// Lamports.
    pub reputation_prior: Option<u64>,
    pub grace_s: Option<u32>,
    /// Who may accept to be the next admin.
    pub pending_admin: Option<Pubkey>,
}

/// The admin changes the market's settings. Locked jobs keep the shares that they were locked with.
#[derive(Accounts)]
pub struct UpdateConfig<'info> {
    pub admin: Signer<'info>,
    #[account(mut, seeds = [seeds::CONFIG], bump = config.bump,
        has_one = admin @ ProgramErrorCode::NotAdmin)]
    pub config: Account<'info, Config>,
}

impl UpdateConfig<'_> {
    pub fn validate(&self, args: &UpdateConfigArgs) -> Result<()> {
        if let Some(shares) = &args.shares {
            shares.checked()?;
        }
        args.grace_s.map_or(Ok(()), check_grace)
    }

    pub fn handle(ctx: Context<Self>, args: UpdateConfigArgs) -> Result<()> {
        let config = &mut ctx.accounts.config;
        config.paused = args.paused.unwrap_or(config.paused);
        config.shares = args.shares.unwrap_or(config.shares);
        config.platform_payout = args.platform_payout.unwrap_or(config.platform_payout);
        config.stakers_payout = args.stakers_payout.unwrap_or(config.stakers_payout);
        config.bond_min = args.bond_min.unwrap_or(config.bond_min);
        config.reputation_prior = args.reputation_prior.unwrap_or(config.reputation_prior);
        config.grace_s = args.grace_s.unwrap_or(config.grace_s);
        config.pending_admin = args.pending_admin.or(config.pending_admin);
        Ok(())
    }
}
