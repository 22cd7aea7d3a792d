//! The one writer: changes, and the loop that commits them in groups.

use std::fs::File;

use chainference_chain::{Pubkey, Signature, SignedTransaction};
use chainference_ledger::Disk;
use chainference_market::{Lamports, Prices, Totals};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout_at};

use super::statements::apply;
use super::{LedgerError, StoredVoucher};

/// How many changes may wait for the disk before writers wait themselves.
pub(super) const QUEUE_MAX: usize = 1_024;
/// The most changes in one commit: bounds how long the first of them waits.
const BATCH_MAX: usize = 256;
/// So long changes that nothing waits for wait for others: calls come before their rows.
const LINGER: Duration = Duration::from_millis(50);

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lock,
    Claim,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Claim => "claim",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Lock, Self::Claim].into_iter().find(|kind| kind.name() == name)
    }
}

/// A signed transaction: these bytes, and no others, are sent until they land or expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTransaction {
    pub kind: Kind,
    pub signature: Signature,
    pub wire: Vec<u8>,
    pub last_valid_block_height: u64,
}

impl StoredTransaction {
    pub fn new(kind: Kind, signed: &SignedTransaction) -> Self {
        Self {
            kind,
            signature: signed.signature,
            wire: signed.wire.clone(),
            last_valid_block_height: signed.last_valid_block_height,
        }
    }

    /// As it is sent.
    pub fn signed(&self) -> SignedTransaction {
        SignedTransaction {
            signature: self.signature,
            wire: self.wire.clone(),
            last_valid_block_height: self.last_valid_block_height,
        }
    }
}

/// What a transaction does for one of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub job: Pubkey,
    /// What a claim claims; zeros in a lock.
    pub totals: Totals,
    /// A claim that settles the job.
    pub is_final: bool,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEnd {
    Landed,
    Expired,
    Rejected,
}

impl TransactionEnd {
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
    /// The quote expired unused, or another worker was faster.
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
    /// An open job is about to be locked. One that was let go of before may be taken again: nobody
    /// was ever served on it.
    Take {
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
    /// A transaction is about to be sent. None of its jobs may have another on its way.
    Begin {
        transaction: StoredTransaction,
        jobs: Vec<Part>,
        now_unix_s: i64,
    },
    End {
        signature: Signature,
        end: TransactionEnd,
        error: Option<String>,
        now_unix_s: i64,
    },
    EndJob {
        job: Pubkey,
        end: JobEnd,
        now_unix_s: i64,
    },
}

impl Write {
    /// Whether a power cut must not take it. Of a call it may: what is owed is in vouchers, and a call that was forgotten
    /// can at most be made once more.
    fn waits_for_flush(&self) -> bool {
        !matches!(self, Self::BeginCall { .. } | Self::EndCall { .. })
    }

    fn is_one_statement(&self) -> bool {
        !matches!(self, Self::Begin { .. } | Self::End { .. })
    }
}

pub(super) struct Pending {
    pub write: Write,
    pub done: oneshot::Sender<Result<bool, LedgerError>>,
}

/// Commits until every handle is gone. `_lock` is held as long as anything may be written.
pub(super) async fn write_batches(
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Pending>,
    disk: Disk,
    _lock: File,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        gather(&mut queue, &mut batch).await;
        match commit(&mut connection, &batch).await {
            Ok(outcomes) => tell(&disk, batch.drain(..).zip(outcomes)),
            Err(_) => commit_one_by_one(&mut connection, &disk, &mut batch).await,
        }
    }
    connection.close().await.ok();
}

/// Waits for more as long as nothing among them waits for the disk.
async fn gather(queue: &mut mpsc::Receiver<Pending>, batch: &mut Vec<Pending>) {
    let until = Instant::now() + LINGER;
    let can_wait = |batch: &[Pending]| !batch.iter().any(|one| one.write.waits_for_flush());
    while batch.len() < BATCH_MAX && can_wait(batch) {
        let more = queue.recv_many(batch, BATCH_MAX - batch.len());
        if timeout_at(until, more).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

/// A change that fails must not take the others of its group with it.
async fn commit_one_by_one(
    connection: &mut SqliteConnection,
    disk: &Disk,
    batch: &mut Vec<Pending>,
) {
    for pending in batch.drain(..) {
        match commit(connection, std::slice::from_ref(&pending)).await {
            Ok(outcomes) => tell(disk, [pending].into_iter().zip(outcomes)),
            Err(error) => {
                tracing::error!(%error, "a change could not be stored");
                pending.done.send(Err(error)).ok();
            }
        }
    }
}

/// Tells who asked for changes that were committed what became of them: those that wait for no flush at once, the others
/// after it. The asker may have left; the row stays.
fn tell(disk: &Disk, changes: impl Iterator<Item = (Pending, bool)>) {
    let (mut durable, disk) = (Vec::new(), disk.clone());
    for (Pending { write, done }, applied) in changes {
        if write.waits_for_flush() {
            durable.push((done, applied));
        } else {
            done.send(Ok(applied)).ok();
        }
    }
    if durable.is_empty() {
        return;
    }
    // Beside the next commits.
    tokio::spawn(async move {
        let outcome = disk.flush().await.map_err(|error| LedgerError::Database(error.to_string()));
        for (done, applied) in durable {
            done.send(outcome.clone().map(|()| applied)).ok();
        }
    });
}

async fn commit(
    connection: &mut SqliteConnection,
    batch: &[Pending],
) -> Result<Vec<bool>, LedgerError> {
    // A change that is one statement is a transaction by itself, and takes SQLite's thread one message instead of three.
    if let [Pending { write, .. }] = batch
        && write.is_one_statement()
    {
        return Ok(vec![apply(connection, write).await?]);
    }
    let mut transaction = connection.begin().await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for pending in batch {
        outcomes.push(apply(&mut transaction, &pending.write).await?);
    }
    transaction.commit().await?;
    Ok(outcomes)
}
