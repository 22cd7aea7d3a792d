//! Looks at the chain: what it shows of a job, booked.

use std::sync::Arc;
use std::time::Duration;

use chainference_chain::ChainError;
use chainference_chain::accounts::{Job as ChainJob, JobStatus};
use chainference_market::Lamports;

use super::life::{Event, Lock, OnChain};
use super::{Job, Refusal, Settlement, SettlementError, Shared, lock};
use crate::failpoint;
use crate::ledger::Write;

/// A call can arrive a moment before the node shows the job that it is for.
const SEE_TRIES: u32 = 20;
const SEE_PAUSE: Duration = Duration::from_millis(50);

impl Settlement {
    /// Looks at the chain once more; `true` where the job's stake has grown.
    pub async fn has_more_stake(&self, job: &Arc<Job>) -> bool {
        let stake = || lock(&job.life).stake();
        let before = stake();
        match self.0.look(job).await {
            Ok(seen) => self.0.tell(job, Event::Seen(seen)),
            Err(error) => tracing::debug!(%error, job = %job.address, "the stake is not known"),
        }
        stake() > before
    }
}

impl Shared {
    /// Waits until the chain shows the job locked by us on the quoted terms.
    pub(super) async fn see_locked(
        self: &Arc<Self>,
        job: &Arc<Job>,
    ) -> Result<(), SettlementError> {
        for _ in 0..SEE_TRIES {
            let found = self.chain.job(&job.address).await?;
            // An open one waits for our lock to land.
            if let Some(found) = found.filter(|found| found.status() != JobStatus::Open) {
                if !is_as_quoted(&found, job) {
                    return Err(SettlementError::TermsDiffer);
                }
                return self.seen_locked(job, &found).await;
            }
            tokio::time::sleep(SEE_PAUSE).await;
        }
        Err(Refusal::NotLocked.into())
    }

    /// Books what the chain shows of a job that was only quoted so far.
    pub(super) async fn seen_locked(
        self: &Arc<Self>,
        job: &Arc<Job>,
        found: &ChainJob,
    ) -> Result<(), SettlementError> {
        if found.status() == JobStatus::Locked {
            failpoint::reached("lock seen");
            let write = Write::Lock {
                job: job.address,
                prices: found.prices(),
                claim_until_unix_s: found.claim_until_unix_s,
                now_unix_s: self.time.now_unix_s(),
            };
            self.ledger.write(write).await?;
            failpoint::reached("lock booked");
        }
        self.tell(job, Event::Seen(on_chain(found)));
        Ok(())
    }

    /// What became of a lock that we sent. What isn't known yet, the sweep finds out.
    pub(super) async fn look_at_lock(self: &Arc<Self>, job: &Arc<Job>) {
        let booked = match self.chain.job(&job.address).await {
            Ok(Some(found)) if is_as_quoted(&found, job) => self.seen_locked(job, &found).await,
            Ok(Some(found)) if found.status() != JobStatus::Open => {
                self.tell(job, Event::Seen(OnChain::OfAnother));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = booked {
            tracing::warn!(%error, job = %job.address, "a lock could not be looked at");
        }
    }

    pub(super) async fn look(&self, job: &Job) -> Result<OnChain, ChainError> {
        match self.chain.job(&job.address).await? {
            Some(found) => Ok(on_chain(&found)),
            None => Ok(OnChain::Absent { block_height: self.chain.block_height().await? }),
        }
    }
}

pub(super) fn on_chain(found: &ChainJob) -> OnChain {
    match found.status() {
        JobStatus::Open => OnChain::Open,
        JobStatus::Locked => OnChain::Locked(Lock {
            claim_until_unix_s: found.claim_until_unix_s,
            prices: found.prices(),
            stake: Lamports(found.stake),
            credited: Lamports(found.credited),
        }),
        JobStatus::Settled => OnChain::Settled { cost: Lamports(found.credited) },
    }
}

/// The address binds vault, session key and slot; the rest is compared. Not the prices: those are our
/// own offer's at the moment of the lock, within what the client allows. The stake may have grown.
pub(super) fn is_as_quoted(found: &ChainJob, job: &Job) -> bool {
    found.worker == job.terms.worker
        && found.session_key == job.terms.session_key
        && found.stake >= job.terms.stake
        && found.serve_until_unix_s == job.terms.serve_until_unix_s
}
