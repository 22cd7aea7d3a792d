//! Looking at what was spent: by key, model and day, and what is left of a key's budgets.

use serde::Serialize;
use sqlx::Row;

use super::{Ledger, LedgerError, Span, from_sql};

const DAY_S: i64 = 86_400;

/// What the calls of one key to one model cost in one day of UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spend {
    pub key_id: String,
    /// `None` where the key is gone.
    pub key_name: Option<String>,
    pub model: String,
    /// The day's first second.
    pub day_unix_s: i64,
    pub calls: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cost_lamports: u64,
    /// The greatest cost of the calls that still run.
    pub reserved_lamports: u64,
}

/// What a key has used of one span's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    pub span: Span,
    pub spent_lamports: u64,
    pub reserved_lamports: u64,
}

impl Ledger {
    /// The spend since `since_unix_ms`, of one key or of all, newest day first.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn spend(
        &self,
        key_id: Option<&str>,
        since_unix_ms: i64,
    ) -> Result<Vec<Spend>, LedgerError> {
        let rows = sqlx::query(
            "SELECT used.key_id, api_keys.name, used.model, used.day,
                 CAST(SUM(used.calls) AS BIGINT) AS calls,
                 CAST(SUM(used.tokens_in) AS BIGINT) AS tokens_in,
                 CAST(SUM(used.tokens_out) AS BIGINT) AS tokens_out,
                 CAST(SUM(used.cost) AS BIGINT) AS cost,
                 CAST(SUM(used.reserved) AS BIGINT) AS reserved
             FROM (
                 SELECT key_id, model, started_at / 86400000 AS day, 1 AS calls, tokens_in,
                     tokens_out, cost, reserved
                 FROM calls WHERE id <> 'ahead' AND started_at >= ?
                 UNION ALL
                 SELECT key_id, model, day, calls, tokens_in, tokens_out, 0, 0
                 FROM upstream_calls WHERE day >= ?
             ) AS used LEFT JOIN api_keys ON api_keys.id = used.key_id
             WHERE ? IS NULL OR used.key_id = ?
             GROUP BY used.key_id, api_keys.name, used.model, used.day
             ORDER BY used.day DESC, used.key_id, used.model",
        )
        .bind(since_unix_ms)
        .bind(since_unix_ms.div_euclid(DAY_S * 1_000))
        .bind(key_id)
        .bind(key_id)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let sum = |name: &str| from_sql(row.try_get(name)?, name);
                let day: i64 = row.try_get("day")?;
                Ok(Spend {
                    key_id: row.try_get("key_id")?,
                    key_name: row.try_get("name")?,
                    model: row.try_get("model")?,
                    day_unix_s: day * DAY_S,
                    calls: sum("calls")?,
                    tokens_in: sum("tokens_in")?,
                    tokens_out: sum("tokens_out")?,
                    cost_lamports: sum("cost")?,
                    reserved_lamports: sum("reserved")?,
                })
            })
            .collect()
    }

    /// What a key has used in the spans that hold `now_ms`.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub async fn used(&self, key_id: &str, now_ms: i64) -> Result<[Used; 3], LedgerError> {
        let mut all = Span::ALL.map(|span| Used { span, spent_lamports: 0, reserved_lamports: 0 });
        for used in &mut all {
            let row = sqlx::query(
                "SELECT spent, reserved FROM spend WHERE key_id = ? AND span = ? AND began = ?",
            )
            .bind(key_id)
            .bind(used.span.name())
            .bind(used.span.began_ms(now_ms))
            .fetch_optional(&self.pool)
            .await?;
            if let Some(row) = row {
                used.spent_lamports = from_sql(row.try_get("spent")?, "spent")?;
                used.reserved_lamports = from_sql(row.try_get("reserved")?, "reserved")?;
            }
        }
        Ok(all)
    }
}
