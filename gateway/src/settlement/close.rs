//! The close of a job's account: its rent comes back, and the chain hears what the client said of it.

use chainference_chain::{
    Instruction, Signer, accounts,
    instruction::{self, CloseRequest, Compared},
};
use chainference_market::Lamports;

use super::{CallError, Settlement, job::Job, next::is_over, sweeper::stored};
use crate::{
    clock::{ChainTime, now_unix_ms},
    ledger::{JobRow, JobStatus, Judgement, LedgerError, TransactionKind, Verdict},
};

impl Settlement {
    /// Closes a settled job; one that is compared goes together with the other.
    pub(super) async fn close(
        &self,
        row: &JobRow,
        job: &Job,
        now: ChainTime,
    ) -> Result<(), CallError> {
        let judged = self.ledger.judgement(&row.id).await?;
        let verdict = judged.as_ref().map(|judged| judged.verdict);
        let Some(Judgement { compared_with: Some(other), .. }) = judged else {
            return self.close_one(row, job, verdict).await;
        };
        let other = self.ledger.job(&other).await?;
        let standing = other.as_ref().map_or(Pair::Broken, |other| pair(row, other, now));
        match (standing, verdict, &other) {
            // The better one takes the other with it, so that only one of them acts.
            (Pair::Waits, ..) | (Pair::Due, Some(Verdict::Worse), _) => Ok(()),
            (Pair::Due, _, Some(other)) => {
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
        let close = instruction::close(&CloseRequest {
            closer: self.key.pubkey(),
            vault: job.terms.vault,
            job: job.address,
            authority: job.terms.authority,
            feedback: said.map(|said| (job.terms.worker, feedback(said))),
        });
        if self.send_close(job, verdict, close).await? {
            self.ledger.close_job(&job.id(), now_unix_ms()).await?;
        }
        Ok(())
    }

    /// Whether the job's worker still has a record: who has retired has no reputation.
    async fn is_there(&self, job: &Job) -> Result<bool, CallError> {
        Ok(self.chain.worker(&job.terms.worker).await?.is_some())
    }

    /// Closes two compared jobs in one transaction, which is kept with the better one.
    async fn close_both(&self, better: &Job, worse: &Job) -> Result<(), CallError> {
        let compared = |job: &Job| Compared {
            job: job.address,
            worker: job.terms.worker,
            authority: job.terms.authority,
        };
        let both = [compared(better), compared(worse)];
        let (client, vault) = (self.key.pubkey(), better.terms.vault);
        let compare = instruction::compare(&client, &vault, both, accounts::Preferred::First);
        if self.send_close(better, Some(Verdict::Better), compare).await? {
            self.ledger.close_job(&better.id(), now_unix_ms()).await?;
            match self.ledger.close_job(&worse.id(), now_unix_ms()).await {
                // Its own sweep has seen that its account is gone.
                Err(LedgerError::Transition { .. }) => {}
                closed => closed?,
            }
        }
        Ok(())
    }

    /// Signs, stores, sends, and stores what came of it; `false` where a verdict came in between.
    async fn send_close(
        &self,
        job: &Job,
        verdict: Option<Verdict>,
        close: Instruction,
    ) -> Result<bool, CallError> {
        let (transaction, fee) = self.sign(close).await?;
        let kept = (&stored(&transaction), fee);
        if !self.ledger.store_close(&job.id(), verdict, kept, now_unix_ms()).await? {
            return Ok(false);
        }
        self.send(TransactionKind::Close, &transaction).await?;
        Ok(true)
    }
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
}
