//! The books in double entry: what moved from where to where. Each movement takes from one account
//! what it gives to another, and is written in the commit of what caused it, at most once.

use serde::Serialize;
use sqlx::{Row, Sqlite, Transaction};

use super::{Ledger, LedgerError};

/// The movements of a job, each from its row: name, from, to, amount.
pub(super) const STAKED: Movement = ("stake", "vault", "reserved", "stake");
pub(super) const RENT_LENT: Movement = ("rent", "gateway", "rent", "rent");
pub(super) const PAID: Movement = ("pay", "reserved", "workers", "paid");
pub(super) const REFUNDED: Movement = ("refund", "reserved", "vault", "refund");
pub(super) const RENT_BACK: Movement = ("rent-back", "rent", "gateway", "rent");
/// The chain has settled it, but nobody here saw how.
pub(super) const UNSEEN: Movement = ("unseen", "reserved", "unseen", "stake");

pub(super) type Movement = (&'static str, &'static str, &'static str, &'static str);

/// The sums of all accounts, in lamports. What has left the vault and the gateway's key is negative
/// there, as no deposit is booked here; all of them together are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// The vault's free money.
    pub vault: i64,
    /// The stakes of live jobs.
    pub reserved: i64,
    /// Paid to workers, fees of the market included.
    pub workers: i64,
    /// The gateway's own key.
    pub gateway: i64,
    /// Lent to the chain in accounts of jobs.
    pub rent: i64,
    /// Fees of transactions.
    pub fees: i64,
    /// Stakes of which it was not seen who got them.
    pub unseen: i64,
}

impl Books {
    /// Zero, unless an entry is lost.
    pub fn total(&self) -> i64 {
        let Self { vault, reserved, workers, gateway, rent, fees, unseen } = self;
        [vault, reserved, workers, gateway, rent, fees, unseen].into_iter().sum()
    }
}

impl Ledger {
    /// # Errors
    /// [`LedgerError`]
    pub async fn books(&self) -> Result<Books, LedgerError> {
        let rows = sqlx::query(
            "SELECT account, CAST(SUM(amount) AS BIGINT) AS amount FROM entries GROUP BY account",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut books = Books::default();
        for row in rows {
            let account: String = row.try_get("account")?;
            let amount = row.try_get("amount")?;
            match account.as_str() {
                "vault" => books.vault = amount,
                "reserved" => books.reserved = amount,
                "workers" => books.workers = amount,
                "gateway" => books.gateway = amount,
                "rent" => books.rent = amount,
                "fees" => books.fees = amount,
                "unseen" => books.unseen = amount,
                _ => return Err(LedgerError::Corrupt { what: format!("account {account}") }),
            }
        }
        Ok(books)
    }
}

/// Books movements of a job as its row tells their amounts now. Those that are booked stay.
pub(super) async fn move_job(
    all: &mut Transaction<'_, Sqlite>,
    job: &str,
    movements: &[Movement],
    now_ms: i64,
) -> Result<(), LedgerError> {
    for (name, from, to, amount) in movements {
        // The column's name is one of ours, never a caller's.
        let sql = format!(
            "INSERT INTO entries (movement, account, amount, created_at)
             SELECT '{name}:' || id, '{from}', -{amount}, ? FROM jobs WHERE id = ?
             UNION ALL SELECT '{name}:' || id, '{to}', {amount}, ? FROM jobs WHERE id = ?
             ON CONFLICT DO NOTHING"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        query.bind(now_ms).bind(job).bind(now_ms).bind(job).execute(&mut **all).await?;
    }
    Ok(())
}

/// Books what a job's stake has grown by, up to `stake`.
pub(super) async fn move_more(
    all: &mut Transaction<'_, Sqlite>,
    job: &str,
    stake: i64,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let movement = format!("stake:{job}:{stake}");
    sqlx::query(
        "INSERT INTO entries (movement, account, amount, created_at)
         SELECT ?, 'vault', stake - ?, ? FROM jobs WHERE id = ?
         UNION ALL SELECT ?, 'reserved', ? - stake, ? FROM jobs WHERE id = ?
         ON CONFLICT DO NOTHING",
    )
    .bind(&movement)
    .bind(stake)
    .bind(now_ms)
    .bind(job)
    .bind(&movement)
    .bind(stake)
    .bind(now_ms)
    .bind(job)
    .execute(&mut **all)
    .await?;
    Ok(())
}

/// Books the fee of a transaction that has landed.
pub(super) async fn move_fee(
    all: &mut Transaction<'_, Sqlite>,
    signature: &str,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO entries (movement, account, amount, created_at)
         SELECT 'fee:' || signature, 'gateway', -fee, created_at FROM transactions WHERE signature = ?
         UNION ALL SELECT 'fee:' || signature, 'fees', fee, created_at FROM transactions
             WHERE signature = ?
         UNION ALL SELECT 'fee:' || signature, 'gateway', -fee, created_at FROM top_ups
             WHERE signature = ?
         UNION ALL SELECT 'fee:' || signature, 'fees', fee, created_at FROM top_ups
             WHERE signature = ?
         ON CONFLICT DO NOTHING",
    )
    .bind(signature)
    .bind(signature)
    .bind(signature)
    .bind(signature)
    .execute(&mut **all)
    .await?;
    Ok(())
}
