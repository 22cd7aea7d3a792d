//! Brings every job to its end that no call drives any more: after a call, after a crash, after a
//! worker's death. Each round looks at ledger and chain anew, so that it can be cut at any point.

use chainference_chain::{
    Instruction, SignedTransaction, Signer, SubmitError, accounts, instruction,
};
use chainference_market::{Lamports, Totals};
use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    CallError, Settlement,
    close::{closes_alike, gathered},
    job::Job,
    next::{Known, OnChain, Step, next},
    prepare::fee,
};
use crate::{
    clock::{ChainTime, now_unix_ms},
    failpoint,
    ledger::{JobRow, JobStatus, StoredTransaction, TransactionKind},
    limits::{self, CLOSE_AFTER_SLOTS},
};

impl Settlement {
    /// Sweeps until `stop`. The first round, at once, is the recovery after a crash.
    pub async fn sweep_until(self, stop: CancellationToken) {
        let mut tick = interval(limits::SWEEP_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.lull.pause(limits::END_WAIT_MAX).await;
            // Without the chain's time there is nothing to decide.
            let Ok(snapshot) = self.directory.snapshot() else { continue };
            if let Err(error) = self.sweep(snapshot.time).await {
                tracing::error!(%error, "the ledger could not be swept");
            }
        }
    }

    async fn sweep(&self, now: ChainTime) -> Result<(), CallError> {
        let due = self.ledger.jobs_to_move(now.slot.saturating_sub(CLOSE_AFTER_SLOTS)).await?;
        let (alike, others): (Vec<JobRow>, Vec<JobRow>) = due.into_iter().partition(closes_alike);
        stream::iter(others)
            .for_each_concurrent(limits::SWEEP_CONCURRENCY, async |row| {
                self.try_advance(row, now).await
            })
            .await;
        stream::iter(gathered(alike, now))
            .for_each_concurrent(limits::SWEEP_CONCURRENCY, async |rows| {
                self.close_all(rows, now).await
            })
            .await;
        Ok(())
    }

    /// Takes a job's next step, unless a call drives it.
    pub(super) async fn try_advance(&self, row: JobRow, now: ChainTime) {
        self.lull.pause(limits::BOOKS_WAIT_MAX).await;
        let Some(_driven) = self.live.try_hold(&row.id) else { return };
        if let Err(error) = self.advance(&row.id, now).await {
            tracing::warn!(job = %row.id, %error, "a job could not be moved on");
        }
    }

    /// One step of one job, from what ledger and chain say now.
    async fn advance(&self, id: &str, now: ChainTime) -> Result<(), CallError> {
        let Some(row) = self.ledger.job(id).await? else { return Ok(()) };
        let job = Job::from_row(&row)?;
        self.conclude_open(&row).await?;
        let found = self.chain.job(&job.address).await?;
        let finish = self.ledger.open_transaction(id, TransactionKind::Finish).await?;
        let known = Known {
            status: row.status,
            open_slot: row.open_slot,
            ended_for_s: row.ended_at_ms.map_or(0, |ended| (now_unix_ms() - ended) / 1_000),
            finished: finish.is_some(),
        };
        let on_chain = found.as_ref().map(|job| OnChain {
            status: job.status(),
            claim_until_unix_s: job.claim_until_unix_s,
        });
        let step = next(known, on_chain, now);
        if step != Step::Wait {
            tracing::debug!(job = %id, ?step, "sweeping");
        }
        self.take(step, &row, &job, (found.as_ref(), now)).await
    }

    async fn take(
        &self,
        step: Step,
        row: &JobRow,
        job: &Job,
        (found, now): (Option<&accounts::Job>, ChainTime),
    ) -> Result<(), CallError> {
        let id = row.id.as_str();
        match step {
            Step::Wait => Ok(()),
            Step::Fail => Ok(self.ledger.fail_job(id, "it was never sent", now_unix_ms()).await?),
            Step::Resubmit => self.resubmit(id, job).await,
            Step::End => self.end_stored(row).await,
            Step::PostLast => self.post_last(job).await,
            Step::Finish => self.finish(job).await,
            Step::Expire => self.expire(job, found).await,
            Step::RecordSettled => match found {
                Some(found) => {
                    self.lock_stored(row).await?;
                    self.record_settled(job, found).await
                }
                None => Ok(()),
            },
            Step::Close => self.close(row, job, now).await,
            Step::RecordClosed => self.record_gone(row).await,
        }
    }

    /// What became of the transactions that were sent before the gateway last stopped: the same bytes,
    /// sent again, tell, and nothing else is signed before. Publishing is [`Self::resubmit`]'s while the job
    /// hangs on it.
    pub(super) async fn conclude_open(&self, row: &JobRow) -> Result<(), CallError> {
        if row.status == JobStatus::Submitted {
            return Ok(());
        }
        for stored in self.ledger.signed_transactions(&row.id).await? {
            let Some(transaction) = restore(stored) else { continue };
            let outcome = self.chain.submit(&transaction).await;
            self.conclude(&transaction, &outcome).await?;
            if let Err(error @ SubmitError::Unreachable(_)) = outcome {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The transaction may or may not have landed: the same bytes tell.
    async fn resubmit(&self, id: &str, job: &Job) -> Result<(), CallError> {
        let publish = self.ledger.open_transaction(id, TransactionKind::Publish).await?;
        let stored = publish.and_then(restore);
        let Some(transaction) = stored else {
            let reason = "its transaction was refused or is lost";
            return Ok(self.ledger.fail_job(id, reason, now_unix_ms()).await?);
        };
        let outcome = self.submit_publish(job, &transaction).await;
        self.conclude(&transaction, &outcome).await?;
        match outcome {
            Ok(()) => {
                let rent = self.job_rent().await?;
                Ok(self.ledger.lock_job(id, rent, now_unix_ms()).await?)
            }
            Err(error @ SubmitError::Unreachable(_)) => Err(error.into()),
            Err(error) => Ok(self.ledger.fail_job(id, &error.to_string(), now_unix_ms()).await?),
        }
    }

    /// A job that was found on chain before its lock was booked.
    async fn lock_stored(&self, row: &JobRow) -> Result<(), CallError> {
        if row.status == JobStatus::Submitted {
            let rent = self.job_rent().await?;
            self.ledger.lock_job(&row.id, rent, now_unix_ms()).await?;
        }
        Ok(())
    }

    async fn end_stored(&self, row: &JobRow) -> Result<(), CallError> {
        self.lock_stored(row).await?;
        let reason = Some("no call used it any more");
        Ok(self.ledger.end_job(&row.id, reason, now_unix_ms()).await?)
    }

    /// Offers the worker the highest voucher that it was ever promised.
    async fn post_last(&self, job: &Job) -> Result<(), CallError> {
        let highest = self.ledger.highest_voucher(&job.id()).await?;
        let totals = highest.map_or(Totals::ZERO, |voucher| voucher.totals);
        self.vouch(job, &job.vouch(totals, true)).await
    }

    pub(super) async fn finish(&self, job: &Job) -> Result<(), CallError> {
        let client = self.key.pubkey();
        let finish = instruction::finish(&client, &job.terms.vault, &job.address);
        self.send_stored(job, TransactionKind::Finish, finish).await
    }

    async fn expire(&self, job: &Job, found: Option<&accounts::Job>) -> Result<(), CallError> {
        let locked = found.is_some_and(|found| found.status() == accounts::JobStatus::Locked);
        let worker = locked.then_some(job.terms.worker);
        let expire = instruction::expire(&job.terms.vault, &job.address, worker);
        self.send_stored(job, TransactionKind::Expire, expire).await
    }

    /// Someone else closed the account: an hour after the settlement anyone may.
    pub(super) async fn record_gone(&self, row: &JobRow) -> Result<(), CallError> {
        if row.status != JobStatus::Settled {
            let note = "its account was closed before its settlement was seen";
            tracing::warn!(job = %row.id, "{note}");
            self.ledger.note_on_job(&row.id, note).await?;
        }
        Ok(self.ledger.close_jobs(&[&row.id], now_unix_ms()).await?)
    }

    /// Signs, stores, sends, and stores what came of it.
    async fn send_stored(
        &self,
        job: &Job,
        kind: TransactionKind,
        instruction: Instruction,
    ) -> Result<(), CallError> {
        let (transaction, _) = self.sign(&[instruction]).await?;
        self.store(&job.id(), kind, &transaction).await?;
        self.send(kind, &transaction).await
    }

    /// Signs, and says what the network takes for it.
    pub(super) async fn sign(
        &self,
        instructions: &[Instruction],
    ) -> Result<(SignedTransaction, Lamports), CallError> {
        let blockhash = self.chain.blockhash().await?;
        let transaction = SignedTransaction::sign(instructions, &self.key, &[], &blockhash)
            .map_err(|error| CallError::Refused(error.to_string()))?;
        let fee = fee(&transaction);
        Ok((transaction, fee))
    }

    /// Sends what is stored, and stores what came of it.
    pub(super) async fn send(
        &self,
        kind: TransactionKind,
        transaction: &SignedTransaction,
    ) -> Result<(), CallError> {
        failpoint::reached(&format!("{} stored", kind.name()));
        let outcome = self.chain.submit(transaction).await;
        failpoint::reached(&format!("{} sent", kind.name()));
        self.conclude(transaction, &outcome).await?;
        Ok(outcome?)
    }

    pub(super) async fn store(
        &self,
        job: &str,
        kind: TransactionKind,
        transaction: &SignedTransaction,
    ) -> Result<(), CallError> {
        let (stored, fee) = (transaction.into(), fee(transaction));
        Ok(self.ledger.store_transaction(job, kind, &stored, fee, now_unix_ms()).await?)
    }
}

fn restore(stored: StoredTransaction) -> Option<SignedTransaction> {
    Some(SignedTransaction {
        signature: stored.signature.parse().ok()?,
        wire: stored.wire,
        last_valid_block_height: stored.last_valid_block_height,
    })
}
