//! API keys: their hashes, what each may do, and until when.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Budgets, Ledger, LedgerError, from_sql, to_sql};
use crate::mode::Mode;

/// The id of the key that the gateway makes at its first start. It has no limits.
pub const DEFAULT_KEY: &str = "default";

/// `last_used_at` is written no more often than this: a write for each request would cost more than it tells.
const USED_EVERY_MS: i64 = 60_000;

/// What a key may do at most. What is `None` has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyLimits {
    pub requests_per_min: Option<u64>,
    pub tokens_per_min: Option<u64>,
    /// Requests in progress, streams included.
    pub concurrency: Option<u64>,
    #[serde(flatten)]
    pub budgets: Budgets,
}

/// A key before it is made.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    pub name: String,
    /// Models' ids; a `*` at the end stands for any rest. Empty: every model.
    pub models: Vec<String>,
    pub limits: KeyLimits,
    /// How its calls are settled; `None`: as the gateway does it.
    pub mode: Option<Mode>,
    pub expires_unix_ms: Option<i64>,
}

/// A key as the ledger knows it: everything but the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    pub id: String,
    pub name: String,
    pub hint: String,
    pub models: Vec<String>,
    pub limits: KeyLimits,
    /// How its calls are settled; `None`: as the gateway does it.
    pub mode: Option<Mode>,
    pub created_unix_ms: i64,
    pub expires_unix_ms: Option<i64>,
    pub revoked_unix_ms: Option<i64>,
    pub last_used_unix_ms: Option<i64>,
}

/// How a key's secret is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Hexadecimal.
    pub sha256: String,
    pub hint: String,
}

/// How often keys were made or revoked, by whichever process: a file beside the ledger grows by a byte each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysMark(u64);

/// That file.
pub(super) fn keys_mark(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push("-keys");
    name.into()
}

impl Ledger {
    /// `None` where it can't be told: then keys may have changed.
    pub(crate) fn keys_mark(&self) -> Option<KeysMark> {
        keys_mark(&self.path).metadata().ok().map(|file| KeysMark(file.len()))
    }

    /// After the change: what was looked up before it counts no more.
    fn mark_keys(&self) -> Result<(), LedgerError> {
        let path = keys_mark(&self.path);
        let marked = OpenOptions::new().append(true).open(&path);
        let marked = marked.and_then(|mut file| file.write_all(b"."));
        marked.map_err(|source| LedgerError::File { path, source })
    }

    /// # Errors
    /// [`LedgerError`]
    pub(crate) async fn insert_key(
        &self,
        id: &str,
        key: &NewKey,
        secret: &StoredSecret,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let limits = &key.limits;
        sqlx::query(
            "INSERT INTO api_keys (id, name, sha256, hint, models, budget_day, budget_month,
                 budget_total, requests_per_min, tokens_per_min, concurrency, mode, created_at,
                 expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(&key.name)
        .bind(&secret.sha256)
        .bind(&secret.hint)
        .bind(key.models.join(" "))
        .bind(limits.budgets.day_lamports.map(to_sql).transpose()?)
        .bind(limits.budgets.month_lamports.map(to_sql).transpose()?)
        .bind(limits.budgets.total_lamports.map(to_sql).transpose()?)
        .bind(limits.requests_per_min.map(to_sql).transpose()?)
        .bind(limits.tokens_per_min.map(to_sql).transpose()?)
        .bind(limits.concurrency.map(to_sql).transpose()?)
        .bind(key.mode.map(|mode| mode.to_string()))
        .bind(now_ms)
        .bind(key.expires_unix_ms)
        .execute(&mut *self.writer.lock().await)
        .await?;
        self.mark_keys()?;
        self.flush().await
    }

    /// Makes the key of the gateway's own file known; it takes the place of an older one.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub(crate) async fn keep_default_key(
        &self,
        secret: &StoredSecret,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO api_keys (id, name, sha256, hint, created_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, hint = excluded.hint",
        )
        .bind(DEFAULT_KEY)
        .bind(DEFAULT_KEY)
        .bind(&secret.sha256)
        .bind(&secret.hint)
        .bind(now_ms)
        .execute(&mut *self.writer.lock().await)
        .await?;
        self.mark_keys()
    }

    /// The key whose secret has this hash, whether it is still good or not.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub(crate) async fn key_by_hash(&self, sha256: &str) -> Result<Option<KeyRow>, LedgerError> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE sha256 = ?")
            .bind(sha256)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(read_key).transpose()
    }

    /// The key of this id; else the newest of this name that was not revoked.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub(crate) async fn key_named(&self, wanted: &str) -> Result<Option<KeyRow>, LedgerError> {
        let row = sqlx::query(
            "SELECT * FROM api_keys WHERE id = ? OR (name = ? AND revoked_at IS NULL)
             ORDER BY CASE WHEN id = ? THEN 0 ELSE 1 END, created_at DESC LIMIT 1",
        )
        .bind(wanted)
        .bind(wanted)
        .bind(wanted)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read_key).transpose()
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn list_keys(&self) -> Result<Vec<KeyRow>, LedgerError> {
        let rows = sqlx::query("SELECT * FROM api_keys ORDER BY created_at, id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read_key).collect()
    }

    /// From now on the key opens nothing. `false` where it did so already, or isn't there.
    ///
    /// # Errors
    /// [`LedgerError::Database`]
    pub async fn revoke_key(&self, id: &str, now_ms: i64) -> Result<bool, LedgerError> {
        let done = sqlx::query(
            "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND id <> ? AND revoked_at IS NULL",
        )
        .bind(now_ms)
        .bind(id)
        .bind(DEFAULT_KEY)
        .execute(&mut *self.writer.lock().await)
        .await?;
        self.mark_keys()?;
        self.flush().await?;
        Ok(done.rows_affected() == 1)
    }

    /// # Errors
    /// [`LedgerError::Database`]
    pub(crate) async fn note_use(&self, key: &KeyRow, now_ms: i64) -> Result<(), LedgerError> {
        if key.last_used_unix_ms.is_some_and(|last| now_ms - last < USED_EVERY_MS) {
            return Ok(());
        }
        sqlx::query("UPDATE api_keys SET last_used_at = ? WHERE id = ?")
            .bind(now_ms)
            .bind(&key.id)
            .execute(&mut *self.writer.lock().await)
            .await?;
        Ok(())
    }
}

fn limit(row: &SqliteRow, column: &str) -> Result<Option<u64>, LedgerError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| from_sql(value, column)).transpose()
}

fn mode(row: &SqliteRow) -> Result<Option<Mode>, LedgerError> {
    let name: Option<String> = row.try_get("mode")?;
    let corrupt = |what| LedgerError::Corrupt { what };
    name.map(|name| name.parse().map_err(corrupt)).transpose()
}

fn read_key(row: &SqliteRow) -> Result<KeyRow, LedgerError> {
    let models: String = row.try_get("models")?;
    Ok(KeyRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        hint: row.try_get("hint")?,
        models: models.split_whitespace().map(str::to_owned).collect(),
        limits: KeyLimits {
            requests_per_min: limit(row, "requests_per_min")?,
            tokens_per_min: limit(row, "tokens_per_min")?,
            concurrency: limit(row, "concurrency")?,
            budgets: Budgets {
                day_lamports: limit(row, "budget_day")?,
                month_lamports: limit(row, "budget_month")?,
                total_lamports: limit(row, "budget_total")?,
            },
        },
        mode: mode(row)?,
        created_unix_ms: row.try_get("created_at")?,
        expires_unix_ms: row.try_get("expires_at")?,
        revoked_unix_ms: row.try_get("revoked_at")?,
        last_used_unix_ms: row.try_get("last_used_at")?,
    })
}
