use anchor_lang::prelude::*;
use chainference_market as market;

use crate::error::{FromMarket, ProgramErrorCode};
use crate::events::JobClaimed;
use crate::money;
use crate::state::{Job, JobStatus, Vault, Worker};
use crate::voucher::SignedTotals;

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct ClaimArgs {
    /// Settles the job and frees what is left of its stake.
    pub is_final: bool,
    /// The client's word. `None` only in a final claim of nothing new: how a worker lets go.
    pub voucher: Option<SignedTotals>,
}

/// The worker is credited what was vouched, less what was credited before. Nobody else may claim: else
/// a client would settle its own job with an old, smaller voucher.
#[derive(Accounts)]
pub struct Claim<'info> {
    /// The worker's hot key.
    pub operator: Signer<'info>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault, has_one = worker @ ProgramErrorCode::WrongWorker)]
    pub job: AccountLoader<'info, Job>,
    /// Pays.
    #[account(mut)]
    pub vault: AccountLoader<'info, Vault>,
    /// Is paid, fees included; they are swept from here.
    #[account(mut, has_one = operator @ ProgramErrorCode::NotOperator)]
    pub worker: AccountLoader<'info, Worker>,
}

impl Claim<'_> {
    pub fn validate(&self, args: &ClaimArgs) -> Result<()> {
        match &args.voucher {
            Some(voucher) => voucher.verify(&self.job.key(), &self.job.load()?.session_key),
            None => {
                require!(args.is_final, ProgramErrorCode::NoVoucher);
                Ok(())
            }
        }
    }

    pub fn handle(ctx: Context<Self>, args: ClaimArgs) -> Result<()> {
        let Claim { job, vault, worker, .. } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let (stored, purse, record) =
            (&mut *job.load_mut()?, &mut *vault.load_mut()?, &mut *worker.load_mut()?);
        let mut rules = stored.rules()?;
        let credit = rules.claim(args.rules(), now_unix_s).or_refuse()?;
        stored.store(&rules)?;
        stored.fees_platform = stored.fees_platform.saturating_add(credit.split.platform.0);
        purse.settle(credit.paid, credit.refund, now_unix_s)?;
        record.credit(&credit.split)?;
        if rules.status == JobStatus::Settled {
            record.job_ended(stored.credited > 0)?;
        }
        let (from, to) = (vault.as_ref(), worker.as_ref());
        money::pay(from, to, credit.paid.0)?;
        emit!(JobClaimed {
            job: job.key(),
            worker: stored.worker,
            tokens_in: stored.tokens_in,
            tokens_out: stored.tokens_out,
            paid: credit.paid.0,
            platform: credit.split.platform.0,
            stakers: credit.split.stakers.0,
            refund: credit.refund.0,
            is_final: args.is_final,
        });
        purse.invariant(from.lamports())?;
        record.invariant(to.lamports())
    }
}

impl ClaimArgs {
    fn rules(&self) -> market::Claim {
        let vouched = self.voucher.map(|voucher| voucher.totals());
        match vouched {
            Some(totals) if !self.is_final => market::Claim::Partial(totals),
            _ => market::Claim::Final(vouched),
        }
    }
}
