//! A job as the gateway holds it while it lives: its key, its prices, its place.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use chainference_chain::{JobTerms, Pubkey};
use chainference_market::{Prices, Totals};
use chainference_protocol::{Address, SessionKey, SignedVoucher};

use crate::{
    ledger::{self, JobRow, LedgerError, StoredVoucher},
    routing::Candidate,
};

/// What is needed to vouch on a job and to end it.
#[derive(Clone, Debug)]
pub struct Job {
    pub address: Pubkey,
    pub terms: JobTerms,
    pub session_key: SessionKey,
    pub prices: Prices,
    pub endpoint: String,
}

impl Job {
    pub fn new(terms: JobTerms, session_key: SessionKey, candidate: &Candidate) -> Self {
        Self {
            address: terms.job(),
            terms,
            session_key,
            prices: candidate.prices,
            endpoint: candidate.endpoint.clone(),
        }
    }

    /// The job of a stored row.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`]
    pub fn from_row(row: &JobRow) -> Result<Self, LedgerError> {
        let corrupt = || LedgerError::Corrupt { what: format!("job {}", row.id) };
        let terms: JobTerms = serde_json::from_str(&row.terms).map_err(|_| corrupt())?;
        let mut seed = [0; 32];
        let length = bs58::decode(&row.session_key.0).onto(&mut seed).map_err(|_| corrupt())?;
        if length != seed.len() || terms.job().to_string() != row.id {
            return Err(corrupt());
        }
        Ok(Self {
            address: terms.job(),
            terms,
            session_key: SessionKey::from_seed(seed),
            prices: row.prices,
            endpoint: row.endpoint.clone(),
        })
    }

    pub fn id(&self) -> String {
        self.address.to_string()
    }

    pub fn wire_address(&self) -> Address {
        Address(self.address.to_bytes())
    }

    /// The key in the form in which the ledger keeps it.
    pub fn stored_key(&self) -> ledger::SessionKey {
        ledger::SessionKey(bs58::encode(self.session_key.seed()).into_string())
    }

    pub fn vouch(&self, totals: Totals, last: bool) -> SignedVoucher {
        self.session_key.vouch(self.wire_address(), totals, last)
    }
}

/// A voucher in the form in which the ledger keeps it.
pub fn stored(voucher: &SignedVoucher) -> StoredVoucher {
    StoredVoucher { totals: voucher.totals(), signature: voucher.signature.to_string() }
}

/// The jobs that a call or the sweeper drives: nobody else touches them meanwhile.
#[derive(Clone, Debug, Default)]
pub struct LiveJobs(Arc<Mutex<HashSet<String>>>);

impl LiveJobs {
    /// Marks a job as driven until the guard is dropped; `None` where it is driven already.
    pub fn try_hold(&self, job: &str) -> Option<LiveJob> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(job.to_owned()).then(|| LiveJob { all: self.clone(), job: job.to_owned() })
    }
}

#[derive(Debug)]
pub struct LiveJob {
    all: LiveJobs,
    job: String,
}

impl Drop for LiveJob {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.job);
    }
}
