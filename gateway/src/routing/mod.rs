//! Which worker serves a call: a directory read from the chain each second, and what calls on
//! its workers have met lately.

mod breaker;
mod candidate;
pub mod egress;
mod name;
mod needs;

pub use breaker::Breaker;
pub use candidate::{Admission, Candidate};
pub use needs::{lacking, needs};

use std::sync::{Arc, Mutex, PoisonError};

use chainference_chain::{Abilities, Chain, ChainError, Pubkey};
use thiserror::Error;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{access::ModelList, clock::ChainTime, limits};

/// What the chain said when it was last asked.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub candidates: Vec<Candidate>,
    /// Ids of all models that any worker has ever offered and not retracted.
    pub known_models: Vec<(String, String)>,
    pub time: ChainTime,
    pub paused: bool,
    read_at: Instant,
}

/// Why no worker can be had.
#[derive(Debug)]
pub enum NoCandidate {
    /// No worker has ever offered it.
    Unknown,
    /// It is offered, but no worker that offers it is well.
    Nobody,
    /// It is offered, but not on the key's list.
    Forbidden,
    /// It is offered, but not for what is asked of it.
    Unable { missing: Abilities },
    /// The chain has not answered lately.
    ChainAway(String),
}

/// The directory. Cheap to clone; one task keeps it fresh.
#[derive(Clone)]
pub struct Directory {
    latest: watch::Receiver<Latest>,
    /// There is no market to read of.
    closed: bool,
    breaker: Arc<Mutex<Breaker<Pubkey>>>,
    started: Instant,
}

/// What the chain said when it last answered, and what is wrong since then.
struct Latest {
    known: Option<Arc<Snapshot>>,
    trouble: Option<String>,
}

impl Directory {
    /// Reads the chain once, whatever comes of it, and then each second until `stop`.
    pub async fn start(chain: Chain, admission: Admission, stop: CancellationToken) -> Self {
        let first = read(&chain, admission).await.map_err(|error| error.to_string());
        if let Err(error) = &first {
            tracing::warn!(error, "the chain does not answer yet");
        }
        let latest = match first {
            Ok(first) => Latest { known: Some(Arc::new(first)), trouble: None },
            Err(error) => Latest { known: None, trouble: Some(error) },
        };
        let (sender, latest) = watch::channel(latest);
        tokio::spawn(keep_fresh(chain, admission, sender, stop));
        Self { latest, closed: false, breaker: Arc::default(), started: Instant::now() }
    }

    /// One without a market: nobody ever offers anything, and no chain is asked.
    pub fn closed() -> Self {
        let nothing = Snapshot {
            candidates: Vec::new(),
            known_models: Vec::new(),
            time: ChainTime { slot: 0, unix_s: 0 },
            paused: false,
            read_at: Instant::now(),
        };
        let latest = Latest { known: Some(Arc::new(nothing)), trouble: None };
        let (_, latest) = watch::channel(latest);
        Self { latest, closed: true, breaker: Arc::default(), started: Instant::now() }
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// # Errors
    /// Why the chain could not be read lately.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, String> {
        let latest = self.latest.borrow();
        let trouble = latest.trouble.as_deref().unwrap_or("it has not answered for a while");
        // The last good snapshot serves until it is too old.
        let known = latest.known.as_ref().filter(|known| self.closed || !known.is_old());
        known.cloned().ok_or_else(|| trouble.to_owned())
    }

    /// The best worker for the model that a client named and may use that can do what is needed,
    /// none of `tried`.
    ///
    /// # Errors
    /// [`NoCandidate`]
    pub fn pick(
        &self,
        asked: &str,
        needs: Abilities,
        tried: &[Pubkey],
        models: &ModelList,
    ) -> Result<Candidate, NoCandidate> {
        let snapshot = self.snapshot().map_err(NoCandidate::ChainAway)?;
        let now = self.started.elapsed();
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = |one: &Candidate| breaker.failures(one.worker);
        let named = candidate::named(asked, &snapshot.candidates);
        let found = !named.is_empty();
        let ranked = candidate::ranked(named, |one| models.allows(&one.model), failures);
        if found && ranked.is_empty() {
            return Err(NoCandidate::Forbidden);
        }
        if let Some(missing) = candidate::missing(&ranked, needs) {
            return Err(NoCandidate::Unable { missing });
        }
        ranked
            .into_iter()
            .filter(|one| one.abilities.contains(needs))
            .find(|one| !tried.contains(&one.worker) && breaker.allows(one.worker, now))
            .cloned()
            .ok_or_else(|| snapshot.why_nobody(asked))
    }

    /// Like [`Self::pick`], from what the chain said when it last answered, however long ago: among the
    /// workers that `is_wanted`.
    pub fn pick_known(
        &self,
        asked: &str,
        needs: Abilities,
        tried: &[Pubkey],
        is_wanted: impl Fn(&Candidate) -> bool,
    ) -> Option<Candidate> {
        let known = self.latest.borrow().known.clone()?;
        let now = self.started.elapsed();
        let breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = |one: &Candidate| breaker.failures(one.worker);
        candidate::ranked(candidate::named(asked, &known.candidates), |_| true, failures)
            .into_iter()
            .filter(|one| one.abilities.contains(needs) && !tried.contains(&one.worker))
            .find(|one| breaker.allows(one.worker, now) && is_wanted(one))
            .cloned()
    }

    /// The chain's clock: as it was last read, and the time since then.
    pub fn now_unix_s(&self) -> i64 {
        let latest = self.latest.borrow();
        let Some(known) = &latest.known else { return 0 };
        let since_s = i64::try_from(known.read_at.elapsed().as_secs()).unwrap_or(i64::MAX);
        known.time.unix_s.saturating_add(since_s)
    }

    pub fn failed(&self, worker: Pubkey) {
        let now = self.started.elapsed();
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).failed(worker, now);
    }

    pub fn succeeded(&self, worker: Pubkey) {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).succeeded(worker);
    }
}

impl Snapshot {
    fn is_old(&self) -> bool {
        self.read_at.elapsed() > limits::DIRECTORY_AGE_MAX
    }

    fn why_nobody(&self, asked: &str) -> NoCandidate {
        let known = |(model, quantisation): &(String, String)| {
            name::matches(asked, model, quantisation).is_some()
        };
        if self.known_models.iter().any(known) { NoCandidate::Nobody } else { NoCandidate::Unknown }
    }
}

async fn keep_fresh(
    chain: Chain,
    admission: Admission,
    sender: watch::Sender<Latest>,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(limits::DIRECTORY_INTERVAL)).await.is_some() {
        match read(&chain, admission).await {
            Ok(snapshot) => {
                if sender.borrow().trouble.is_some() {
                    tracing::info!("the chain answers");
                }
                let latest = Latest { known: Some(Arc::new(snapshot)), trouble: None };
                sender.send_replace(latest);
            }
            Err(error) => {
                tracing::debug!(%error, "the directory could not be read");
                sender.send_modify(|latest| latest.trouble = Some(error.to_string()));
            }
        }
    }
}

#[derive(Debug, Error)]
enum ReadError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("the chain's answer took too long")]
    Late,
    #[error("the market is not set up on this chain")]
    NoMarket,
}

async fn read(chain: &Chain, admission: Admission) -> Result<Snapshot, ReadError> {
    let reads =
        async { tokio::try_join!(chain.workers(), chain.offers(), chain.clock(), chain.config()) };
    let read = tokio::time::timeout(limits::DIRECTORY_DEADLINE, reads).await;
    let (workers, offers, clock, config) = read.map_err(|_| ReadError::Late)??;
    let config = config.ok_or(ReadError::NoMarket)?;
    let known =
        offers.iter().map(|(_, offer)| (offer.model().to_owned(), offer.quantisation().to_owned()));
    Ok(Snapshot {
        known_models: known.collect(),
        candidates: candidate::candidates(&workers, &offers, clock.unix_s, admission),
        time: ChainTime { slot: clock.slot, unix_s: clock.unix_s },
        paused: config.paused(),
        read_at: Instant::now(),
    })
}
