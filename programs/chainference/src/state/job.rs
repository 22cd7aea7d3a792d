use anchor_lang::prelude::*;
use chainference_market::{
    self as market, limits::ALLOWED_WORKERS_MAX, Lamports, Prices, Status, Terms, Totals,
};

use super::{Offer, SharesBps, Worker};
use crate::error::{refuse, ProgramErrorCode};

/// A staked inference request. The rules of its life are `chainference_market::Job`; this is how it is
/// stored. It never holds a prompt: what is on chain is public for ever.
#[account]
#[derive(InitSpace, Debug, PartialEq, Eq)]
pub struct Job {
    pub version: u8,
    pub status: JobStatus,
    pub vault: Pubkey,
    /// The worker's record; all zeros until one has locked.
    pub worker: Pubkey,
    /// Published the job and paid its rent, which returns to it.
    pub authority: Pubkey,
    /// Signs this job's vouchers and moves nothing else.
    pub session_key: Pubkey,
    /// Makes the address unique: a slot shortly before publish.
    pub open_slot: u64,
    /// See [`super::model_hash`].
    pub model_hash: [u8; 32],
    /// The most that the job may cost, in lamports.
    pub stake: u64,
    /// Highest price that the client accepts, in lamports for 1,000,000 input tokens.
    pub max_price_in_per_mtok: u64,
    /// The same for output tokens.
    pub max_price_out_per_mtok: u64,
    pub serve_until_unix_s: i64,
    pub claim_until_unix_s: i64,
    /// The worker's time to claim after `serve_until`, or after the client finished, in seconds.
    pub grace_s: u32,
    pub filters: Filters,
    /// The offer's prices and the market's shares at lock: later changes never touch a live job.
    pub price_in_per_mtok: u64,
    pub price_out_per_mtok: u64,
    pub charge_min: u64,
    pub shares: SharesBps,
    /// The highest totals that were credited.
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// What was credited to the worker's record so far, fees included, in lamports.
    pub credited: u64,
    /// The platform's part of it, in lamports: the weight of the client's feedback.
    pub fees_platform: u64,
    /// When the job was settled; 0 before.
    pub settled_unix_s: i64,
    /// Records of the workers that may lock; empty: any that passes the filters.
    #[max_len(ALLOWED_WORKERS_MAX)]
    pub allowed: Vec<Pubkey>,
}

#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Published; a worker that passes may lock it.
    Open,
    /// One worker serves it.
    Locked,
    /// Paid and refunded; only the account is left.
    Settled,
}

/// What a client asks of a worker's reputation. All zeros: anyone passes.
#[derive(
    AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub struct Filters {
    /// Least success ratio, in basis points.
    pub success_bps_min: u16,
    /// Least platform fees on completed jobs, in lamports.
    pub fees_completed_min: u64,
}

impl Job {
    /// Bytes of an account that names `allowed` workers: shorter lists pay less rent.
    pub const fn space(allowed: usize) -> usize {
        Self::DISCRIMINATOR.len() + Self::INIT_SPACE - (ALLOWED_WORKERS_MAX - allowed) * 32
    }

    /// The job as the market's rules see it.
    pub fn rules(&self) -> Result<market::Job> {
        let terms = if self.worker == Pubkey::default() {
            None
        } else {
            Some(Terms { prices: self.prices(), shares: self.shares.checked()? })
        };
        Ok(market::Job {
            status: self.status.into(),
            stake: Lamports(self.stake),
            highest: Prices {
                input_per_mtok: self.max_price_in_per_mtok,
                output_per_mtok: self.max_price_out_per_mtok,
                charge_min: self.stake,
            },
            open_slot: self.open_slot,
            serve_until_unix_s: self.serve_until_unix_s,
            claim_until_unix_s: self.claim_until_unix_s,
            grace_s: self.grace_s,
            terms,
            totals: Totals { tokens_in: self.tokens_in, tokens_out: self.tokens_out },
            credited: Lamports(self.credited),
            settled_unix_s: self.settled_unix_s,
        })
    }

    /// Writes back what a step changed, once its invariant holds.
    pub fn store(&mut self, rules: &market::Job) -> Result<()> {
        require!(rules.invariant(), ProgramErrorCode::InvariantBroken);
        self.status = rules.status.into();
        self.claim_until_unix_s = rules.claim_until_unix_s;
        if let Some(terms) = rules.terms {
            self.price_in_per_mtok = terms.prices.input_per_mtok;
            self.price_out_per_mtok = terms.prices.output_per_mtok;
            self.charge_min = terms.prices.charge_min;
            self.shares = terms.shares.into();
        }
        self.tokens_in = rules.totals.tokens_in;
        self.tokens_out = rules.totals.tokens_out;
        self.credited = rules.credited.0;
        self.settled_unix_s = rules.settled_unix_s;
        Ok(())
    }

    /// The prices that the job was locked at.
    pub fn prices(&self) -> Prices {
        Prices {
            input_per_mtok: self.price_in_per_mtok,
            output_per_mtok: self.price_out_per_mtok,
            charge_min: self.charge_min,
        }
    }

    /// Whether this worker with this offer may lock the job: named, of the right model, and of the
    /// reputation that the client asked for.
    pub fn admit(
        &self,
        worker_key: &Pubkey,
        worker: &Worker,
        offer: &Offer,
        prior: u64,
    ) -> Result<()> {
        if offer.worker != *worker_key || offer.model_hash != self.model_hash || !offer.active {
            return refuse(ProgramErrorCode::WrongOffer);
        }
        if !self.allowed.is_empty() && !self.allowed.contains(worker_key) {
            return refuse(ProgramErrorCode::WorkerNotAllowed);
        }
        let passes = worker.success_bps(prior) >= self.filters.success_bps_min
            && worker.fees_completed >= self.filters.fees_completed_min;
        if passes {
            Ok(())
        } else {
            refuse(ProgramErrorCode::WorkerNotAllowed)
        }
    }
}

impl From<Status> for JobStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Open => Self::Open,
            Status::Locked => Self::Locked,
            Status::Settled => Self::Settled,
        }
    }
}

impl From<JobStatus> for Status {
    fn from(status: JobStatus) -> Self {
        match status {
            JobStatus::Open => Self::Open,
            JobStatus::Locked => Self::Locked,
            JobStatus::Settled => Self::Settled,
        }
    }
}
