//! The SQL of each change. Each guards itself: what must not happen twice affects no row.

use chainference_chain::{Pubkey, Signature};
use chainference_market::Prices;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Sqlite, query::Query};

use super::writer::{JobEnd, Part, StoredTransaction, Write};
use super::{LedgerError, StoredVoucher};

/// Makes a change within the writer's transaction. `false`: it did not apply.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    write: &Write,
) -> Result<bool, LedgerError> {
    if let Write::Begin { jobs, .. } = write
        && is_any_pending(connection, jobs).await?
    {
        return Ok(false);
    }
    let done = statement(write)?.execute(&mut *connection).await?;
    let applied = done.rows_affected() == 1;
    match write {
        Write::Begin { transaction, jobs, .. } if applied => {
            add_jobs(connection, &transaction.signature, jobs).await?;
        }
        Write::End { signature, .. } if applied => end_jobs(connection, signature).await?,
        _ => {}
    }
    Ok(applied)
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

fn statement(write: &Write) -> Result<Statement<'_>, LedgerError> {
    Ok(match write {
        Write::Quote { job, vault, terms, prices, now_unix_s } => {
            new_job("ON CONFLICT DO NOTHING", (job, vault), terms, prices, *now_unix_s)?
        }
        Write::Take { job, vault, terms, prices, now_unix_s } => {
            new_job(TAKE_AGAIN, (job, vault), terms, prices, *now_unix_s)?
        }
        Write::Lock { job, prices, claim_until_unix_s, now_unix_s } => {
            lock(job, prices, *claim_until_unix_s, *now_unix_s)?
        }
        Write::BeginCall { job, call, now_unix_s } => sqlx::query(
            "INSERT INTO calls (job, call, began_unix_s) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )
        .bind(job.to_string())
        .bind(i64::from(*call))
        .bind(*now_unix_s),
        Write::EndCall { job, call, totals, outcome, now_unix_s } => sqlx::query(
            "UPDATE calls SET ended_unix_s = ?3, tokens_in = ?4, tokens_out = ?5, outcome = ?6 \
             WHERE job = ?1 AND call = ?2 AND ended_unix_s IS NULL",
        )
        .bind(job.to_string())
        .bind(i64::from(*call))
        .bind(*now_unix_s)
        .bind(int(totals.tokens_in)?)
        .bind(int(totals.tokens_out)?)
        .bind(*outcome),
        Write::Voucher { job, voucher: held, is_last, now_unix_s } => {
            voucher(job, held, *is_last, *now_unix_s)?
        }
        Write::Begin { transaction, now_unix_s, .. } => begin(transaction, *now_unix_s)?,
        Write::End { signature, end, error, now_unix_s } => sqlx::query(
            "UPDATE transactions SET state = ?2, error = ?3, ended_unix_s = ?4 \
             WHERE signature = ?1 AND state = 'pending'",
        )
        .bind(signature.to_string())
        .bind(end.name())
        .bind(error.as_deref())
        .bind(*now_unix_s),
        Write::EndJob { job, end, now_unix_s } => end_job(job, *end, *now_unix_s)?,
    })
}

/// A job of which nothing but a promise was left is promised anew.
const TAKE_AGAIN: &str = "ON CONFLICT (job) DO UPDATE SET state = 'quoted', terms = excluded.terms, \
    price_in_per_mtok = excluded.price_in_per_mtok, price_out_per_mtok = excluded.price_out_per_mtok, \
    charge_min = excluded.charge_min, changed_unix_s = excluded.changed_unix_s WHERE state = 'dropped'";

fn new_job<'q>(
    on_conflict: &'static str,
    (job, vault): (&Pubkey, &Pubkey),
    terms: &'q str,
    prices: &Prices,
    now_unix_s: i64,
) -> Result<Statement<'q>, LedgerError> {
    let insert = format!(
        "INSERT INTO jobs (job, vault, terms, price_in_per_mtok, price_out_per_mtok, charge_min, \
         quoted_unix_s, changed_unix_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) {on_conflict}"
    );
    // Put together from two constants: no value of anybody's is part of it.
    Ok(sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(job.to_string())
        .bind(vault.to_string())
        .bind(terms)
        .bind(int(prices.input_per_mtok)?)
        .bind(int(prices.output_per_mtok)?)
        .bind(int(prices.charge_min)?)
        .bind(now_unix_s))
}

fn lock(
    job: &Pubkey,
    prices: &Prices,
    claim_until_unix_s: i64,
    now_unix_s: i64,
) -> Result<Statement<'static>, LedgerError> {
    Ok(sqlx::query(
        "UPDATE jobs SET state = 'locked', claim_until_unix_s = ?2, price_in_per_mtok = ?3, \
         price_out_per_mtok = ?4, charge_min = ?5, changed_unix_s = ?6 \
         WHERE job = ?1 AND state IN ('quoted', 'locked')",
    )
    .bind(job.to_string())
    .bind(claim_until_unix_s)
    .bind(int(prices.input_per_mtok)?)
    .bind(int(prices.output_per_mtok)?)
    .bind(int(prices.charge_min)?)
    .bind(now_unix_s))
}

fn voucher(
    job: &Pubkey,
    voucher: &StoredVoucher,
    is_last: bool,
    now_unix_s: i64,
) -> Result<Statement<'static>, LedgerError> {
    Ok(sqlx::query(
        "UPDATE jobs SET vouched_in = ?2, vouched_out = ?3, voucher_signature = ?4, \
         is_last = max(is_last, ?5), changed_unix_s = ?6 \
         WHERE job = ?1 AND state = 'locked' AND vouched_in <= ?2 AND vouched_out <= ?3",
    )
    .bind(job.to_string())
    .bind(int(voucher.totals.tokens_in)?)
    .bind(int(voucher.totals.tokens_out)?)
    .bind(voucher.signature.to_string())
    .bind(is_last)
    .bind(now_unix_s))
}

fn begin(transaction: &StoredTransaction, now_unix_s: i64) -> Result<Statement<'_>, LedgerError> {
    Ok(sqlx::query(
        "INSERT INTO transactions (signature, kind, wire, last_valid_block_height, made_unix_s) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    )
    .bind(transaction.signature.to_string())
    .bind(transaction.kind.name())
    .bind(transaction.wire.as_slice())
    .bind(int(transaction.last_valid_block_height)?)
    .bind(now_unix_s))
}

/// Whether any of these jobs has a transaction on its way.
async fn is_any_pending(
    connection: &mut SqliteConnection,
    jobs: &[Part],
) -> Result<bool, LedgerError> {
    for part in jobs {
        let found = sqlx::query("SELECT 1 FROM transaction_jobs WHERE job = ?1 AND is_pending = 1")
            .bind(part.job.to_string())
            .fetch_optional(&mut *connection)
            .await?;
        if found.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn add_jobs(
    connection: &mut SqliteConnection,
    signature: &Signature,
    jobs: &[Part],
) -> Result<(), LedgerError> {
    for part in jobs {
        sqlx::query(
            "INSERT INTO transaction_jobs (signature, job, tokens_in, tokens_out, is_final) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(signature.to_string())
        .bind(part.job.to_string())
        .bind(int(part.totals.tokens_in)?)
        .bind(int(part.totals.tokens_out)?)
        .bind(part.is_final)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn end_jobs(
    connection: &mut SqliteConnection,
    signature: &Signature,
) -> Result<(), LedgerError> {
    sqlx::query("UPDATE transaction_jobs SET is_pending = 0 WHERE signature = ?1")
        .bind(signature.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

fn end_job(job: &Pubkey, end: JobEnd, now_unix_s: i64) -> Result<Statement<'static>, LedgerError> {
    let (state, cost) = match end {
        JobEnd::Settled(cost) => ("settled", cost),
        JobEnd::Dropped => ("dropped", None),
    };
    Ok(sqlx::query(
        "UPDATE jobs SET state = ?2, cost = ?3, changed_unix_s = ?4 \
         WHERE job = ?1 AND state IN ('quoted', 'locked')",
    )
    .bind(job.to_string())
    .bind(state)
    .bind(cost.map(|cost| int(cost.0)).transpose()?)
    .bind(now_unix_s))
}

/// SQLite's integers are signed: no amount on any chain reaches their end.
fn int(amount: u64) -> Result<i64, LedgerError> {
    i64::try_from(amount).map_err(|_| LedgerError::TooLarge)
}
