//! The beat of the settlement: deadlines each second, the chain's own view from time to time, and
//! the drain at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chainference_chain::accounts::Job as ChainJob;
use chainference_chain::{ChainError, Pubkey};
use tokio_util::sync::CancellationToken;

use super::life::{Event, OnChain};
use super::look::{is_as_quoted, on_chain};
use super::{Job, Settlement, Shared, lock};
use crate::metrics;

const TICK: Duration = Duration::from_secs(1);
const DRAIN_POLL: Duration = Duration::from_millis(50);

impl Settlement {
    /// Watches deadlines and the chain until `shutdown`.
    pub async fn watch(&self, sweep_s: u32, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut until_sweep_s = 0;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let jobs = self.0.all_jobs();
            metrics::jobs_live(jobs.len());
            for job in &jobs {
                self.0.tell(job, Event::Tick);
            }
            if until_sweep_s > 0 {
                until_sweep_s -= 1;
                continue;
            }
            until_sweep_s = sweep_s.saturating_sub(1);
            if let Err(error) = self.0.sweep(&jobs).await {
                tracing::warn!(%error, "the chain is away: serving goes on, claims wait");
            }
        }
    }

    /// Takes nothing new, lets running calls end, claims what is owed, for at most `drain`. What is
    /// left is in the ledger and is claimed after the next start.
    pub async fn drain(&self, drain: Duration) {
        let shared = &self.0;
        shared.is_draining.store(true, Ordering::Relaxed);
        for job in shared.all_jobs() {
            shared.tell(&job, Event::Drain);
        }
        let settled = async {
            // Only the chain knows whether a job that was quoted and not yet called is locked.
            if let Err(error) = shared.sweep(&shared.all_jobs()).await {
                tracing::warn!(%error, "the chain is away: jobs that were not called stay locked");
            }
            while shared.all_jobs().iter().any(|job| !lock(&job.life).is_quoted()) {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(drain, settled).await.is_err() {
            let left = shared.all_jobs().len();
            tracing::warn!(
                left,
                "jobs are left in the ledger and are claimed after the next start"
            );
        }
        shared.stop.cancel();
        shared.tasks.close();
        // Submitting bounds itself; what it knows by then is stored.
        tokio::time::timeout(Duration::from_secs(2), shared.tasks.wait()).await.ok();
    }

    /// Nothing new is taken from here on.
    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(super) fn all_jobs(&self) -> Vec<Arc<Job>> {
        lock(&self.jobs).values().cloned().collect()
    }

    /// Compares every live job with the chain: deadlines that shrank, quotes that were used or
    /// expired, jobs that others settled.
    async fn sweep(self: &Arc<Self>, jobs: &[Arc<Job>]) -> Result<(), ChainError> {
        let worker = &self.settings.worker;
        let (clock, record) = tokio::try_join!(self.chain.clock(), self.chain.worker(worker))?;
        self.time.set(clock.unix_s);
        if let Some(record) = record {
            self.seen_record(&record);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        // The height is read first: a quote used in between is found on chain, not dropped.
        let block_height = self.chain.block_height().await?;
        let on_chain_now = self.chain.jobs(&addresses(jobs)).await?;
        for (job, found) in jobs.iter().zip(on_chain_now) {
            match found.filter(|found| found.worker == *worker) {
                Some(found) => self.compare(job, &found).await,
                None => self.tell(job, Event::Seen(OnChain::Absent { block_height })),
            }
        }
        self.look_for_final_locks(jobs).await
    }

    /// Locks that the cluster has made final lift the cap on what is served.
    async fn look_for_final_locks(self: &Arc<Self>, jobs: &[Arc<Job>]) -> Result<(), ChainError> {
        let is_waiting = |job: &Arc<Job>| {
            let life = lock(&job.life);
            !life.is_quoted() && !life.is_final()
        };
        let waiting: Vec<_> = jobs.iter().filter(|job| is_waiting(job)).cloned().collect();
        let finalized = self.chain.finalized_jobs(&addresses(&waiting)).await?;
        for (job, found) in waiting.iter().zip(finalized) {
            if found.is_some_and(|found| found.worker == self.settings.worker) {
                self.tell(job, Event::LockFinal);
            }
        }
        Ok(())
    }

    async fn compare(self: &Arc<Self>, job: &Arc<Job>, found: &ChainJob) {
        if !lock(&job.life).is_quoted() {
            return self.tell(job, Event::Seen(on_chain(found)));
        }
        if !is_as_quoted(found, job) {
            tracing::error!(job = %job.address, "the job on chain is not the one that was quoted");
        }
        if let Err(error) = self.seen_locked(job, found).await {
            tracing::error!(%error, job = %job.address, "a lock could not be stored");
        }
    }
}

fn addresses(jobs: &[Arc<Job>]) -> Vec<Pubkey> {
    jobs.iter().map(|job| job.address).collect()
}
