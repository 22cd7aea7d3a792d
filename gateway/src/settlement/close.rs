//! The close of a job's account: its rent comes back, and the chain hears what the client said of it.

use chainference_chain::{
    Instruction, Signer, accounts,
    instruction::{self, CloseRequest, Compared},
};
use chainference_market::Lamports;

use super::{CallError, Settlement, job::Job, next::is_over};
use crate::{
    clock::{ChainTime, now_unix_ms},
    ledger::{JobRow, JobStatus, Judgement, StoredTransaction, TransactionKind, Verdict},
    limits::{self, CLOSE_GATHER_SLOTS, CLOSE_TOGETHER},
};

impl Settlement {
    /// Closes a settled job; one that is compared goes together with the other.
    pub(super) async fn close(
        &self,
        row: &JobRow,
        job: &Job,
        now: ChainTime,
    ) -> Result<(), CallError> {
        let verdict = row.judged.as_ref().map(|judged| judged.verdict);
        let Some(Judgement { compared_with: Some(other), .. }) = &row.judged else {
            return self.close_one(row, job, verdict).await;
        };
        let other = self.ledger.job(other).await?;
        let standing = other.as_ref().map_or(Pair::Broken, |other| pair(row, other, now));
        match (standing, verdict, &other) {
            // The better one takes the other with it, so that only one of them acts.
            (Pair::Waits, ..) | (Pair::Due, Some(Verdict::Worse), _) => Ok(()),
            (Pair::Due, _, Some(other)) => {
                let Some(_driven) = self.live.try_hold(&other.id) else { return Ok(()) };
                let other = Job::from_row(other)?;
                if self.is_there(job).await? && self.is_there(&other).await? {
                    self.close_both(job, &other).await
                } else {
                    self.close_one(row, job, verdict).await
                }
            }
            _ => self.close_one(row, job, verdict).await,
        }
    }

    async fn close_one(
        &self,
        row: &JobRow,
        job: &Job,
        verdict: Option<Verdict>,
    ) -> Result<(), CallError> {
        let mut said = verdict.and_then(spoken).filter(|_| row.paid > Lamports::ZERO);
        if said.is_some() && !self.is_there(job).await? {
            said = None;
        }
        let feedback = |verdict| accounts::Feedback { verdict, ..accounts::Feedback::NONE };
        let close = self.closing(job, said.map(feedback));
        self.send_close(&[(job, verdict)], &[close]).await
    }

    fn closing(&self, job: &Job, feedback: Option<accounts::Feedback>) -> Instruction {
        instruction::close(&CloseRequest {
            closer: self.key.pubkey(),
            vault: job.terms.vault,
            job: job.address,
            authority: job.terms.authority,
            feedback: feedback.map(|feedback| (job.terms.worker, feedback)),
        })
    }

    /// Whether the job's worker still has a record: who has retired has no reputation.
    async fn is_there(&self, job: &Job) -> Result<bool, CallError> {
        Ok(self.chain.worker(&job.terms.worker).await?.is_some())
    }

    /// Closes two compared jobs in one transaction, whose fee the better one bears.
    async fn close_both(&self, better: &Job, worse: &Job) -> Result<(), CallError> {
        let compared = |job: &Job| Compared {
            job: job.address,
            worker: job.terms.worker,
            authority: job.terms.authority,
        };
        let both = [compared(better), compared(worse)];
        let (client, vault) = (self.key.pubkey(), better.terms.vault);
        let compare = instruction::compare(&client, &vault, both, accounts::Preferred::First);
        let jobs = [(better, Some(Verdict::Better)), (worse, Some(Verdict::Worse))];
        self.send_close(&jobs, &[compare]).await
    }

    /// Closes jobs that [`closes_alike`] in one transaction; each alone where that is refused, so that one does not hold up the others.
    pub(super) async fn close_all(&self, rows: Vec<JobRow>, now: ChainTime) {
        self.lull.pause(limits::END_WAIT_MAX).await;
        match self.close_together(&rows).await {
            Ok(()) => {}
            Err(error @ CallError::ChainAway(_)) => {
                tracing::warn!(jobs = rows.len(), %error, "accounts could not be closed");
            }
            Err(error) => {
                tracing::debug!(jobs = rows.len(), %error, "closing one by one");
                for row in rows {
                    self.try_advance(row, now).await;
                }
            }
        }
    }

    async fn close_together(&self, rows: &[JobRow]) -> Result<(), CallError> {
        let mut jobs = Vec::new();
        for row in rows {
            let Some(driven) = self.live.try_hold(&row.id) else { continue };
            self.conclude_open(row).await?;
            jobs.push((row, Job::from_row(row)?, driven));
        }
        let addresses: Vec<_> = jobs.iter().map(|(_, job, _)| job.address).collect();
        let mut there = Vec::new();
        for ((row, job, _), found) in jobs.iter().zip(self.chain.jobs(&addresses).await?) {
            match found {
                Some(_) => there.push((job, None)),
                None => self.record_gone(row).await?,
            }
        }
        let closes: Vec<_> = there.iter().map(|(job, _)| self.closing(job, None)).collect();
        if closes.is_empty() { Ok(()) } else { self.send_close(&there, &closes).await }
    }

    /// Signs, stores, sends, and stores what came of it; nothing, where a verdict came in between.
    async fn send_close(
        &self,
        jobs: &[(&Job, Option<Verdict>)],
        closes: &[Instruction],
    ) -> Result<(), CallError> {
        let (transaction, fee) = self.sign(closes).await?;
        let ids: Vec<String> = jobs.iter().map(|(job, _)| job.id()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let told: Vec<_> = ids.iter().copied().zip(jobs.iter().map(|(_, told)| *told)).collect();
        let stored = StoredTransaction::from(&transaction);
        if self.ledger.store_close(&told, (&stored, fee), now_unix_ms()).await? {
            self.send(TransactionKind::Close, &transaction).await?;
            self.ledger.close_jobs(&ids, now_unix_ms()).await?;
        }
        Ok(())
    }
}

/// Whether the job's close is like any other's: it says nothing.
pub(super) fn closes_alike(row: &JobRow) -> bool {
    row.status == JobStatus::Settled && row.judged.is_none()
}

/// The jobs that may be closed, by transactions: those that fill one, and the rest once one has waited for long.
pub(super) fn gathered(due: Vec<JobRow>, now: ChainTime) -> Vec<Vec<JobRow>> {
    let has_waited = |row: &JobRow| is_over(row.open_slot.saturating_add(CLOSE_GATHER_SLOTS), now);
    let all = due.iter().any(has_waited);
    let chunks = due.chunks(CLOSE_TOGETHER).filter(|rows| all || rows.len() == CLOSE_TOGETHER);
    chunks.map(<[JobRow]>::to_vec).collect()
}

/// How the other of a pair stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    /// It can't be closed yet.
    Waits,
    /// Both can be closed together.
    Due,
    /// One of them is gone, or nothing was paid for it: there is nothing to compare.
    Broken,
}

fn pair(one: &JobRow, other: &JobRow, now: ChainTime) -> Pair {
    match other.status {
        JobStatus::Closed | JobStatus::Failed => Pair::Broken,
        JobStatus::Settled if one.paid.min(other.paid) == Lamports::ZERO => Pair::Broken,
        JobStatus::Settled if is_over(other.open_slot, now) => Pair::Due,
        _ => Pair::Waits,
    }
}

/// What the chain hears of a job that is closed alone.
fn spoken(verdict: Verdict) -> Option<accounts::Verdict> {
    match verdict {
        Verdict::Ok => Some(accounts::Verdict::Ok),
        Verdict::Flag => Some(accounts::Verdict::Flag),
        Verdict::Better | Verdict::Worse => None,
    }
}

#[cfg(test)]
mod tests {
    use chainference_market::Prices;

    use super::*;
    use crate::{ledger::SessionKey, limits::CLOSE_AFTER_SLOTS};

    fn row(status: JobStatus, paid: u64, open_slot: u64) -> JobRow {
        JobRow {
            id: "J".into(),
            status,
            worker: "W".into(),
            endpoint: String::new(),
            session_key: SessionKey(String::new()),
            terms: String::new(),
            open_slot,
            stake: Lamports(9),
            prices: Prices { input_per_mtok: 1, output_per_mtok: 1, charge_min: 1 },
            paid: Lamports(paid),
            ended_at_ms: None,
            judged: None,
        }
    }

    #[test]
    fn a_pair_waits_for_both_and_is_none_where_one_is_gone_or_unpaid() {
        use JobStatus::{Closed, Ended, Failed, Locked, Settled};
        let now = ChainTime { slot: 100 + CLOSE_AFTER_SLOTS, unix_s: 0 };
        let one = |paid| row(Settled, paid, 50);
        for (status, paid, open_slot, ours, expected) in [
            (Locked, 0, 99, 5, Pair::Waits),
            (Ended, 0, 99, 5, Pair::Waits),
            (Settled, 5, 100, 5, Pair::Waits),
            (Settled, 5, 99, 5, Pair::Due),
            (Settled, 0, 99, 5, Pair::Broken),
            (Settled, 5, 99, 0, Pair::Broken),
            (Closed, 5, 99, 5, Pair::Broken),
            (Failed, 0, 99, 5, Pair::Broken),
        ] {
            let other = row(status, paid, open_slot);
            assert_eq!(pair(&one(ours), &other, now), expected, "{status:?} {paid} {open_slot}");
        }
    }

    #[test]
    fn fewer_than_fit_wait_for_others_and_not_for_ever() {
        let now = ChainTime { slot: 100 + CLOSE_AFTER_SLOTS + CLOSE_GATHER_SLOTS, unix_s: 0 };
        let due = |jobs, oldest| {
            let mut all = vec![row(JobStatus::Settled, 5, oldest + 1); jobs];
            all.extend((jobs > 0).then(|| row(JobStatus::Settled, 5, oldest)));
            gathered(all, now).iter().map(Vec::len).sum::<usize>()
        };
        assert_eq!(
            (due(0, 100), due(CLOSE_TOGETHER - 2, 100), due(CLOSE_TOGETHER, 100)),
            (0, 0, CLOSE_TOGETHER)
        );
        assert_eq!(due(2 * CLOSE_TOGETHER, 100), 2 * CLOSE_TOGETHER);
        assert_eq!((due(1, 99), due(CLOSE_TOGETHER, 99)), (2, CLOSE_TOGETHER + 1));
    }
}
