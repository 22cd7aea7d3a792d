//! What is read back: unfinished jobs and transactions at a start, one job for a late voucher, sums.

use std::collections::HashMap;
use std::str::FromStr;

use chainference_chain::{Pubkey, Signature};
use chainference_market::{Prices, Totals};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use super::LedgerError;
use super::writer::{Kind, Part, StoredTransaction};

/// The highest voucher of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredVoucher {
    pub totals: Totals,
    pub signature: Signature,
}

/// A job as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    pub job: Pubkey,
    /// JSON of the terms that were quoted.
    pub terms: String,
    pub prices: Prices,
    pub state: String,
    /// Known once the job is locked.
    pub claim_until_unix_s: Option<i64>,
    pub voucher: Option<StoredVoucher>,
    pub is_last: bool,
}

/// A job that a restarted worker goes on with.
#[derive(Clone, Debug)]
pub struct Unfinished {
    pub job: StoredJob,
    /// Call numbers that were begun: none is served again.
    pub calls: Vec<u32>,
    /// Tokens of the calls that ended.
    pub produced: Totals,
}

/// A transaction that was signed and whose end is not known, with the jobs that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub transaction: StoredTransaction,
    pub jobs: Vec<Part>,
}

/// Sums over all jobs that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earned {
    pub jobs_settled: u64,
    /// Their costs before the fee split, in lamports.
    pub settled: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
}

pub(super) async fn unfinished(reads: &SqlitePool) -> Result<Vec<Unfinished>, LedgerError> {
    let jobs = sqlx::query("SELECT * FROM jobs WHERE state IN ('quoted', 'locked')")
        .fetch_all(reads)
        .await?;
    let mut found = HashMap::with_capacity(jobs.len());
    for row in &jobs {
        let job = stored_job(row)?;
        let entry = Unfinished { job, calls: Vec::new(), produced: Totals::ZERO };
        found.insert(entry.job.job, entry);
    }
    let calls = sqlx::query(
        "SELECT calls.* FROM calls JOIN jobs USING (job) WHERE state IN ('quoted', 'locked')",
    );
    for row in calls.fetch_all(reads).await? {
        let Some(entry) = found.get_mut(&key(&row, "job")?) else { continue };
        let call: u32 = row.try_get("call")?;
        entry.calls.push(call);
        entry.produced.tokens_in += optional_amount(&row, "tokens_in")?;
        entry.produced.tokens_out += optional_amount(&row, "tokens_out")?;
    }
    Ok(found.into_values().collect())
}

pub(super) async fn pending(reads: &SqlitePool) -> Result<Vec<Pending>, LedgerError> {
    let rows = sqlx::query(
        "SELECT * FROM transactions JOIN transaction_jobs USING (signature) \
         WHERE state = 'pending' ORDER BY made_unix_s, signature",
    );
    let mut found: Vec<Pending> = Vec::new();
    for row in rows.fetch_all(reads).await? {
        let signed = signature(&row.try_get::<String, _>("signature")?)?;
        let part = Part {
            job: key(&row, "job")?,
            totals: totals(&row, "tokens_in", "tokens_out")?,
            is_final: row.try_get("is_final")?,
        };
        match found.last_mut().filter(|last| last.transaction.signature == signed) {
            Some(last) => last.jobs.push(part),
            None => {
                let transaction = stored_transaction(&row, signed)?;
                found.push(Pending { transaction, jobs: vec![part] });
            }
        }
    }
    Ok(found)
}

fn stored_transaction(
    row: &SqliteRow,
    signature: Signature,
) -> Result<StoredTransaction, LedgerError> {
    let kind = Kind::named(row.try_get("kind")?);
    Ok(StoredTransaction {
        kind: kind.ok_or(LedgerError::Corrupt("a kind of transaction"))?,
        signature,
        wire: row.try_get("wire")?,
        last_valid_block_height: amount(row, "last_valid_block_height")?,
    })
}

pub(super) async fn job(
    reads: &SqlitePool,
    job: &Pubkey,
) -> Result<Option<StoredJob>, LedgerError> {
    let row = sqlx::query("SELECT * FROM jobs WHERE job = ?1")
        .bind(job.to_string())
        .fetch_optional(reads)
        .await?;
    row.as_ref().map(stored_job).transpose()
}

pub(super) async fn earned(reads: &SqlitePool) -> Result<Earned, LedgerError> {
    let row = sqlx::query(
        "SELECT count(*) AS jobs, coalesce(sum(cost), 0) AS cost, \
         coalesce(sum(vouched_in), 0) AS tokens_in, coalesce(sum(vouched_out), 0) AS tokens_out \
         FROM jobs WHERE state = 'settled'",
    )
    .fetch_one(reads)
    .await?;
    Ok(Earned {
        jobs_settled: amount(&row, "jobs")?,
        settled: amount(&row, "cost")?,
        tokens_in: amount(&row, "tokens_in")?,
        tokens_out: amount(&row, "tokens_out")?,
    })
}

fn stored_job(row: &SqliteRow) -> Result<StoredJob, LedgerError> {
    let signed: Option<String> = row.try_get("voucher_signature")?;
    let voucher = match signed {
        Some(text) => Some(StoredVoucher {
            totals: totals(row, "vouched_in", "vouched_out")?,
            signature: signature(&text)?,
        }),
        None => None,
    };
    Ok(StoredJob {
        job: key(row, "job")?,
        terms: row.try_get("terms")?,
        prices: Prices {
            input_per_mtok: amount(row, "price_in_per_mtok")?,
            output_per_mtok: amount(row, "price_out_per_mtok")?,
            charge_min: amount(row, "charge_min")?,
        },
        state: row.try_get("state")?,
        claim_until_unix_s: row.try_get("claim_until_unix_s")?,
        voucher,
        is_last: row.try_get("is_last")?,
    })
}

fn totals(row: &SqliteRow, tokens_in: &str, tokens_out: &str) -> Result<Totals, LedgerError> {
    Ok(Totals { tokens_in: amount(row, tokens_in)?, tokens_out: amount(row, tokens_out)? })
}

fn amount(row: &SqliteRow, column: &str) -> Result<u64, LedgerError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| LedgerError::Corrupt("a negative amount"))
}

fn optional_amount(row: &SqliteRow, column: &str) -> Result<u64, LedgerError> {
    let value: Option<i64> = row.try_get(column)?;
    u64::try_from(value.unwrap_or(0)).map_err(|_| LedgerError::Corrupt("a negative amount"))
}

fn key(row: &SqliteRow, column: &str) -> Result<Pubkey, LedgerError> {
    let text: String = row.try_get(column)?;
    Pubkey::from_str(&text).map_err(|_| LedgerError::Corrupt("an address"))
}

fn signature(text: &str) -> Result<Signature, LedgerError> {
    Signature::from_str(text).map_err(|_| LedgerError::Corrupt("a signature"))
}
