//! Chainference's settlement program: offers, staked jobs, vouchers and reputation.
//!
//! This is the shell: it loads accounts, asks `chainference_market` what a step does, stores the answer and
//! moves the lamports. The state machine with its guard table is in `docs/adr/0001`.

// Anchor's macros expand to code that these lints dislike.
#![allow(clippy::result_large_err, clippy::diverging_sub_expression, clippy::const_is_empty)]

use anchor_lang::prelude::*;

pub mod error;
pub mod events;
pub mod instructions;
mod money;
pub mod seeds;
pub mod state;
pub mod voucher;

pub use instructions::*;
use state::FeePart;

declare_id!("DzPGL64wnU2CnPDGLBYerc9dKbnrWjxc3UWKYeQ8snRm");

#[program]
pub mod chainference {
    use super::*;

    // The market's configuration.

    pub fn initialize(ctx: Context<Initialize>, args: InitializeArgs) -> Result<()> {
        Initialize::handle(ctx, args)
    }

    pub fn update_config(ctx: Context<UpdateConfig>, args: UpdateConfigArgs) -> Result<()> {
        UpdateConfig::handle(ctx, args)
    }

    pub fn accept_admin(ctx: Context<AcceptAdmin>) -> Result<()> {
        AcceptAdmin::handle(ctx)
    }

    // A worker's record and offers.

    #[access_control(ctx.accounts.validate(&args))]
    pub fn register_worker(ctx: Context<RegisterWorker>, args: RegisterWorkerArgs) -> Result<()> {
        RegisterWorker::handle(ctx, args)
    }

    pub fn update_worker(ctx: Context<UpdateWorker>, args: UpdateWorkerArgs) -> Result<()> {
        UpdateWorker::handle(ctx, args)
    }

    pub fn heartbeat(ctx: Context<Heartbeat>) -> Result<()> {
        Heartbeat::handle(ctx)
    }

    pub fn post_offer(ctx: Context<PostOffer>, args: PostOfferArgs) -> Result<()> {
        PostOffer::handle(ctx, args)
    }

    pub fn update_offer(ctx: Context<UpdateOffer>, args: UpdateOfferArgs) -> Result<()> {
        UpdateOffer::handle(ctx, args)
    }

    pub fn retract_offer(ctx: Context<RetractOffer>) -> Result<()> {
        RetractOffer::handle(ctx)
    }

    pub fn withdraw_earnings(ctx: Context<WithdrawEarnings>) -> Result<()> {
        WithdrawEarnings::handle(ctx)
    }

    pub fn sweep_fees(ctx: Context<SweepFees>) -> Result<()> {
        SweepFees::handle(ctx)
    }

    pub fn withdraw_fees(ctx: Context<WithdrawFees>, part: FeePart) -> Result<()> {
        WithdrawFees::handle(ctx, part)
    }

    #[access_control(ctx.accounts.validate())]
    pub fn retire_worker(ctx: Context<RetireWorker>) -> Result<()> {
        RetireWorker::handle(ctx)
    }

    // A client's vault.

    pub fn open_vault(ctx: Context<OpenVault>) -> Result<()> {
        OpenVault::handle(ctx)
    }

    pub fn deposit(ctx: Context<Deposit>, lamports: u64) -> Result<()> {
        Deposit::handle(ctx, lamports)
    }

    pub fn set_delegate(ctx: Context<SetDelegate>, args: SetDelegateArgs) -> Result<()> {
        SetDelegate::handle(ctx, args)
    }

    pub fn withdraw(ctx: Context<Withdraw>, lamports: u64) -> Result<()> {
        Withdraw::handle(ctx, lamports)
    }

    pub fn close_vault(ctx: Context<CloseVault>) -> Result<()> {
        CloseVault::handle(ctx)
    }

    // The life of a job.

    #[access_control(ctx.accounts.validate(&args))]
    pub fn publish(ctx: Context<Publish>, args: PublishArgs) -> Result<()> {
        Publish::handle(ctx, args)
    }

    #[access_control(ctx.accounts.validate())]
    pub fn lock(ctx: Context<Lock>) -> Result<()> {
        Lock::handle(ctx)
    }

    #[access_control(ctx.accounts.validate(&args))]
    pub fn claim(ctx: Context<Claim>, args: ClaimArgs) -> Result<()> {
        Claim::handle(ctx, args)
    }

    pub fn finish(ctx: Context<Finish>) -> Result<()> {
        Finish::handle(ctx)
    }

    pub fn cancel(ctx: Context<Cancel>) -> Result<()> {
        Cancel::handle(ctx)
    }

    pub fn expire(ctx: Context<Expire>) -> Result<()> {
        Expire::handle(ctx)
    }

    pub fn top_up(ctx: Context<TopUp>, lamports: u64) -> Result<()> {
        TopUp::handle(ctx, lamports)
    }

    #[access_control(ctx.accounts.validate(&feedback))]
    pub fn close(ctx: Context<Close>, feedback: Feedback) -> Result<()> {
        Close::handle(ctx, feedback)
    }

    #[access_control(ctx.accounts.validate())]
    pub fn compare(ctx: Context<Compare>, preferred: Preferred) -> Result<()> {
        Compare::handle(ctx, preferred)
    }
}
