//! Transactions of the settlement on their way: stored, sent until their fate is known, stored again;
//! and taken up after a restart, the same bytes.

use std::sync::Arc;
use std::time::Duration;

use chainference_chain::{Blockhash, SignedTransaction, SubmitError};

use super::life::Event;
use super::{Job, SettlementError, Shared};
use crate::ledger::{Kind, Part, StoredTransaction, TransactionEnd, Write};
use crate::metrics;

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);

impl Shared {
    /// Waits for the chain as long as the worker runs.
    pub(super) async fn blockhash(&self) -> Option<Blockhash> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.chain.blockhash().await {
                Ok(blockhash) => return Some(blockhash),
                Err(error) => tracing::warn!(%error, "the chain is away, claims wait"),
            }
            self.sleep(&mut pause).await?;
        }
    }

    pub(super) async fn store(
        &self,
        kind: Kind,
        signed: &SignedTransaction,
        jobs: Vec<Part>,
    ) -> Result<StoredTransaction, SettlementError> {
        let transaction = StoredTransaction::new(kind, signed);
        let now_unix_s = self.time.now_unix_s();
        let write = Write::Begin { transaction: transaction.clone(), jobs, now_unix_s };
        let is_only = self.ledger.write(write).await?;
        if is_only { Ok(transaction) } else { Err(SettlementError::TransactionPending) }
    }

    /// Sends a stored transaction, the same bytes again and again, until its fate is known and
    /// stored. `None`: the worker stops before.
    pub(super) async fn send(&self, transaction: &StoredTransaction) -> Option<TransactionEnd> {
        let signed = transaction.signed();
        let kind = transaction.kind.name();
        let mut pause = PAUSE_MIN;
        let (end, error) = loop {
            match self.chain.submit(&signed).await {
                Ok(()) => break (TransactionEnd::Landed, None),
                Err(SubmitError::Expired) => break (TransactionEnd::Expired, None),
                Err(SubmitError::Unreachable(error)) => {
                    tracing::warn!(%error, kind, "the chain is away, a transaction waits");
                }
                Err(error) => break (TransactionEnd::Rejected, Some(error.to_string())),
            }
            self.sleep(&mut pause).await?;
        };
        let signature = transaction.signature;
        match &error {
            None => tracing::info!(%signature, kind, ?end, "transaction ended"),
            Some(error) => tracing::warn!(%signature, kind, error, "transaction rejected"),
        }
        metrics::transaction_ended(transaction.kind, end);
        let write = Write::End { signature, end, error, now_unix_s: self.time.now_unix_s() };
        if let Err(error) = self.ledger.write(write).await {
            tracing::error!(%error, %signature, "a transaction's end could not be stored");
        }
        Some(end)
    }

    /// Goes on with a transaction that was on its way when the worker stopped.
    pub(super) fn resume(self: &Arc<Self>, transaction: StoredTransaction, jobs: Vec<Arc<Job>>) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let Some(end) = shared.send(&transaction).await else { return };
            for job in jobs {
                match transaction.kind {
                    Kind::Claim => shared.tell(&job, Event::ClaimEnded(end)),
                    Kind::Lock => shared.look_at_lock(&job).await,
                }
            }
        });
    }

    /// Backs off; `None` once the worker stops.
    async fn sleep(&self, pause: &mut Duration) -> Option<()> {
        let length = *pause;
        *pause = (length * 2).min(PAUSE_MAX);
        self.stop.run_until_cancelled(tokio::time::sleep(length)).await
    }
}
