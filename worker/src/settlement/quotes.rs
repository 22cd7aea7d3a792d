//! Room for jobs that are being quoted.

use std::collections::HashSet;

use chainference_chain::terms::JobTerms;
use chainference_market::Prices;

use super::life::Life;
use super::{Job, Settlement, SettlementError, agreed, lock};
use crate::failpoint;
use crate::ledger::Write;

impl Settlement {
    /// Reserves room for a job and writes it down, before its quote is signed. Asking again for the
    /// same unused quote is fine.
    pub async fn quote(&self, terms: &JobTerms, prices: Prices) -> Result<(), SettlementError> {
        let shared = &self.0;
        let now_unix_s = shared.time.now_unix_s();
        let (job, vault) = (terms.job(), terms.vault);
        let encoded = serde_json::to_string(terms)?;
        let was_held = self.reserve(terms, prices, now_unix_s)?;
        let write = Write::Quote { job, vault, terms: encoded, prices, now_unix_s };
        match shared.ledger.write(write).await {
            Ok(is_new) if is_new || was_held => {
                failpoint::reached("quote stored");
                Ok(())
            }
            outcome => {
                lock(&shared.jobs).remove(&job);
                outcome?;
                Err(SettlementError::QuotedBefore)
            }
        }
    }

    /// `true`: the same quote is held already.
    fn reserve(
        &self,
        terms: &JobTerms,
        prices: Prices,
        now_unix_s: i64,
    ) -> Result<bool, SettlementError> {
        let shared = &self.0;
        if self.takes_nothing() {
            return Err(SettlementError::Draining);
        }
        if !shared.settings.clients.admits(&terms.vault) {
            return Err(SettlementError::ClientRefused);
        }
        let mut jobs = lock(&shared.jobs);
        if let Some(held) = jobs.get(&terms.job()) {
            let is_same = held.terms == *terms && lock(&held.life).is_quoted();
            return if is_same { Ok(true) } else { Err(SettlementError::QuotedBefore) };
        }
        if jobs.len() >= shared.settings.jobs_max {
            return Err(SettlementError::Full);
        }
        let of_client = jobs.values().filter(|job| job.terms.vault == terms.vault).count();
        if of_client >= shared.settings.jobs_per_client_max {
            return Err(SettlementError::ClientFull);
        }
        let life = Life::quoted(agreed(terms, shared.settings.unfinal_max), prices, now_unix_s);
        let job = Job::new(terms.clone(), life, HashSet::new());
        jobs.insert(job.address, job);
        Ok(false)
    }
}
