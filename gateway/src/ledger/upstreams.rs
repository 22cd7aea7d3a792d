//! What upstreams have served. It costs nothing: it is summed up by key, model and day, and written now and then.

use chainference_market::Totals;

use sqlx::Connection;

use super::{Ledger, LedgerError, to_sql};

const DAY_MS: i64 = 86_400_000;

/// Calls of one key to one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCalls {
    pub key_id: String,
    pub model: String,
    pub calls: u64,
    pub totals: Totals,
}

impl Ledger {
    /// Adds to what was served on the day that holds `now_ms`, in one commit.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing was added.
    pub async fn add_upstream_calls(
        &self,
        all: &[UpstreamCalls],
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer.lock().await;
        let mut commit = writer.begin().await?;
        for one in all {
            sqlx::query(
                "INSERT INTO upstream_calls (key_id, model, day, calls, tokens_in, tokens_out)
                 VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (key_id, model, day)
                 DO UPDATE SET calls = upstream_calls.calls + excluded.calls,
                     tokens_in = upstream_calls.tokens_in + excluded.tokens_in,
                     tokens_out = upstream_calls.tokens_out + excluded.tokens_out",
            )
            .bind(&one.key_id)
            .bind(&one.model)
            .bind(now_ms.div_euclid(DAY_MS))
            .bind(to_sql(one.calls)?)
            .bind(to_sql(one.totals.tokens_in)?)
            .bind(to_sql(one.totals.tokens_out)?)
            .execute(&mut *commit)
            .await?;
        }
        commit.commit().await?;
        Ok(())
    }
}
