//! The jobs that this gateway has meant, sent, used, and brought to an end.

use std::fmt;

use chainference_market::{Lamports, Prices};
use serde::Serialize;

use sqlx::{Connection, Sqlite, Transaction};

use super::{
    Judgement, Ledger, LedgerError,
    entries::{PAID, REFUNDED, RENT_BACK, RENT_LENT, STAKED, UNSEEN, move_job, move_more},
    to_sql,
};

/// Where a job stands, as this gateway knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Its session key and terms are stored; nothing has left this machine.
    Intended,
    /// Its transaction is signed and stored, and may have been sent.
    Submitted,
    /// On chain, and a call may be using it.
    Locked,
    /// Nothing more will be called on it; the worker may claim.
    Ended,
    /// The chain has settled it: what was paid and what came back is final.
    Settled,
    /// Its account is gone and its rent returned.
    Closed,
    /// It never came onto the chain.
    Failed,
}

impl JobStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Submitted => "submitted",
            Self::Locked => "locked",
            Self::Ended => "ended",
            Self::Settled => "settled",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [
            Self::Intended,
            Self::Submitted,
            Self::Locked,
            Self::Ended,
            Self::Settled,
            Self::Closed,
            Self::Failed,
        ]
        .into_iter()
        .find(|status| status.name() == name)
    }
}

/// The row of `calls` that jobs name which are made for no call in particular. It is no call.
pub const AHEAD: &str = "ahead";

/// The secret that signs a job's vouchers, in base58. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(pub String);

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// A job before anything of it has left this machine.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job's address, in base58.
    pub id: String,
    /// The call that it is made for; `None` where it is made ahead of any.
    pub call_id: Option<String>,
    /// How calls come to it: `strict`, `per-call`, `session`.
    pub mode: &'static str,
    pub model: String,
    pub quantisation: String,
    /// Address of the worker's record.
    pub worker: String,
    pub endpoint: String,
    pub session_key: SessionKey,
    /// The terms as JSON.
    pub terms: String,
    pub open_slot: u64,
    pub stake: Lamports,
    pub prices: Prices,
}

/// A job's row.
#[derive(Clone, Debug)]
pub struct JobRow {
    pub id: String,
    pub status: JobStatus,
    pub worker: String,
    pub endpoint: String,
    pub session_key: SessionKey,
    pub terms: String,
    pub open_slot: u64,
    pub stake: Lamports,
    pub prices: Prices,
    /// Zero before it was settled.
    pub paid: Lamports,
    pub ended_at_ms: Option<i64>,
    /// What its client said of it.
    pub judged: Option<Judgement>,
}

impl Ledger {
    /// Stores a job's intent.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn intend_job(&self, job: &NewJob, now_ms: i64) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO jobs (id, call_id, status, model, quantisation, worker, endpoint,
                 session_key, terms, open_slot, stake, price_in_per_mtok, price_out_per_mtok,
                 charge_min, mode, created_at, updated_at)
             VALUES (?, ?, 'intended', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&job.id)
        .bind(job.call_id.as_deref().unwrap_or(AHEAD))
        .bind(&job.model)
        .bind(&job.quantisation)
        .bind(&job.worker)
        .bind(&job.endpoint)
        .bind(&job.session_key.0)
        .bind(&job.terms)
        .bind(to_sql(job.open_slot)?)
        .bind(to_sql(job.stake.0)?)
        .bind(to_sql(job.prices.input_per_mtok)?)
        .bind(to_sql(job.prices.output_per_mtok)?)
        .bind(to_sql(job.prices.charge_min)?)
        .bind(job.mode)
        .bind(now_ms)
        .bind(now_ms)
        .execute(&mut *self.writer.lock().await)
        .await?;
        Ok(())
    }

    /// The job is on chain; its account holds `rent`.
    ///
    /// # Errors
    /// [`LedgerError::Transition`], unless it was submitted.
    pub async fn lock_job(&self, job: &str, rent: Lamports, now: i64) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        let done = sqlx::query(
            "UPDATE jobs SET status = 'locked', rent = ?, updated_at = ?
             WHERE id = ? AND status IN ('submitted', 'locked')",
        )
        .bind(to_sql(rent.0)?)
        .bind(now)
        .bind(job)
        .execute(&mut *all)
        .await?;
        expect_one(done.rows_affected(), job, "locked")?;
        move_job(&mut all, job, &[STAKED, RENT_LENT], now).await?;
        Ok(all.commit().await?)
    }

    /// Nothing more will be called on the job. Its first end counts.
    ///
    /// # Errors
    /// [`LedgerError::Transition`], unless it was locked.
    pub async fn end_job(
        &self,
        job: &str,
        error: Option<&str>,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let done = sqlx::query(
            "UPDATE jobs SET status = 'ended', error = COALESCE(error, ?),
                             ended_at = COALESCE(ended_at, ?), updated_at = ?
             WHERE id = ? AND status IN ('locked', 'ended')",
        )
        .bind(error)
        .bind(now_ms)
        .bind(now_ms)
        .bind(job)
        .execute(&mut *self.writer.lock().await)
        .await?;
        expect_one(done.rows_affected(), job, "ended")
    }

    /// The chain has settled the job.
    ///
    /// # Errors
    /// [`LedgerError::Transition`], unless it was on chain.
    pub async fn settle_job(
        &self,
        job: &str,
        paid: Lamports,
        refund: Lamports,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        let done = sqlx::query(
            "UPDATE jobs SET status = 'settled', paid = ?, refund = ?, updated_at = ?
             WHERE id = ? AND status IN ('submitted', 'locked', 'ended')",
        )
        .bind(to_sql(paid.0)?)
        .bind(to_sql(refund.0)?)
        .bind(now_ms)
        .bind(job)
        .execute(&mut *all)
        .await?;
        expect_one(done.rows_affected(), job, "settled")?;
        // The lock may not have been seen, or be older than the books.
        move_job(&mut all, job, &[STAKED, RENT_LENT, PAID, REFUNDED], now_ms).await?;
        Ok(all.commit().await?)
    }

    /// The jobs' accounts are gone.
    ///
    /// # Errors
    /// [`LedgerError::Transition`], where one never was on chain, or is closed already; then nothing changes.
    pub async fn close_jobs(&self, jobs: &[&str], now_ms: i64) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        for job in jobs {
            close_job(&mut all, job, now_ms).await?;
        }
        Ok(all.commit().await?)
    }

    /// The job never came onto the chain.
    ///
    /// # Errors
    /// [`LedgerError::Transition`], once it was there.
    pub async fn fail_job(&self, job: &str, error: &str, now_ms: i64) -> Result<(), LedgerError> {
        let done = sqlx::query(
            "UPDATE jobs SET status = 'failed', error = ?, updated_at = ?
             WHERE id = ? AND status IN ('intended', 'submitted')",
        )
        .bind(error)
        .bind(now_ms)
        .bind(job)
        .execute(&mut *self.writer.lock().await)
        .await?;
        expect_one(done.rows_affected(), job, "failed")
    }

    /// The job's stake has grown to this.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn restake_job(
        &self,
        job: &str,
        stake: Lamports,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        // Written first, so that nothing changes between the look and the booking.
        let changed = sqlx::query("UPDATE jobs SET updated_at = ? WHERE id = ? AND stake < ?")
            .bind(now_ms)
            .bind(job)
            .bind(to_sql(stake.0)?)
            .execute(&mut *all)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(());
        }
        move_job(&mut all, job, &[STAKED], now_ms).await?;
        move_more(&mut all, job, to_sql(stake.0)?, now_ms).await?;
        sqlx::query("UPDATE jobs SET stake = ? WHERE id = ?")
            .bind(to_sql(stake.0)?)
            .bind(job)
            .execute(&mut *all)
            .await?;
        Ok(all.commit().await?)
    }

    /// Records something that is wrong with a job, without moving it on.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn note_on_job(&self, job: &str, error: &str) -> Result<(), LedgerError> {
        sqlx::query("UPDATE jobs SET error = ? WHERE id = ?")
            .bind(error)
            .bind(job)
            .execute(&mut *self.writer.lock().await)
            .await?;
        Ok(())
    }
}

async fn close_job(
    all: &mut Transaction<'_, Sqlite>,
    job: &str,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let unseen = sqlx::query(
        "UPDATE jobs SET status = 'closed', updated_at = ?
         WHERE id = ? AND status IN ('submitted', 'locked', 'ended')",
    )
    .bind(now_ms)
    .bind(job)
    .execute(&mut **all)
    .await?
    .rows_affected();
    if unseen == 1 {
        return move_job(all, job, &[STAKED, RENT_LENT, UNSEEN, RENT_BACK], now_ms).await;
    }
    let done = sqlx::query(
        "UPDATE jobs SET status = 'closed', updated_at = ? WHERE id = ? AND status = 'settled'",
    )
    .bind(now_ms)
    .bind(job)
    .execute(&mut **all)
    .await?;
    expect_one(done.rows_affected(), job, "closed")?;
    move_job(all, job, &[STAKED, RENT_LENT, PAID, REFUNDED, RENT_BACK], now_ms).await
}

fn expect_one(rows: u64, job: &str, to: &'static str) -> Result<(), LedgerError> {
    if rows == 1 { Ok(()) } else { Err(LedgerError::Transition { job: job.to_owned(), to }) }
}
