//! What an operator sees of the settlement.

use std::sync::atomic::Ordering;

use chainference_chain::accounts::{Worker as Record, WorkerStatus};
use chainference_market::Lamports;

use super::{Settlement, Shared, lock};
use crate::ledger::{Earned, LedgerError};

/// The jobs at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Promised, not locked yet.
    pub jobs_quoted: usize,
    pub jobs_locked: usize,
    /// Vouched and not credited yet.
    pub unclaimed: Lamports,
    /// Prompt tokens that nobody has vouched for.
    pub unpaid_in: u64,
    /// As calls ran lately; 0 before the first.
    pub tokens_per_s: u64,
}

impl Settlement {
    pub fn snapshot(&self) -> Snapshot {
        let mut found = Snapshot {
            tokens_per_s: self.0.tokens_per_s.load(Ordering::Relaxed),
            ..Snapshot::default()
        };
        for job in self.0.all_jobs() {
            let life = lock(&job.life);
            if life.is_quoted() {
                found.jobs_quoted += 1;
                continue;
            }
            found.jobs_locked += 1;
            found.unclaimed = found.unclaimed.plus(life.unclaimed()).unwrap_or(found.unclaimed);
            found.unpaid_in = found.unpaid_in.saturating_add(life.unpaid_input());
        }
        found
    }

    /// What all ended jobs came to, from the ledger.
    pub async fn earned(&self) -> Result<Earned, LedgerError> {
        self.0.ledger.earned().await
    }
}

impl Shared {
    /// The worker's record, and with it whether the owner wants the worker to leave.
    pub(super) fn seen_record(&self, record: &Record) {
        let retires = record.status() == WorkerStatus::Retiring;
        if self.is_retiring.swap(retires, Ordering::Relaxed) != retires {
            let what = if retires { "leaves the market" } else { "is back in the market" };
            tracing::info!(what, "the owner says that this worker");
        }
    }
}
