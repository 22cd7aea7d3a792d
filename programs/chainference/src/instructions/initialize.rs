use anchor_lang::prelude::*;

use crate::error::ProgramErrorCode;
use crate::events::ConfigChanged;
use crate::program::Chainference;
use crate::seeds;
use crate::state::{Config, Preset, Stored, Treasury};

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct InitializeArgs {
    pub preset: Preset,
    pub platform_payout: Pubkey,
    pub stakers_payout: Pubkey,
    /// Lamports.
    pub bond_min: u64,
    /// Lamports of platform fees, see `Config`.
    pub reputation_prior: u64,
    /// Lamports of platform fees, see `Config`.
    pub rated_fees_min: u64,
    pub bond_cooldown_s: u32,
    pub grace_s: u32,
    pub heartbeat_s: u32,
}

/// Makes the market's configuration and its treasury, once. Only the program's upgrade authority may: else
/// whoever is first after a deployment would own the market's fees.
#[derive(Accounts)]
pub struct Initialize<'info> {
    /// Upgrade authority of the program; becomes the admin and pays the rent.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(init, payer = authority, space = Config::BYTES, seeds = [seeds::CONFIG], bump)]
    pub config: AccountLoader<'info, Config>,
    #[account(init, payer = authority, space = Treasury::BYTES, seeds = [seeds::TREASURY], bump)]
    pub treasury: AccountLoader<'info, Treasury>,
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
    pub fn handle(ctx: Context<Self>, args: InitializeArgs) -> Result<()> {
        let Initialize { authority, config, treasury, .. } = ctx.accounts;
        treasury.load_init()?.rent = Rent::get()?.minimum_balance(Treasury::BYTES);
        let mut config = config.load_init()?;
        *config = Config {
            admin: authority.key(),
            pending_admin: Pubkey::default(),
            platform_payout: args.platform_payout,
            stakers_payout: args.stakers_payout,
            bond_min: args.bond_min,
            reputation_prior: args.reputation_prior,
            rated_fees_min: args.rated_fees_min,
            bond_cooldown_s: args.bond_cooldown_s,
            grace_s: args.grace_s,
            heartbeat_s: args.heartbeat_s,
            preset: args.preset as u8,
            paused: 0,
            padding: [0; 2],
        };
        config.check()?;
        emit!(ConfigChanged::of(&config));
        Ok(())
    }
}
