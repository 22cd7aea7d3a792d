use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::ConfigChanged;
use crate::seeds;
use crate::state::{Config, Preset};

/// What is `None` stays as it is.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, Default)]
pub struct UpdateConfigArgs {
    pub paused: Option<bool>,
    pub preset: Option<Preset>,
    pub platform_payout: Option<Pubkey>,
    pub stakers_payout: Option<Pubkey>,
    /// Lamports.
    pub bond_min: Option<u64>,
    /// Lamports.
    pub reputation_prior: Option<u64>,
    /// Lamports.
    pub rated_fees_min: Option<u64>,
    pub bond_cooldown_s: Option<u32>,
    pub grace_s: Option<u32>,
    pub heartbeat_s: Option<u32>,
    /// Who may accept to be the next admin; the default key: nobody.
    pub pending_admin: Option<Pubkey>,
}

/// The admin changes the market's settings. Locked jobs keep the terms that they were locked on, leaving
/// workers the cooldown that they left on.
#[derive(Accounts)]
pub struct UpdateConfig<'info> {
    pub admin: Signer<'info>,
    #[account(mut, address = seeds::CONFIG_ADDRESS,
        has_one = admin @ ProgramErrorCode::NotAdmin)]
    pub config: AccountLoader<'info, Config>,
}

impl UpdateConfig<'_> {
    pub fn handle(ctx: Context<Self>, args: UpdateConfigArgs) -> Result<()> {
        let config = &mut *ctx.accounts.config.load_mut()?;
        set(&mut config.paused, args.paused.map(u8::from));
        set(&mut config.preset, args.preset.map(|preset| preset as u8));
        set(&mut config.platform_payout, args.platform_payout);
        set(&mut config.stakers_payout, args.stakers_payout);
        set(&mut config.bond_min, args.bond_min);
        set(&mut config.reputation_prior, args.reputation_prior);
        set(&mut config.rated_fees_min, args.rated_fees_min);
        set(&mut config.bond_cooldown_s, args.bond_cooldown_s);
        set(&mut config.grace_s, args.grace_s);
        set(&mut config.heartbeat_s, args.heartbeat_s);
        set(&mut config.pending_admin, args.pending_admin);
        config.check()?;
        emit!(ConfigChanged::of(config));
        Ok(())
    }
}

/// Overwrites a field where a value is given.
pub(crate) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
