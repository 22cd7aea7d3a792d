//! The start: every job and every transaction of the ledger that has not come to its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use chainference_chain::terms::JobTerms;
use chainference_chain::{Chain, Pubkey};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::life::{Life, Restored};
use super::{
    CLAIMS_AT_ONCE, ChainTime, Job, Settings, Settlement, SettlementError, Shared, agreed, lock,
};
use crate::ledger::{Kind, Ledger, Part, PendingTransaction, Unfinished};

impl Settlement {
    /// Takes up what the ledger knows, and begins to claim.
    pub async fn restore(
        chain: Chain,
        ledger: Ledger,
        settings: Settings,
        chain_unix_s: i64,
    ) -> Result<Self, SettlementError> {
        let (unfinished, pending) = tokio::try_join!(ledger.unfinished(), ledger.pending())?;
        let (claims, asked) = mpsc::unbounded_channel();
        let company = settings.claim_company;
        let shared = Arc::new(Shared {
            chain,
            ledger,
            settings,
            time: ChainTime::new(chain_unix_s),
            jobs: Mutex::default(),
            tokens_per_s: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            is_retiring: AtomicBool::new(false),
            claims,
            claims_at_once: Semaphore::new(CLAIMS_AT_ONCE),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        shared.tasks.spawn(Arc::clone(&shared).gather_claims(asked, company));
        let settlement = Self(shared);
        let claiming = claims_by_job(&pending);
        for found in unfinished {
            settlement.take_up(found, &claiming)?;
        }
        for PendingTransaction { transaction, jobs } in pending {
            let jobs = jobs.iter().filter_map(|part| settlement.job(&part.job).ok()).collect();
            settlement.0.resume(transaction, jobs);
        }
        Ok(settlement)
    }

    fn take_up(
        &self,
        found: Unfinished,
        claiming: &HashMap<Pubkey, Part>,
    ) -> Result<(), SettlementError> {
        let shared = &self.0;
        let terms: JobTerms = serde_json::from_str(&found.job.terms)?;
        let claiming = claiming.get(&found.job.job).copied();
        let restored = Restored {
            claim_until_unix_s: found.job.claim_until_unix_s,
            produced: found.produced,
            voucher: found.job.voucher,
            is_last: found.job.is_last,
            was_called: !found.calls.is_empty(),
            claiming,
        };
        let (agreed, now) = (agreed(&terms, shared.settings.unfinal_max), shared.time.now_unix_s());
        let life = Life::restored(agreed, found.job.prices, restored, now);
        let job = Job::new(terms, life, found.calls.into_iter().collect());
        tracing::info!(job = %job.address, claiming = claiming.is_some(), "job taken up again");
        lock(&shared.jobs).insert(job.address, job);
        Ok(())
    }
}

fn claims_by_job(pending: &[PendingTransaction]) -> HashMap<Pubkey, Part> {
    let claims = pending.iter().filter(|pending| pending.transaction.kind == Kind::Claim);
    claims.flat_map(|claim| &claim.jobs).map(|part| (part.job, *part)).collect()
}
