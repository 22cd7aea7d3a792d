//! The open market: jobs that are published and that nobody has locked. Those that fit are locked, each
//! by a transaction that is stored before it is sent.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chainference_chain::terms::JobTerms;
use chainference_chain::{OpenJob, Pubkey, SignedTransaction, Signer, instruction};
use chainference_market::{Prices, Totals};
use tokio_util::sync::CancellationToken;

use super::choice::{Applicant, Serving, Wanted};
use super::life::Life;
use super::{Job, Settlement, SettlementError, Shared, agreed, lock};
use crate::failpoint;
use crate::ledger::{JobEnd, Kind, Part, Write};
use crate::pricing::PriceTag;

/// An offer, and what serves it.
pub(crate) struct Stall {
    /// The worker's cold key: it is no client's.
    pub owner: Pubkey,
    pub offer: Pubkey,
    pub model_hash: [u8; 32],
    pub prices: PriceTag,
    pub serve_max_s: u32,
    /// Calls that the engine would take now.
    pub room: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Settlement {
    /// Looks for open jobs of this offer until `shutdown`: when the chain tells of one, and from time to
    /// time, for those that there was no room for and while the chain tells nothing.
    pub async fn watch_market(&self, stall: Stall, every: Duration, shutdown: CancellationToken) {
        let mut changes = self.0.chain.watch_open_jobs(&stall.model_hash);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = changes.next() => {}
                _ = ticks.tick() => {}
            }
            if self.takes_nothing() {
                continue;
            }
            if let Err(error) = self.0.visit(&stall).await {
                tracing::debug!(%error, "the open market could not be looked at");
            }
        }
    }

    /// Nothing new is taken: the worker stops, or leaves the market.
    pub fn takes_nothing(&self) -> bool {
        self.is_draining() || self.is_retiring()
    }

    pub fn is_retiring(&self) -> bool {
        self.0.is_retiring.load(Ordering::Relaxed)
    }
}

impl Shared {
    async fn visit(self: &Arc<Self>, stall: &Stall) -> Result<(), SettlementError> {
        let mut room = self.room(stall);
        if room == 0 {
            return Ok(());
        }
        let mut open = self.chain.open_jobs(&stall.model_hash).await?;
        let serving = Serving { prices: stall.prices.get(), serve_max_s: stall.serve_max_s };
        open.retain(|open| self.is_wanted(open, &serving));
        if open.is_empty() {
            return Ok(());
        }
        let worker = self.settings.worker;
        let (record, offer, config) = tokio::try_join!(
            self.chain.worker(&worker),
            self.chain.offer(&stall.offer),
            self.chain.config(),
        )?;
        let (Some(record), Some(offer), Some(config)) = (record, offer, config) else {
            return Ok(());
        };
        let reputation_prior = config.reputation_prior;
        let applicant = Applicant { worker, record: &record, offer: &offer, reputation_prior };
        open.retain(|open| applicant.passes(open));
        open.sort_by_key(|open| open.job.open_slot); // who waits longest comes first
        for open in open {
            if room == 0 || config.paused() {
                break;
            }
            match self.take(stall, &open, serving.prices).await {
                Ok(true) => room -= 1,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, job = %open.address, "not taken"),
            }
        }
        Ok(())
    }

    /// How many more jobs could be served if their calls came at once.
    fn room(&self, stall: &Stall) -> usize {
        let jobs = lock(&self.jobs);
        let uncalled = jobs.values().filter(|job| !lock(&job.life).was_called()).count();
        let places = self.settings.jobs_max.saturating_sub(jobs.len());
        (stall.room)().saturating_sub(uncalled).min(places)
    }

    /// What can be decided by the job alone.
    fn is_wanted(&self, open: &OpenJob, serving: &Serving) -> bool {
        let is_new = || !lock(&self.jobs).contains_key(&open.address);
        self.settings.clients.admits(&open.job.vault)
            && serving.check(&Wanted::from(&open.job), self.time.now_unix_s()).is_ok()
            && is_new()
    }

    /// Reserves a place, stores the lock, sends it. `false`: the job isn't for us.
    async fn take(
        self: &Arc<Self>,
        stall: &Stall,
        open: &OpenJob,
        prices: Prices,
    ) -> Result<bool, SettlementError> {
        let operator = self.settings.operator.pubkey();
        let Some(vault) = self.chain.vault(&open.job.vault).await? else { return Ok(false) };
        let is_ours = |key: &Pubkey| vault.is_client(key) || open.job.authority == *key;
        if is_ours(&operator) || is_ours(&stall.owner) {
            return Ok(false); // a worker doesn't serve itself
        }
        let blockhash = self.chain.blockhash().await?;
        let terms = JobTerms {
            vault: open.job.vault,
            authority: open.job.authority,
            worker: self.settings.worker,
            operator,
            offer: stall.offer,
            model_hash: open.job.model_hash,
            session_key: open.job.session_key,
            open_slot: open.job.open_slot,
            stake: open.job.stake,
            max_price_in_per_mtok: open.job.max_price_in_per_mtok,
            max_price_out_per_mtok: open.job.max_price_out_per_mtok,
            max_charge_min: open.job.max_charge_min,
            serve_until_unix_s: open.job.serve_until_unix_s,
            blockhash: blockhash.hash,
            last_valid_block_height: blockhash.last_valid_block_height,
        };
        let (worker, offer) = (&terms.worker, &terms.offer);
        let locks = instruction::lock(&operator, worker, offer, &terms.vault, &open.address);
        let signed = SignedTransaction::sign(&[locks], &self.settings.operator, &[], &blockhash)?;
        let Some(job) = self.place(terms, prices)? else { return Ok(false) };
        if let Err(error) = self.store_take(&job, prices, &signed).await {
            self.end(&job, JobEnd::Dropped).await;
            return Err(error);
        }
        Ok(true)
    }

    /// A place among the live jobs, within the caps. `None`: there is no room for this client.
    fn place(&self, terms: JobTerms, prices: Prices) -> Result<Option<Arc<Job>>, SettlementError> {
        let (agreed, now_unix_s) =
            (agreed(&terms, self.settings.unfinal_max), self.time.now_unix_s());
        let mut jobs = lock(&self.jobs);
        let of_client = jobs.values().filter(|job| job.terms.vault == terms.vault).count();
        if jobs.contains_key(&terms.job())
            || jobs.len() >= self.settings.jobs_max
            || of_client >= self.settings.jobs_per_client_max
        {
            return Ok(None);
        }
        let job = Job::new(terms, Life::quoted(agreed, prices, now_unix_s), HashSet::new());
        jobs.insert(job.address, Arc::clone(&job));
        Ok(Some(job))
    }

    async fn store_take(
        self: &Arc<Self>,
        job: &Arc<Job>,
        prices: Prices,
        signed: &SignedTransaction,
    ) -> Result<(), SettlementError> {
        let terms = serde_json::to_string(&job.terms)?;
        let now_unix_s = self.time.now_unix_s();
        let (address, vault) = (job.address, job.terms.vault);
        let write = Write::Take { job: address, vault, terms, prices, now_unix_s };
        if !self.ledger.write(write).await? {
            return Err(SettlementError::QuotedBefore);
        }
        let part = Part { job: address, totals: Totals::ZERO, is_final: false };
        let transaction = self.store(Kind::Lock, signed, vec![part]).await?;
        failpoint::reached("lock stored");
        self.resume(transaction, vec![Arc::clone(job)]);
        Ok(())
    }
}
