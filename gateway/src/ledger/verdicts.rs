//! What clients say of the jobs that they paid for. It waits here for the job's close, which tells the
//! chain: so there is one verdict a job, and none once the close is signed.

use chainference_market::Lamports;
use serde::Serialize;
use sqlx::{Connection, Row, Sqlite, Transaction, sqlite::SqliteRow};
use thiserror::Error;

use super::{
    JobStatus, Ledger, LedgerError, StoredTransaction, TransactionKind,
    transactions::insert_transaction,
};

/// What a client says of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Flag,
    /// Of two jobs that were compared: the one with the preferred answer …
    Better,
    /// … and the other.
    Worse,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Flag => "flag",
            Self::Better => "better",
            Self::Worse => "worse",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Flag, Self::Better, Self::Worse].into_iter().find(|one| one.name() == name)
    }
}

/// What was said of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The other of a pair.
    pub compared_with: Option<String>,
}

/// Who judges, and why.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    pub key_id: &'a str,
    /// Kept in the ledger alone.
    pub reason: Option<&'a str>,
}

/// Why a job can't be judged.
#[derive(Debug, Error)]
pub enum JudgeError {
    #[error("the job {job} is {} and can't be judged", .status.name())]
    NotLive { job: String, status: JobStatus },
    #[error("nothing was paid for the job {job}")]
    Unpaid { job: String },
    #[error("the job {job} is being closed")]
    Closing { job: String },
    #[error("the job {job} was judged by another key, or compared")]
    Judged { job: String },
    #[error("the jobs can't be compared: {0}")]
    NotComparable(&'static str),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<sqlx::Error> for JudgeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl Ledger {
    /// Keeps what a client says of a job for its close. Whoever said something may think again.
    ///
    /// # Errors
    /// [`JudgeError`]; then nothing changes.
    pub async fn judge(
        &self,
        job: &str,
        verdict: Verdict,
        judge: Judge<'_>,
        now_ms: i64,
    ) -> Result<(), JudgeError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        write(&mut all, job, (verdict, None), judge, now_ms).await?;
        Ok(all.commit().await?)
    }

    /// Keeps which of two jobs had the better answer, for their common close. Once said, it stays.
    ///
    /// # Errors
    /// [`JudgeError`]; then nothing changes.
    pub async fn compare(
        &self,
        better: &str,
        worse: &str,
        judge: Judge<'_>,
        now_ms: i64,
    ) -> Result<(), JudgeError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        write(&mut all, better, (Verdict::Better, Some(worse)), judge, now_ms).await?;
        write(&mut all, worse, (Verdict::Worse, Some(better)), judge, now_ms).await?;
        // As the program has it: one model, two workers.
        let alike: Option<bool> = sqlx::query_scalar(
            "SELECT one.worker <> other.worker FROM jobs AS one, jobs AS other
             WHERE one.id = ? AND other.id = ? AND one.model = other.model
                 AND one.quantisation = other.quantisation",
        )
        .bind(better)
        .bind(worse)
        .fetch_optional(&mut *all)
        .await?;
        match alike {
            Some(true) => Ok(all.commit().await?),
            Some(false) => Err(JudgeError::NotComparable("one worker served both")),
            None => Err(JudgeError::NotComparable("they are of different models")),
        }
    }

    /// Stores the signed close of some jobs before it is sent; on the disk when this returns. It tells their verdicts; `false` where
    /// another has been given meanwhile, and nothing is stored.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn store_close(
        &self,
        closed: &[(&str, Option<Verdict>)],
        transaction: (&StoredTransaction, Lamports),
        now_ms: i64,
    ) -> Result<bool, LedgerError> {
        let jobs: Vec<&str> = closed.iter().map(|(job, _)| *job).collect();
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        insert_transaction(&mut all, &jobs, TransactionKind::Close, transaction, now_ms).await?;
        for (job, verdict) in closed {
            let same = sqlx::query(
                "UPDATE jobs SET updated_at = ? WHERE id = ? AND COALESCE(verdict, '') = ?",
            )
            .bind(now_ms)
            .bind(job)
            .bind(verdict.map_or("", Verdict::name))
            .execute(&mut *all)
            .await?;
            if same.rows_affected() != 1 {
                return Ok(false);
            }
        }
        all.commit().await?;
        self.flush().await?;
        Ok(true)
    }
}

/// What was said of the job of that row.
pub(super) fn judged(row: &SqliteRow) -> Result<Option<Judgement>, LedgerError> {
    let Some(name) = row.try_get::<Option<String>, _>("verdict")? else { return Ok(None) };
    let corrupt = || LedgerError::Corrupt { what: format!("verdict {name}") };
    let verdict = Verdict::from_name(&name).ok_or_else(corrupt)?;
    Ok(Some(Judgement { verdict, compared_with: row.try_get("compared_with")? }))
}

async fn write(
    all: &mut Transaction<'_, Sqlite>,
    job: &str,
    (verdict, compared_with): (Verdict, Option<&str>),
    judge: Judge<'_>,
    now_ms: i64,
) -> Result<(), JudgeError> {
    let done = sqlx::query(
        "UPDATE jobs SET verdict = ?, verdict_reason = ?, verdict_by = ?, compared_with = ?, updated_at = ?
         WHERE id = ? AND status IN ('locked', 'ended', 'settled') AND (status <> 'settled' OR paid > 0)
             AND compared_with IS NULL AND (verdict_by IS NULL OR verdict_by = ?)
             AND NOT EXISTS (SELECT 1 FROM transaction_jobs JOIN transactions USING (signature)
                             WHERE transaction_jobs.job = jobs.id AND kind = 'close' AND transactions.status IN ('signed', 'landed'))",
    )
    .bind(verdict.name())
    .bind(judge.reason)
    .bind(judge.key_id)
    .bind(compared_with)
    .bind(now_ms)
    .bind(job)
    .bind(judge.key_id)
    .execute(&mut **all)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(why_not(all, job, judge.key_id).await?) }
}

async fn why_not(
    all: &mut Transaction<'_, Sqlite>,
    id: &str,
    key_id: &str,
) -> Result<JudgeError, LedgerError> {
    let row = sqlx::query("SELECT status, paid, compared_with, verdict_by FROM jobs WHERE id = ?")
        .bind(id)
        .fetch_one(&mut **all)
        .await?;
    let job = id.to_owned();
    let name: String = row.try_get("status")?;
    let corrupt = || LedgerError::Corrupt { what: format!("status {name}") };
    let status = JobStatus::from_name(&name).ok_or_else(corrupt)?;
    if !matches!(status, JobStatus::Locked | JobStatus::Ended | JobStatus::Settled) {
        return Ok(JudgeError::NotLive { job, status });
    }
    if status == JobStatus::Settled && row.try_get::<i64, _>("paid")? == 0 {
        return Ok(JudgeError::Unpaid { job });
    }
    let by: Option<String> = row.try_get("verdict_by")?;
    let compared: Option<String> = row.try_get("compared_with")?;
    let is_judged = compared.is_some() || by.is_some_and(|by| by != key_id);
    Ok(if is_judged { JudgeError::Judged { job } } else { JudgeError::Closing { job } })
}
