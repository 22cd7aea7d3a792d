//! From a stake to a locked job: funds, key, quote, transaction. Each step is stored before
//! the next one lets anything leave this machine.

use chainference_chain::{
    Blockhash, JobTerms, Pubkey, SignedTransaction, Signer, SubmitError,
    accounts::{self, Vault, model_hash},
};
use chainference_market::{Allowance, Lamports};
use chainference_protocol::SessionKey;
use rand::{SeedableRng, TryRngCore, rngs::OsRng, rngs::StdRng};

use super::{
    CallError, Settlement,
    job::{Job, LiveJob},
};
use crate::{
    clock::now_unix_ms,
    failpoint,
    ledger::{NewJob, TransactionKind, TransactionStatus},
    limits,
    mode::Way,
    routing::{Candidate, Snapshot},
};

/// What a job's transactions may cost besides: two signatures to publish and lock, one each to
/// finish, expire and close.
const JOB_FEES: Lamports = Lamports(5 * limits::FEE_PER_SIGNATURE);

/// A job that is locked on chain.
#[derive(Debug)]
pub struct Locked {
    pub job: Job,
    /// Keeps the sweeper away for as long as somebody has a use for the job.
    pub live: LiveJob,
}

/// A job that is to be made.
pub struct NewStake<'a> {
    /// The call that it is for, unless it is made for any.
    pub call: Option<&'a str>,
    pub way: Way,
    pub candidate: &'a Candidate,
    pub stake: Lamports,
    /// How far ahead its serving time ends, in seconds.
    pub serve_s: i64,
}

impl Settlement {
    /// Publishes and locks a job.
    pub async fn publish(&self, new: &NewStake<'_>) -> Result<Locked, CallError> {
        let snapshot = self.directory.snapshot().map_err(CallError::ChainAway)?;
        if snapshot.paused {
            return Err(CallError::Paused);
        }
        let blockhash = self.check_funds(&snapshot, new.stake).await?;

        let session_key = SessionKey::from_seed(random_seed()?);
        let terms = self.terms(new, &session_key, &snapshot, blockhash);
        let job = Job::new(terms, session_key, new.candidate);
        let live = self.live.try_hold(&job.id()).ok_or(CallError::Random)?;
        self.ledger.intend_job(&new_job(new, &job), now_unix_ms()).await?;
        failpoint::reached("job intended");
        let locked = self.lock(&job).await;
        if let Err(error) = &locked {
            self.give_up(&job, error).await;
        }
        locked.map(|()| Locked { job, live })
    }

    /// Quote, sign, store, send.
    async fn lock(&self, job: &Job) -> Result<(), CallError> {
        let quote = self.workers.quote(&job.endpoint, &job.terms, &self.key).await?;
        let transaction = job
            .terms
            .complete(&quote, &self.key)
            .map_err(|error| CallError::Protocol(error.to_string()))?;
        let id = job.id();
        self.store(&id, TransactionKind::Publish, &transaction).await?;
        failpoint::reached("publish stored");
        let submitted = self.submit_publish(job, &transaction).await;
        failpoint::reached("publish sent");
        self.conclude(&transaction, &submitted).await?;
        submitted.map_err(|error| self.refusal(error, job.terms.stake))?;
        let rent = self.job_rent().await?;
        self.ledger.lock_job(&id, rent, now_unix_ms()).await?;
        failpoint::reached("job locked");
        Ok(())
    }

    /// Publishes and locks. A node may have forgotten that it landed: the job's own account tells.
    pub(super) async fn submit_publish(
        &self,
        job: &Job,
        transaction: &SignedTransaction,
    ) -> Result<(), SubmitError> {
        match self.chain.submit(transaction).await {
            Err(SubmitError::Expired) if self.chain.job(&job.address).await?.is_some() => Ok(()),
            outcome => outcome,
        }
    }

    /// A job that did not come to be. Where nobody knows whether it did, the sweeper finds out.
    async fn give_up(&self, job: &Job, error: &CallError) {
        if matches!(error, CallError::ChainAway(_) | CallError::Ledger(_)) {
            return;
        }
        let failed = self.ledger.fail_job(&job.id(), &error.to_string(), now_unix_ms()).await;
        if let Err(error) = failed {
            tracing::error!(job = %job.id(), %error, "a job's failure could not be recorded");
        }
    }

    fn terms(
        &self,
        new: &NewStake<'_>,
        session_key: &SessionKey,
        snapshot: &Snapshot,
        blockhash: Blockhash,
    ) -> JobTerms {
        let candidate = new.candidate;
        JobTerms {
            vault: self.vault,
            authority: self.key.pubkey(),
            worker: candidate.worker,
            operator: candidate.operator,
            offer: candidate.offer,
            model_hash: model_hash(&candidate.model, &candidate.quantisation),
            session_key: Pubkey::new_from_array(session_key.public().0),
            open_slot: snapshot.time.slot,
            stake: new.stake.0,
            max_price_in_per_mtok: candidate.prices.input_per_mtok,
            max_price_out_per_mtok: candidate.prices.output_per_mtok,
            max_charge_min: candidate.prices.charge_min,
            serve_until_unix_s: snapshot.time.unix_s.saturating_add(new.serve_s),
            blockhash: blockhash.hash,
            last_valid_block_height: blockhash.last_valid_block_height,
        }
    }

    /// Whether vault and gateway can pay for a job with this stake. The chain has the last word;
    /// this one says where to put how much.
    async fn check_funds(
        &self,
        snapshot: &Snapshot,
        stake: Lamports,
    ) -> Result<Blockhash, CallError> {
        let key = self.key.pubkey();
        let (vault, balance, held, blockhash, job_rent) = tokio::try_join!(
            self.chain.vault(&self.vault),
            self.chain.balance(&self.vault),
            self.chain.balance(&key),
            self.chain.blockhash(),
            self.job_rent(),
        )?;
        let address = self.vault.to_string();
        let Some(vault) = vault else { return Err(CallError::NoVault { vault: address }) };
        let free = vault.free(balance.0);
        if stake > free {
            return Err(CallError::InsufficientBalance { vault: address, free, needed: stake });
        }
        if vault.owner != key {
            if vault.delegate() != Some(key) {
                return Err(CallError::NotDelegate { key: key.to_string(), vault: address });
            }
            check_limit(&vault, stake, snapshot.time.unix_s)
                .map_err(|()| CallError::OverLimit { vault: address, needed: stake })?;
        }
        let needed = job_rent.plus(JOB_FEES)?;
        if held < needed {
            return Err(CallError::GatewayUnfunded { key: key.to_string(), held, needed });
        }
        Ok(blockhash)
    }

    /// What could be staked now, by the vault and by the delegate's limit.
    pub async fn free_funds(&self) -> Result<Lamports, CallError> {
        let snapshot = self.directory.snapshot().map_err(CallError::ChainAway)?;
        let (vault, held) =
            tokio::try_join!(self.chain.vault(&self.vault), self.chain.balance(&self.vault))?;
        let Some(vault) = vault else {
            return Err(CallError::NoVault { vault: self.vault.to_string() });
        };
        let free = vault.free(held.0);
        if vault.owner == self.key.pubkey() {
            return Ok(free);
        }
        let allowance = rolled(&vault, snapshot.time.unix_s);
        let used = allowance.settled.0.saturating_add(vault.reserved);
        Ok(free.min(Lamports(allowance.limit.0.saturating_sub(used))))
    }

    /// A refusal by the chain, in the client's terms where it is the client's to mend.
    fn refusal(&self, error: SubmitError, stake: u64) -> CallError {
        let vault = self.vault.to_string();
        let needed = Lamports(stake);
        match error.error_name() {
            // Another call took what was free when this one looked.
            Some("InsufficientBalance") => {
                CallError::InsufficientBalance { vault, free: Lamports::ZERO, needed }
            }
            Some("OverDelegateLimit") => CallError::OverLimit { vault, needed },
            Some("Paused") => CallError::Paused,
            _ => error.into(),
        }
    }

    /// Records what became of a transaction. One whose end is unknown stays as it is.
    pub async fn conclude(
        &self,
        transaction: &SignedTransaction,
        outcome: &Result<(), SubmitError>,
    ) -> Result<(), CallError> {
        let status = match outcome {
            Ok(()) => TransactionStatus::Landed,
            Err(SubmitError::Unreachable(_)) => return Ok(()),
            Err(SubmitError::Expired) => TransactionStatus::Expired,
            Err(SubmitError::Rejected { has_landed: true, .. }) => TransactionStatus::Failed,
            Err(SubmitError::Rejected { .. } | SubmitError::Damaged) => TransactionStatus::Rejected,
        };
        let error = outcome.as_ref().err().map(ToString::to_string);
        let signature = transaction.signature.to_string();
        Ok(self.ledger.conclude_transaction(&signature, status, error.as_deref()).await?)
    }
}

fn new_job(new: &NewStake<'_>, job: &Job) -> NewJob {
    let candidate = new.candidate;
    NewJob {
        id: job.id(),
        call_id: new.call.map(str::to_owned),
        mode: new.way.name(),
        model: candidate.model.clone(),
        quantisation: candidate.quantisation.clone(),
        worker: candidate.worker.to_string(),
        endpoint: candidate.endpoint.clone(),
        session_key: job.stored_key(),
        terms: serde_json::to_string(&job.terms).expect("terms always serialise"),
        open_slot: job.terms.open_slot,
        stake: new.stake,
        prices: candidate.prices,
    }
}

fn check_limit(vault: &Vault, stake: Lamports, now_unix_s: i64) -> Result<(), ()> {
    let allowance = rolled(vault, now_unix_s);
    allowance.check(Lamports(vault.reserved), stake).map_err(|_| ())
}

/// What the delegate may spend, as of now.
fn rolled(vault: &Vault, now_unix_s: i64) -> Allowance {
    let mut allowance = Allowance {
        limit: Lamports(vault.limit),
        period_s: vault.period_s,
        period_start_unix_s: vault.period_start_unix_s,
        settled: Lamports(vault.settled_in_period),
    };
    allowance.roll(now_unix_s);
    allowance
}

/// What the network takes for a transaction: so much for each signature. Their number comes first
/// in its bytes.
pub fn fee(transaction: &SignedTransaction) -> Lamports {
    let signatures = transaction.wire.first().copied().unwrap_or_default();
    Lamports(u64::from(signatures) * limits::FEE_PER_SIGNATURE)
}

/// Bytes of a job's account that names one worker.
pub fn job_bytes() -> usize {
    accounts::Job::space(1)
}

fn random_seed() -> Result<[u8; 32], CallError> {
    let mut seed = [0; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(|_| CallError::Random)?;
    Ok(seed)
}

/// A generator for sealing one call, seeded by the system.
pub fn generator() -> Result<StdRng, CallError> {
    StdRng::try_from_os_rng().map_err(|_| CallError::Random)
}
