//! The one writer: changes, and the loop that commits them in groups.

use std::fs::File;

use chainference_chain::{Pubkey, Signature};
use chainference_market::{Lamports, Prices, Totals};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Connection, Sqlite, query::Query};
use tokio::sync::{mpsc, oneshot};

use super::{LedgerError, StoredClaim, StoredVoucher};

/// How many changes may wait for the disk before writers wait themselves.
pub(super) const QUEUE_MAX: usize = 1_024;
/// The most changes in one commit: bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimEnd {
    Landed,
    Expired,
    Rejected,
}

impl ClaimEnd {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Landed => "landed",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// On chain: the cost that was credited (before the fee split), where it is known.
    Settled(Option<Lamports>),
    /// The quote expired unused.
    Dropped,
}

/// One change. Times are unix seconds.
#[derive(Clone, Debug)]
pub enum Write {
    /// A quote is about to be signed.
    Quote {
        job: Pubkey,
        vault: Pubkey,
        terms: String,
        prices: Prices,
        now_unix_s: i64,
    },
    /// The chain shows the job locked by us, at these prices.
    Lock {
        job: Pubkey,
        prices: Prices,
        claim_until_unix_s: i64,
        now_unix_s: i64,
    },
    BeginCall {
        job: Pubkey,
        call: u32,
        now_unix_s: i64,
    },
    /// `totals` are this call's own.
    EndCall {
        job: Pubkey,
        call: u32,
        totals: Totals,
        outcome: &'static str,
        now_unix_s: i64,
    },
    Voucher {
        job: Pubkey,
        voucher: StoredVoucher,
        is_last: bool,
        now_unix_s: i64,
    },
    /// A claim is about to be sent.
    BeginClaim {
        job: Pubkey,
        claim: StoredClaim,
        now_unix_s: i64,
    },
    EndClaim {
        signature: Signature,
        end: ClaimEnd,
        error: Option<String>,
        now_unix_s: i64,
    },
    EndJob {
        job: Pubkey,
        end: JobEnd,
        now_unix_s: i64,
    },
}

pub(super) struct Pending {
    pub write: Write,
    pub done: oneshot::Sender<Result<bool, LedgerError>>,
}

/// Commits until every handle is gone. `_lock` is held as long as anything may be written.
pub(super) async fn write_batches(
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Pending>,
    _lock: File,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        match commit(&mut connection, &batch).await {
            Ok(outcomes) => {
                for (pending, applied) in batch.drain(..).zip(outcomes) {
                    pending.done.send(Ok(applied)).ok(); // the asker may have left; the row stays
                }
            }
            Err(_) => commit_one_by_one(&mut connection, &mut batch).await,
        }
    }
    connection.close().await.ok();
}

/// A change that fails must not take the others of its group with it.
async fn commit_one_by_one(connection: &mut SqliteConnection, batch: &mut Vec<Pending>) {
    for pending in batch.drain(..) {
        let outcome = commit(connection, std::slice::from_ref(&pending)).await;
        let applied = outcome.map(|applied| applied == [true]);
        if let Err(error) = &applied {
            tracing::error!(%error, "a change could not be stored");
        }
        pending.done.send(applied).ok();
    }
}

async fn commit(
    connection: &mut SqliteConnection,
    batch: &[Pending],
) -> Result<Vec<bool>, LedgerError> {
    let mut transaction = connection.begin().await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for pending in batch {
        let done = statement(&pending.write)?.execute(&mut *transaction).await?;
        outcomes.push(done.rows_affected() == 1);
    }
    transaction.commit().await?;
    Ok(outcomes)
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// The SQL of a change. Each guards itself: what must not happen twice affects no row.
fn statement(write: &Write) -> Result<Statement<'_>, LedgerError> {
    Ok(match write {
        Write::Quote { job, vault, terms, prices, now_unix_s } => {
            quote(job, vault, terms, prices, *now_unix_s)?
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
        Write::BeginClaim { job, claim, now_unix_s } => begin_claim(job, claim, *now_unix_s)?,
        Write::EndClaim { signature, end, error, now_unix_s } => sqlx::query(
            "UPDATE claims SET state = ?2, error = ?3, ended_unix_s = ?4 \
             WHERE signature = ?1 AND state = 'pending'",
        )
        .bind(signature.to_string())
        .bind(end.name())
        .bind(error.as_deref())
        .bind(*now_unix_s),
        Write::EndJob { job, end, now_unix_s } => end_job(job, *end, *now_unix_s)?,
    })
}

fn quote<'q>(
    job: &Pubkey,
    vault: &Pubkey,
    terms: &'q str,
    prices: &Prices,
    now_unix_s: i64,
) -> Result<Statement<'q>, LedgerError> {
    Ok(sqlx::query(
        "INSERT INTO jobs (job, vault, terms, price_in_per_mtok, price_out_per_mtok, charge_min, \
         quoted_unix_s, changed_unix_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) \
         ON CONFLICT DO NOTHING",
    )
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

fn begin_claim<'q>(
    job: &Pubkey,
    claim: &'q StoredClaim,
    now_unix_s: i64,
) -> Result<Statement<'q>, LedgerError> {
    Ok(sqlx::query(
        "INSERT INTO claims (signature, job, wire, last_valid_block_height, tokens_in, tokens_out, \
         made_unix_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )
    .bind(claim.signature.to_string())
    .bind(job.to_string())
    .bind(claim.wire.as_slice())
    .bind(int(claim.last_valid_block_height)?)
    .bind(int(claim.totals.tokens_in)?)
    .bind(int(claim.totals.tokens_out)?)
    .bind(now_unix_s))
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
