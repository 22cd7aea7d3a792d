//! Which worker serves a call: a directory that is read from the chain each second, and what calls on its workers
//! have met lately.

mod beginning;
mod breaker;
mod candidate;
mod choose;
pub mod egress;
mod lately;
mod listing;
mod name;
mod needs;
mod pick;
mod score;
mod standing;

pub use breaker::Breaker;
#[cfg(test)]
pub use candidate::tests::candidate as candidate_of;
pub use candidate::{Admission, Candidate};
pub use lately::Taken;
pub use listing::{OfferLine, WorkerLine};
pub use needs::{lacking, needs};
pub use pick::{Picked, Size, Visit, Wish};
pub use score::Choice;

use std::{
    hash::RandomState,
    sync::{Arc, Mutex},
};

use chainference_chain::{
    Abilities, Chain, ChainError, Market, Pubkey,
    accounts::{Offer, Worker},
};
use thiserror::Error;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{clock::ChainTime, limits, lull::Lull};
use candidate::Reading;
use lately::Lately;

/// What the chain said when it was last asked.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub candidates: Vec<Candidate>,
    /// All that there are, whether they serve or not.
    workers: Vec<(Pubkey, Worker)>,
    offers: Vec<(Pubkey, Offer)>,
    pub time: ChainTime,
    pub paused: bool,
    reading: Reading,
    read_at: Instant,
    listed_at: Instant,
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
    lately: Arc<Mutex<Lately<Pubkey>>>,
    /// Nobody else can tell which conversations have one hash.
    seed: RandomState,
    admission: Admission,
    started: Instant,
}

/// What the chain said when it last answered, and what is wrong since then.
struct Latest {
    known: Option<Arc<Snapshot>>,
    trouble: Option<String>,
}

impl Directory {
    /// Reads the chain once, whatever comes of it, and then each second until `stop`.
    pub async fn start(
        chain: Chain,
        admission: Admission,
        lull: Lull,
        stop: CancellationToken,
    ) -> Self {
        let first = read(&chain, admission, None).await.map_err(|error| error.to_string());
        if let Err(error) = &first {
            tracing::warn!(error, "the chain does not answer yet");
        }
        let latest = match first {
            Ok(first) => Latest { known: Some(Arc::new(first)), trouble: None },
            Err(error) => Latest { known: None, trouble: Some(error) },
        };
        let (sender, latest) = watch::channel(latest);
        let fresh = keep_fresh(chain, admission, lull, sender);
        tokio::spawn(async move { stop.run_until_cancelled(fresh).await });
        Self::reading(latest, admission)
    }

    /// One without a market: nobody ever offers anything, and no chain is asked.
    pub fn closed() -> Self {
        let latest = Latest { known: Some(Arc::new(Snapshot::empty())), trouble: None };
        let (_, latest) = watch::channel(latest);
        let admission = Admission { heartbeat_age_s_max: 0, allow_private_endpoints: false };
        Self { closed: true, ..Self::reading(latest, admission) }
    }

    fn reading(latest: watch::Receiver<Latest>, admission: Admission) -> Self {
        let (lately, seed, started) = (Arc::default(), RandomState::new(), Instant::now());
        Self { latest, closed: false, lately, seed, admission, started }
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

    /// The chain's clock: as it was last read, and the time since then.
    pub fn now_unix_s(&self) -> i64 {
        let latest = self.latest.borrow();
        let Some(known) = &latest.known else { return 0 };
        let since_s = i64::try_from(known.read_at.elapsed().as_secs()).unwrap_or(i64::MAX);
        known.time.unix_s.saturating_add(since_s)
    }
}

impl Snapshot {
    fn empty() -> Self {
        Self {
            candidates: Vec::new(),
            workers: Vec::new(),
            offers: Vec::new(),
            time: ChainTime { slot: 0, unix_s: 0 },
            paused: false,
            reading: Reading { now_unix_s: 0, reputation_prior: 0, heartbeat_s: 0 },
            read_at: Instant::now(),
            listed_at: Instant::now(),
        }
    }

    fn is_old(&self) -> bool {
        self.read_at.elapsed() > limits::DIRECTORY_AGE_MAX
    }

    /// Whether to look at these again, and not for others.
    fn is_enough(&self) -> bool {
        let count = self.workers.len() + self.offers.len();
        !self.candidates.is_empty()
            && count <= limits::DIRECTORY_KNOWN_MAX
            && self.listed_at.elapsed() < limits::DIRECTORY_LIST_INTERVAL
    }

    fn addresses(&self) -> (Vec<Pubkey>, Vec<Pubkey>) {
        let workers = self.workers.iter().map(|(address, _)| *address);
        (workers.collect(), self.offers.iter().map(|(address, _)| *address).collect())
    }

    fn why_nobody(&self, asked: &str) -> NoCandidate {
        let known = |(_, offer): &(Pubkey, Offer)| {
            name::matches(asked, offer.model(), offer.quantisation()).is_some()
        };
        if self.offers.iter().any(known) { NoCandidate::Nobody } else { NoCandidate::Unknown }
    }
}

async fn keep_fresh(chain: Chain, admission: Admission, lull: Lull, sender: watch::Sender<Latest>) {
    loop {
        tokio::time::sleep(limits::DIRECTORY_INTERVAL).await;
        lull.pause(limits::END_WAIT_MAX).await;
        let known = sender.borrow().known.clone();
        let known = known.as_deref().filter(|known| known.is_enough());
        match read(&chain, admission, known).await {
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

/// Reads the whole market, or who is known of it.
async fn read(
    chain: &Chain,
    admission: Admission,
    known: Option<&Snapshot>,
) -> Result<Snapshot, ReadError> {
    let began = Instant::now();
    let reads = async {
        let Some(known) = known else { return chain.market().await };
        let (workers, offers) = known.addresses();
        chain.market_of(&workers, &offers).await
    };
    let read = tokio::time::timeout(limits::DIRECTORY_DEADLINE, reads).await;
    let Market { clock, config, workers, offers } = read.map_err(|_| ReadError::Late)??;
    let config = config.ok_or(ReadError::NoMarket)?;
    let reading = Reading {
        now_unix_s: clock.unix_s,
        reputation_prior: config.reputation_prior,
        heartbeat_s: config.heartbeat_s,
    };
    Ok(Snapshot {
        candidates: candidate::candidates(&workers, &offers, reading, admission),
        workers,
        offers,
        time: ChainTime { slot: clock.slot, unix_s: clock.unix_s },
        paused: config.paused(),
        reading,
        read_at: Instant::now(),
        listed_at: known.map_or(began, |known| known.listed_at),
    })
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    fn known(offers: usize, candidates: usize) -> Snapshot {
        let offer = |_| (Pubkey::new_unique(), Offer::zeroed());
        Snapshot {
            candidates: (0..candidates).map(|_| candidate_of("a/m", "Q4", 1, 0)).collect(),
            offers: (0..offers).map(offer).collect(),
            ..Snapshot::empty()
        }
    }

    #[test]
    fn those_known_are_enough_while_they_serve_are_few_and_were_listed_lately() {
        assert!(known(limits::DIRECTORY_KNOWN_MAX, 1).is_enough());
        assert!(!known(limits::DIRECTORY_KNOWN_MAX + 1, 1).is_enough());
        assert!(!known(1, 0).is_enough());
        let listed_at = Instant::now().checked_sub(limits::DIRECTORY_LIST_INTERVAL).unwrap();
        let listed = Snapshot { listed_at, ..known(1, 1) };
        assert!(!listed.is_enough());
    }
}
