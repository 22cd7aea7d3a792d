//! What keys have spent and may still spend. A call's greatest cost is reserved before it leaves
//! and becomes its real cost when it ends; each step is one commit, so that calls at once can't
//! spend the same lamport.

use chainference_market::Lamports;
use serde::Serialize;
use sqlx::{Connection, Sqlite, Transaction, query::Query, sqlite::SqliteArguments};
use thiserror::Error;
use time::OffsetDateTime;

use super::{Ledger, LedgerError, to_sql};

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

const DAY_MS: i64 = 86_400_000;

/// The most that a key may spend; what is `None` has no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budgets {
    #[serde(rename = "budget_day_lamports")]
    pub day_lamports: Option<u64>,
    #[serde(rename = "budget_month_lamports")]
    pub month_lamports: Option<u64>,
    #[serde(rename = "budget_total_lamports")]
    pub total_lamports: Option<u64>,
}

/// What a budget is for. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    Day,
    Month,
    Total,
}

impl Span {
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// When the span that holds `at_ms` began, in unix milliseconds.
    pub fn began_ms(self, at_ms: i64) -> i64 {
        let day = at_ms - at_ms.rem_euclid(DAY_MS);
        match self {
            Self::Day => day,
            Self::Month => day - (day_of_month(day) - 1) * DAY_MS,
            Self::Total => 0,
        }
    }

    /// When the next one begins; all time has no next.
    pub fn ends_ms(self, at_ms: i64) -> Option<i64> {
        match self {
            Self::Day => Some(self.began_ms(at_ms) + DAY_MS),
            // No month has more than 31 days, and none fewer than 28.
            Self::Month => Some(self.began_ms(self.began_ms(at_ms) + 32 * DAY_MS)),
            Self::Total => None,
        }
    }
}

fn day_of_month(at_ms: i64) -> i64 {
    OffsetDateTime::from_unix_timestamp(at_ms / 1_000).map_or(1, |at| i64::from(at.day()))
}

impl Budgets {
    /// Whether there is any bound.
    pub fn is_some(&self) -> bool {
        Span::ALL.iter().any(|span| self.of(*span).is_some())
    }

    pub fn of(&self, span: Span) -> Option<u64> {
        match span {
            Span::Day => self.day_lamports,
            Span::Month => self.month_lamports,
            Span::Total => self.total_lamports,
        }
    }
}

/// A budget that can't hold another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    pub span: Span,
    pub budget: Lamports,
    pub needed: Lamports,
    /// When there is money again, in unix milliseconds.
    pub until_unix_ms: Option<i64>,
}

#[derive(Debug, Error)]
pub enum ReserveError {
    #[error("the budget of its {} is used up", .0.span.name())]
    UsedUp(UsedUp),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<sqlx::Error> for ReserveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// A call before it leaves.
#[derive(Clone, Copy, Debug)]
pub struct NewCall<'a> {
    pub id: &'a str,
    pub key_id: &'a str,
    /// The model's id in the market.
    pub model: &'a str,
    pub streamed: bool,
    /// The job that it uses, where that is known.
    pub job: Option<&'a str>,
    /// The most that it may cost.
    pub reserve: Lamports,
}

macro_rules! insert_call {
    () => {
        "INSERT INTO calls (id, key_id, model, streamed, status, job, started_at, reserved)
         VALUES (?, ?, ?, ?, 'running', ?, ?, ?)"
    };
}

/// A call of a key without budgets.
const BEGIN_UNBOUNDED: &str = concat!(
    "BEGIN IMMEDIATE; ",
    insert_call!(),
    "; INSERT INTO spend (key_id, span, began, reserved)
       VALUES (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?)
       ON CONFLICT (key_id, span, began)
       DO UPDATE SET reserved = spend.reserved + excluded.reserved;
     COMMIT"
);

impl Ledger {
    /// Records a call and reserves its greatest cost, in one commit.
    ///
    /// # Errors
    /// [`ReserveError::UsedUp`], where a budget can't hold it; then nothing is recorded.
    pub async fn begin_call(
        &self,
        call: NewCall<'_>,
        budgets: &Budgets,
        now_ms: i64,
    ) -> Result<(), ReserveError> {
        let amount = to_sql(call.reserve.0)?;
        let insert = |query: Statement<'static>| {
            let query = query.bind(call.id.to_owned()).bind(call.key_id.to_owned());
            let query = query.bind(call.model.to_owned()).bind(call.streamed);
            query.bind(call.job.map(str::to_owned)).bind(now_ms).bind(amount)
        };
        if !budgets.is_some() {
            let mut both = insert(sqlx::query(BEGIN_UNBOUNDED));
            for span in Span::ALL {
                both = both.bind(call.key_id.to_owned()).bind(span.name());
                both = both.bind(span.began_ms(now_ms)).bind(amount);
            }
            self.writer.at_once(both).await?;
            return Ok(());
        }
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        insert(sqlx::query(insert_call!())).execute(&mut *all).await?;
        reserve(&mut all, call.key_id, budgets, call.reserve, now_ms).await?;
        all.commit().await?;
        Ok(())
    }

    /// Reserves more for a running call: another worker is tried after one that was promised money.
    ///
    /// # Errors
    /// [`ReserveError::UsedUp`], where a budget can't hold that; then nothing changes.
    pub async fn reserve_more(
        &self,
        call: &str,
        budgets: &Budgets,
        more: Lamports,
    ) -> Result<(), ReserveError> {
        let mut writer = self.writer.lock().await;
        let mut all = writer.begin().await?;
        let found: Option<(String, i64)> = sqlx::query_as(
            "UPDATE calls SET reserved = reserved + ? WHERE id = ? AND status = 'running'
             RETURNING key_id, started_at",
        )
        .bind(to_sql(more.0)?)
        .bind(call)
        .fetch_optional(&mut *all)
        .await?;
        let gone = || LedgerError::Corrupt { what: format!("call {call}") };
        let (key_id, started_ms) = found.ok_or_else(gone)?;
        reserve(&mut all, &key_id, budgets, more, started_ms).await?;
        all.commit().await?;
        Ok(())
    }
}

/// Adds to what is reserved in each span, unless that breaks a budget.
async fn reserve(
    all: &mut Transaction<'_, Sqlite>,
    key_id: &str,
    budgets: &Budgets,
    amount: Lamports,
    at_ms: i64,
) -> Result<(), ReserveError> {
    let most = i64::MAX.unsigned_abs();
    let budget = |span| budgets.of(span).unwrap_or(most);
    let used_up = |span: Span| {
        let (budget, until_unix_ms) = (Lamports(budget(span)), span.ends_ms(at_ms));
        ReserveError::UsedUp(UsedUp { span, budget, needed: amount, until_unix_ms })
    };
    if let Some(span) = Span::ALL.into_iter().find(|span| amount.0 > budget(*span)) {
        return Err(used_up(span));
    }
    let amount = to_sql(amount.0)?;
    let mut query = sqlx::query_scalar::<_, String>(
        "INSERT INTO spend (key_id, span, began, reserved)
         VALUES (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?)
         ON CONFLICT (key_id, span, began)
         DO UPDATE SET reserved = spend.reserved + excluded.reserved
         WHERE spend.spent + spend.reserved <= -excluded.reserved +
             CASE excluded.span WHEN ? THEN ? WHEN ? THEN ? WHEN ? THEN ? END
         RETURNING span",
    );
    for span in Span::ALL {
        query = query.bind(key_id).bind(span.name()).bind(span.began_ms(at_ms)).bind(amount);
    }
    for span in Span::ALL {
        query = query.bind(span.name()).bind(to_sql(budget(span).min(most))?);
    }
    let done = query.fetch_all(&mut **all).await?;
    let is_short = |span: &Span| !done.iter().any(|name| name == span.name());
    match Span::ALL.into_iter().find(is_short) {
        Some(span) => Err(used_up(span)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn days_and_months_begin_and_end_where_the_calendar_says() {
        // 2028 is a leap year.
        let at = |text: &str| {
            let at = humantime::parse_rfc3339(text).unwrap();
            i64::try_from(at.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
        };
        for (now, day, month, next_day, next_month) in [
            (
                "2028-02-29T23:59:59Z",
                "2028-02-29T00:00:00Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "2026-12-31T00:00:00Z",
                "2026-12-31T00:00:00Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
        ] {
            let now = at(now);
            assert_eq!((Span::Day.began_ms(now), Span::Month.began_ms(now)), (at(day), at(month)));
            let ends = (Span::Day.ends_ms(now), Span::Month.ends_ms(now));
            assert_eq!(ends, (Some(at(next_day)), Some(at(next_month))));
        }
        assert_eq!((Span::Total.began_ms(5), Span::Total.ends_ms(5)), (0, None));
    }
}
