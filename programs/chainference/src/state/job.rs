use anchor_lang::prelude::*;
use chainference_market::{self as market, Lamports, Prices, Shares, Terms, Totals};

use super::{Offer, Stored, Worker};
use crate::error::{FromMarket, ProgramErrorCode};

pub use chainference_market::Status as JobStatus;

/// A staked inference request. The rules of its life are `chainference_market::Job`; this is how it is
/// stored. It never holds a prompt: what is on chain is public for ever.
///
/// Behind these fields lie the records of the workers that may lock it, 32 bytes each ([`Job::allowed`]);
/// none: any that passes the filters.
#[account(zero_copy, discriminator = b"cf.job\0\x01")]
#[derive(Debug, PartialEq, Eq)]
pub struct Job {
    pub vault: Pubkey,
    /// The worker's record; all zeros until one has locked.
    pub worker: Pubkey,
    /// Published the job and paid its rent, which returns to it.
    pub authority: Pubkey,
    /// Signs this job's vouchers and moves nothing else.
    pub session_key: Pubkey,
    /// See [`super::model_hash`].
    pub model_hash: [u8; 32],
    /// Makes the address unique: a slot shortly before publish.
    pub open_slot: u64,
    /// The most that the job may cost, in lamports.
    pub stake: u64,
    /// Highest price that the client accepts, in lamports for 1,000,000 input tokens.
    pub max_price_in_per_mtok: u64,
    /// The same for output tokens.
    pub max_price_out_per_mtok: u64,
    /// Highest `charge_min` that the client accepts, in lamports.
    pub max_charge_min: u64,
    pub serve_until_unix_s: i64,
    pub claim_until_unix_s: i64,
    /// The offer's prices and, below, the shares and the worker's rating at lock: later changes never touch a
    /// live job.
    pub price_in_per_mtok: u64,
    pub price_out_per_mtok: u64,
    pub charge_min: u64,
    /// The highest totals that were credited.
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// What was credited to the worker's record so far, fees included, in lamports.
    pub credited: u64,
    /// The platform's part of it, in lamports: the weight of the client's feedback.
    pub fees_platform: u64,
    /// When the job was settled; 0 before.
    pub settled_unix_s: i64,
    /// Of [`Filters`].
    pub fees_completed_min: u64,
    /// The worker's time to claim after `serve_until`, or after the client finished, in seconds.
    pub grace_s: u32,
    /// Of [`Filters`].
    pub success_bps_min: u16,
    /// Of [`Filters`].
    pub preference_bps_min: u16,
    /// Shares of the cost in basis points; the platform has the rest.
    pub worker_bps: u16,
    pub stakers_bps: u16,
    /// The worker's rating, in basis points.
    pub rating_bps: u16,
    /// See [`JobStatus`].
    pub status: u8,
    pub padding: u8,
}

/// What a client asks of a worker's reputation. All zeros: anyone passes.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Least platform fees on completed jobs, in lamports.
    pub fees_completed_min: u64,
    /// Least success ratio, in basis points.
    pub success_bps_min: u16,
    /// Least preference ratio, in basis points.
    pub preference_bps_min: u16,
}

impl Job {
    /// Bytes of an account that names `allowed` workers: shorter lists pay less rent.
    pub const fn space(allowed: usize) -> usize {
        Self::BYTES + 32 * allowed
    }

    /// The workers named in an account's data; `None` where the data isn't a job's.
    pub fn allowed(data: &[u8]) -> Option<&[Pubkey]> {
        bytemuck::try_cast_slice(data.get(Self::BYTES..)?).ok()
    }

    /// Writes the names of the workers behind a new account's fixed part.
    pub fn set_allowed(data: &mut [u8], allowed: &[Pubkey]) {
        data[Self::BYTES..].copy_from_slice(bytemuck::cast_slice(allowed));
    }

    pub fn status(&self) -> JobStatus {
        match self.status {
            0 => JobStatus::Open,
            1 => JobStatus::Locked,
            _ => JobStatus::Settled,
        }
    }

    /// The job as the market's rules see it.
    pub fn rules(&self) -> Result<market::Job> {
        let was_locked = self.worker != Pubkey::default();
        let terms = match was_locked {
            true => Some(Terms { prices: self.prices(), shares: self.shares()? }),
            false => None,
        };
        Ok(market::Job {
            status: self.status(),
            stake: Lamports(self.stake),
            highest: Prices {
                input_per_mtok: self.max_price_in_per_mtok,
                output_per_mtok: self.max_price_out_per_mtok,
                charge_min: self.max_charge_min,
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

    /// Writes what the rules know, once their invariant holds.
    pub fn store(&mut self, rules: &market::Job) -> Result<()> {
        require!(rules.invariant(), ProgramErrorCode::InvariantBroken);
        self.status = rules.status as u8;
        self.stake = rules.stake.0;
        self.max_price_in_per_mtok = rules.highest.input_per_mtok;
        self.max_price_out_per_mtok = rules.highest.output_per_mtok;
        self.max_charge_min = rules.highest.charge_min;
        self.open_slot = rules.open_slot;
        self.grace_s = rules.grace_s;
        self.serve_until_unix_s = rules.serve_until_unix_s;
        self.claim_until_unix_s = rules.claim_until_unix_s;
        if let Some(terms) = rules.terms {
            self.price_in_per_mtok = terms.prices.input_per_mtok;
            self.price_out_per_mtok = terms.prices.output_per_mtok;
            self.charge_min = terms.prices.charge_min;
            self.worker_bps = terms.shares.worker_bps();
            self.stakers_bps = terms.shares.stakers_bps();
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

    /// The shares that the job was locked at.
    pub fn shares(&self) -> Result<Shares> {
        let named = self.worker_bps.saturating_add(self.stakers_bps);
        Shares::new(self.worker_bps, self.stakers_bps, 10_000u16.saturating_sub(named)).or_refuse()
    }

    /// Whether this worker with this offer may lock the job: of the right model, and of the reputation that
    /// the client asked for.
    pub fn admit(&self, worker: &Worker, offer: &Offer, prior: u64) -> Result<()> {
        let is_offered = offer.model_hash == self.model_hash && offer.active();
        require!(is_offered, ProgramErrorCode::WrongOffer);
        let reputation = market::Reputation::from(worker.reputation);
        let passes = reputation.success_bps(prior) >= self.success_bps_min
            && reputation.preference_bps(prior) >= self.preference_bps_min
            && reputation.fees_completed >= self.fees_completed_min;
        require!(passes, ProgramErrorCode::WorkerNotAllowed);
        Ok(())
    }
}
