//! Claims: signed, written down, sent until they land or expire; and the look at the chain that
//! settles a doubt.

use std::sync::Arc;
use std::time::Duration;

use chainference_chain::accounts::{Job as ChainJob, JobStatus};
use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{ChainError, SignedTransaction, Signer, SubmitError};
use chainference_market::{Lamports, Totals};

use super::life::{Event, OnChain};
use super::{Job, SettlementError, Shared, lock};
use crate::ledger::{ClaimEnd, StoredClaim, StoredVoucher, Write};
use crate::metrics;

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// A call can arrive a moment before the node shows the job that it is for.
const SEE_TRIES: u32 = 20;
const SEE_PAUSE: Duration = Duration::from_millis(50);

impl Shared {
    /// Claims a job finally. `None`: the worker stops before the outcome is known; the ledger has it.
    pub(super) async fn claim(
        &self,
        job: &Job,
        voucher: Option<StoredVoucher>,
    ) -> Option<ClaimEnd> {
        let _permit = self.claims_at_once.acquire().await.ok()?;
        let claim = match self.sign_claim(job, voucher).await? {
            Ok(claim) => claim,
            Err(error) => {
                tracing::error!(%error, job = %job.address, "a claim could not be made");
                return Some(ClaimEnd::Rejected);
            }
        };
        self.send_claim(job, claim).await
    }

    /// Signs a claim and stores it. Waits for the chain as long as the worker runs.
    async fn sign_claim(
        &self,
        job: &Job,
        voucher: Option<StoredVoucher>,
    ) -> Option<Result<StoredClaim, SettlementError>> {
        let mut pause = PAUSE_MIN;
        let blockhash = loop {
            match self.chain.blockhash().await {
                Ok(blockhash) => break blockhash,
                Err(error) => tracing::warn!(%error, "the chain is away, claims wait"),
            }
            self.sleep(&mut pause).await?;
        };
        let vouched = voucher.filter(|voucher| !voucher.totals.is_zero());
        let request = ClaimRequest {
            operator: self.settings.operator.pubkey(),
            worker: job.terms.worker,
            vault: job.terms.vault,
            job: job.address,
            voucher: vouched.map(|voucher| (voucher.totals, voucher.signature)),
            is_final: true,
        };
        let claim = instruction::claim(&request);
        let signed = SignedTransaction::sign(&[claim], &self.settings.operator, &[], &blockhash);
        let totals = vouched.map_or(Totals::ZERO, |voucher| voucher.totals);
        Some(match signed {
            Ok(signed) => self.store_claim(job, signed, totals).await,
            Err(error) => Err(error.into()),
        })
    }

    async fn store_claim(
        &self,
        job: &Job,
        signed: SignedTransaction,
        totals: Totals,
    ) -> Result<StoredClaim, SettlementError> {
        let claim = StoredClaim {
            signature: signed.signature,
            wire: signed.wire,
            last_valid_block_height: signed.last_valid_block_height,
            totals,
        };
        let now_unix_s = self.time.now_unix_s();
        let write = Write::BeginClaim { job: job.address, claim: claim.clone(), now_unix_s };
        let is_only = self.ledger.write(write).await?;
        if is_only { Ok(claim) } else { Err(SettlementError::ClaimPending) }
    }

    /// Sends a stored claim, the same bytes again and again, until its fate is known.
    async fn send_claim(&self, job: &Job, claim: StoredClaim) -> Option<ClaimEnd> {
        let signed = SignedTransaction {
            signature: claim.signature,
            wire: claim.wire,
            last_valid_block_height: claim.last_valid_block_height,
        };
        let mut pause = PAUSE_MIN;
        let (end, error) = loop {
            match self.chain.submit(&signed).await {
                Ok(()) => break (ClaimEnd::Landed, None),
                Err(SubmitError::Expired) => break (ClaimEnd::Expired, None),
                Err(SubmitError::Unreachable(error)) => {
                    tracing::warn!(%error, job = %job.address, "the chain is away, the claim waits");
                }
                Err(error) => break (ClaimEnd::Rejected, Some(error.to_string())),
            }
            self.sleep(&mut pause).await?;
        };
        match &error {
            None => tracing::info!(job = %job.address, ?end, "claim ended"),
            Some(error) => tracing::warn!(job = %job.address, error, "claim rejected"),
        }
        metrics::claim_ended(end);
        let now_unix_s = self.time.now_unix_s();
        let write = Write::EndClaim { signature: claim.signature, end, error, now_unix_s };
        if let Err(error) = self.ledger.write(write).await {
            tracing::error!(%error, job = %job.address, "a claim's end could not be stored");
        }
        Some(end)
    }

    /// Goes on with a claim that was on its way when the worker stopped.
    pub(super) fn resume_claim(self: &Arc<Self>, job: Arc<Job>, claim: StoredClaim) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Some(end) = shared.send_claim(&job, claim).await {
                shared.tell(&job, Event::ClaimEnded(end));
            }
        });
    }

    /// Waits until the chain shows the job locked by us on the quoted terms.
    pub(super) async fn see_locked(
        self: &Arc<Self>,
        job: &Arc<Job>,
    ) -> Result<(), SettlementError> {
        for _ in 0..SEE_TRIES {
            if let Some(found) = self.chain.job(&job.address).await? {
                if !is_as_quoted(&found, job) {
                    return Err(SettlementError::TermsDiffer);
                }
                return self.seen_locked(job, &found).await;
            }
            tokio::time::sleep(SEE_PAUSE).await;
        }
        Err(super::Refusal::NotLocked.into())
    }

    /// Books what the chain shows of a job that was only quoted so far.
    pub(super) async fn seen_locked(
        self: &Arc<Self>,
        job: &Arc<Job>,
        found: &ChainJob,
    ) -> Result<(), SettlementError> {
        if found.status() == JobStatus::Locked {
            let write = Write::Lock {
                job: job.address,
                prices: found.prices(),
                claim_until_unix_s: found.claim_until_unix_s,
                now_unix_s: self.time.now_unix_s(),
            };
            self.ledger.write(write).await?;
        }
        self.tell(job, Event::Seen(on_chain(found)));
        Ok(())
    }

    pub(super) async fn look(&self, job: &Job) -> Result<OnChain, ChainError> {
        match self.chain.job(&job.address).await? {
            Some(found) => Ok(on_chain(&found)),
            None => Ok(OnChain::Absent { block_height: self.chain.block_height().await? }),
        }
    }

    /// Backs off; `None` once the worker stops.
    async fn sleep(&self, pause: &mut Duration) -> Option<()> {
        let length = *pause;
        *pause = (length * 2).min(PAUSE_MAX);
        self.stop.run_until_cancelled(tokio::time::sleep(length)).await
    }
}

pub(super) fn on_chain(found: &ChainJob) -> OnChain {
    match found.status() {
        JobStatus::Open => OnChain::Open,
        JobStatus::Locked => {
            OnChain::Locked { claim_until_unix_s: found.claim_until_unix_s, prices: found.prices() }
        }
        JobStatus::Settled => OnChain::Settled { cost: Lamports(found.credited) },
    }
}

/// The address binds vault, session key and slot; the rest is compared.
pub(super) fn is_as_quoted(found: &ChainJob, job: &Job) -> bool {
    let quoted = lock(&job.life).prices();
    found.worker == job.terms.worker
        && found.session_key == job.terms.session_key
        && found.stake == job.terms.stake
        && found.serve_until_unix_s == job.terms.serve_until_unix_s
        && found.prices() == quoted
}
