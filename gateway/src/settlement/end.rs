//! The end of a job that was in use: the last voucher, and a look at what comes of it.

use chainference_chain::accounts;
use chainference_market::{Lamports, Totals};
use tokio::{
    sync::MutexGuard,
    time::{Instant, sleep},
};

use super::{
    CallError, Settlement,
    job::Job,
    session::{Lease, Session},
};
use crate::{clock::now_unix_ms, failpoint, limits, metrics};

impl Settlement {
    /// A call has ended, and `owed` is paid for it. Unless `is_even`, its worker may count more. A job
    /// that takes no more calls ends with its last one. Returns what the call costs.
    pub(super) fn settle(
        &self,
        lease: Lease,
        owed: Totals,
        is_even: bool,
        error: Option<String>,
    ) -> Lamports {
        let (cost, is_over) = lease.settle(owed, is_even);
        self.typical.observe(lease.job().terms.offer, cost);
        if is_over {
            self.end_soon(lease.session, error);
        }
        cost
    }

    /// Ends a job in a task of its own: nobody waits for it but the shutdown.
    pub(super) fn end_soon(&self, session: Session, error: Option<String>) {
        self.tasks.spawn(self.clone().end(session, error));
    }

    async fn end(self, session: Session, error: Option<String>) {
        let turn = self.lull.turn(limits::END_WAIT_MAX).await;
        // Whoever comes second finds it ended.
        let Some(owed) = session.stop().await else { return };
        let job = session.job();
        if let Err(error) = self.end_now(job, owed, error.as_deref(), turn).await {
            // The ledger or the chain failed; the sweeper tries again from what is stored.
            tracing::warn!(job = %job.address, %error, "a job's end is left to the sweeper");
        }
    }

    async fn end_now(
        &self,
        job: &Job,
        owed: Totals,
        error: Option<&str>,
        turn: Option<MutexGuard<'_, ()>>,
    ) -> Result<(), CallError> {
        self.ledger.end_job(&job.id(), error, now_unix_ms()).await?;
        failpoint::reached("job ended");
        let posted = self.vouch(job, &job.vouch(owed, true)).await;
        drop(turn);
        if let Err(error) = posted {
            tracing::warn!(job = %job.address, %error, "the worker did not take its last voucher");
            return self.finish(job).await;
        }
        failpoint::reached("last voucher posted");
        let until = Instant::now() + limits::SETTLE_WATCH;
        while Instant::now() < until {
            match self.chain.job(&job.address).await? {
                Some(found) if found.status() == accounts::JobStatus::Settled => {
                    return self.record_settled(job, &found).await;
                }
                Some(_) => sleep(limits::SETTLE_POLL).await,
                None => break,
            }
        }
        Ok(())
    }

    /// Books what the chain has settled, and says so where it is not what was vouched.
    pub(super) async fn record_settled(
        &self,
        job: &Job,
        settled: &accounts::Job,
    ) -> Result<(), CallError> {
        let id = job.id();
        let vouched = self.ledger.highest_voucher(&id).await?;
        let expected = settled.prices().cost(vouched.map_or(Totals::ZERO, |last| last.totals))?;
        let paid = Lamports(settled.credited);
        let refund = Lamports(settled.stake).minus(paid)?;
        let now_ms = now_unix_ms();
        let ended_ms = self.ledger.job(&id).await?.and_then(|row| row.ended_at_ms);
        self.ledger.restake_job(&id, Lamports(settled.stake), now_ms).await?;
        self.ledger.settle_job(&id, paid, refund, now_ms).await?;
        failpoint::reached("job settled");
        metrics::settled(paid, refund, now_ms - ended_ms.unwrap_or(now_ms));
        if paid > expected {
            tracing::error!(job = %id, %paid, %expected, "more was claimed than was vouched");
            self.ledger.note_on_job(&id, &format!("paid {paid}, vouched {expected}")).await?;
        } else if paid < expected {
            tracing::info!(job = %id, %paid, %expected, "the worker claimed less than was vouched");
        }
        Ok(())
    }
}
