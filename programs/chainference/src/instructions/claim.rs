use anchor_lang::prelude::*;
use chainference_market::{self as market, Totals};

use crate::error::{FromMarket, ProgramErrorCode};
use crate::state::{Job, JobStatus, Vault, Worker};
use crate::{money, voucher};

/// Totals that a voucher vouches for.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct VouchedTotals {
    pub tokens_in: u64,
    pub tokens_out: u64,
}

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct ClaimArgs {
    /// Settles the job and frees what is left of its stake.
    pub is_final: bool,
    /// What the Ed25519 instruction before this one proves. `None` only in a final claim of nothing
    /// new: how a worker lets go.
    pub voucher: Option<VouchedTotals>,
}

/// The worker is credited what was vouched, less what was credited before. Nobody else may claim: else
/// a client would settle its own job with an old, smaller voucher.
#[derive(Accounts)]
pub struct Claim<'info> {
    /// The worker's hot key.
    pub operator: Signer<'info>,
    #[account(mut, has_one = vault @ ProgramErrorCode::WrongVault, has_one = worker @ ProgramErrorCode::WrongWorker)]
    pub job: Box<Account<'info, Job>>,
    /// Pays.
    #[account(mut)]
    pub vault: Box<Account<'info, Vault>>,
    /// Is paid, fees included; they are swept from here.
    #[account(mut, has_one = operator @ ProgramErrorCode::NotOperator)]
    pub worker: Box<Account<'info, Worker>>,
    /// The transaction's instructions: where the voucher's verification is looked for.
    /// CHECK: the address says what it is.
    #[account(address = solana_sdk_ids::sysvar::instructions::ID)]
    pub instructions: UncheckedAccount<'info>,
}

impl Claim<'_> {
    pub fn validate(&self, args: &ClaimArgs) -> Result<()> {
        match args.voucher {
            Some(vouched) => voucher::verify(
                &self.instructions,
                &self.job.key(),
                &self.job.session_key,
                vouched.into(),
            ),
            None => {
                require!(args.is_final, ProgramErrorCode::NoVoucherSignature);
                Ok(())
            }
        }
    }

    pub fn handle(ctx: Context<Self>, args: ClaimArgs) -> Result<()> {
        let Claim { job, vault, worker, .. } = ctx.accounts;
        let now_unix_s = Clock::get()?.unix_timestamp;
        let claim = match (args.is_final, args.voucher) {
            (false, Some(vouched)) => market::Claim::Partial(vouched.into()),
            (_, vouched) => market::Claim::Final(vouched.map(Totals::from)),
        };
        let mut rules = job.rules()?;
        let credit = rules.claim(claim, now_unix_s).or_refuse()?;
        job.store(&rules)?;
        job.fees_platform = job.fees_platform.saturating_add(credit.split.platform.0);
        vault.settle(credit.paid, credit.refund, now_unix_s)?;
        worker.credit(&credit.split)?;
        if job.status == JobStatus::Settled {
            worker.job_ended(job.credited > 0)?;
        }
        let (vault_account, worker_account) = (vault.to_account_info(), worker.to_account_info());
        money::pay(&vault_account, &worker_account, credit.paid.0)?;
        vault.invariant(&vault_account)?;
        worker.invariant(&worker_account)
    }
}

impl From<VouchedTotals> for Totals {
    fn from(vouched: VouchedTotals) -> Self {
        Self { tokens_in: vouched.tokens_in, tokens_out: vouched.tokens_out }
    }
}

impl From<Totals> for VouchedTotals {
    fn from(totals: Totals) -> Self {
        Self { tokens_in: totals.tokens_in, tokens_out: totals.tokens_out }
    }
}
