use anchor_lang::prelude::*;
use chainference_market::{Lamports, Reputation};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobClosed;
use crate::state::{Job, Vault, Worker};

/// What a client says of the answers that it paid for.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    None,
    Ok,
    Flag,
}

/// What a client says of a job that it paid for, once. It weighs as much as the platform's fees on the job.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    pub verdict: Verdict,
    /// How fast the answers came, in basis points of what the client held for good; at most 10,000.
    pub speed_bps: Option<u16>,
    /// Whether the same seeded call gave the same on two workers of the same file.
    pub audit_passed: Option<bool>,
}

/// A settled job's account goes, once its address can't be published again: by the client with its
/// feedback, or by anyone an hour after it was settled. The rent returns to who paid it.
#[derive(Accounts)]
pub struct Close<'info> {
    /// The vault's owner or delegate; after an hour, anyone.
    pub closer: Signer<'info>,
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    #[account(mut, close = authority, has_one = vault @ ProgramErrorCode::WrongVault,
        has_one = authority @ ProgramErrorCode::WrongDestination)]
    pub job: AccountLoader<'info, Job>,
    /// Gets the rent back.
    /// CHECK: the address is the job's; it only receives.
    #[account(mut)]
    pub authority: UncheckedAccount<'info>,
    /// The job's worker, for feedback; none without.
    #[account(mut, constraint = worker.key() == job.load()?.worker @ ProgramErrorCode::WrongWorker)]
    pub worker: Option<AccountLoader<'info, Worker>>,
}

impl Close<'_> {
    pub fn validate(&self, feedback: &Feedback) -> Result<()> {
        let clock = Clock::get()?;
        let job = self.job.load()?;
        let by_client = self.vault.load()?.is_client(self.closer.key);
        job.rules()?.may_close(by_client, clock.unix_timestamp, clock.slot).or_refuse()?;
        if feedback.is_some() {
            require!(by_client, ProgramErrorCode::NotClient);
            require!(job.credited > 0, ProgramErrorCode::NothingPaid);
            require!(self.worker.is_some(), ProgramErrorCode::WrongWorker);
        }
        let is_fraction = feedback.speed_bps.is_none_or(|speed| speed <= 10_000);
        require!(is_fraction, ProgramErrorCode::BadFeedback);
        Ok(())
    }

    pub fn handle(ctx: Context<Self>, feedback: Feedback) -> Result<()> {
        let Close { vault, job, worker, .. } = ctx.accounts;
        let stored = job.load()?;
        vault.load_mut()?.job_closed()?;
        if let Some(worker) = worker {
            let fee = Lamports(stored.fees_platform);
            worker.load_mut()?.rate(|reputation| feedback.weigh_in(reputation, fee));
        }
        emit!(JobClosed { job: job.key(), worker: stored.worker, feedback });
        Ok(())
    }
}

impl Feedback {
    pub const NONE: Self = Self { verdict: Verdict::None, speed_bps: None, audit_passed: None };

    pub fn is_some(&self) -> bool {
        *self != Self::NONE
    }

    /// Books it with the weight of the job's platform fees.
    fn weigh_in(&self, reputation: &mut Reputation, fee: Lamports) {
        if self.verdict == Verdict::Flag {
            reputation.flag(fee);
        }
        if let Some(speed_bps) = self.speed_bps {
            reputation.time(fee, speed_bps);
        }
        if let Some(passed) = self.audit_passed {
            reputation.audit(fee, passed);
        }
    }
}
