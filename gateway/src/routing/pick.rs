//! The choice of a worker, with all that the directory knows.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chainference_chain::{Abilities, Pubkey};
use chainference_market::Totals;
use chainference_protocol::Task;
use tokio::time::Instant;

use super::{
    Directory, NoCandidate,
    beginning::beginning,
    candidate::{self, Candidate},
    choose::{self, Contender, Placed},
    lately::{Lately, Taken},
    score::{Choice, Facts},
};
use crate::access::ModelList;

/// What a call wants of its worker.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// The model, as the client named it.
    pub asked: &'a str,
    pub needs: Abilities,
    /// What its key may use.
    pub models: &'a ModelList,
    /// Workers that it may not go to.
    pub without: &'a [Pubkey],
    pub size: Size,
    /// See [`Directory::beginning`].
    pub beginning: Option<u64>,
}

/// How long a call is likely to be, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub tokens_in: u64,
    pub tokens_out: u64,
}

impl Size {
    /// What is taken for granted where nothing is known.
    pub const TYPICAL: Self = Self { tokens_in: 512, tokens_out: 256 };
}

/// The worker that serves a call, and why it does.
#[derive(Clone, Debug)]
pub struct Picked {
    pub candidate: Candidate,
    pub choice: Choice,
}

impl<'a> Wish<'a> {
    /// Any worker of a model that a key may use.
    pub fn of(asked: &'a str, models: &'a ModelList) -> Self {
        let needs = Abilities::empty();
        Self { asked, needs, models, without: &[], size: Size::TYPICAL, beginning: None }
    }
}

impl Directory {
    /// The best worker for a call.
    ///
    /// # Errors
    /// [`NoCandidate`]
    pub fn pick(&self, wish: &Wish<'_>) -> Result<Picked, NoCandidate> {
        let snapshot = self.snapshot().map_err(NoCandidate::ChainAway)?;
        let named = candidate::named(wish.asked, &snapshot.candidates);
        let found = !named.is_empty();
        let meant = candidate::best_named(named, |one| wish.models.allows(&one.model));
        if found && meant.is_empty() {
            return Err(NoCandidate::Forbidden);
        }
        if let Some(missing) = candidate::missing(&meant, wish.needs) {
            return Err(NoCandidate::Unable { missing });
        }
        let placed = self.place(wish, meant);
        choose::chosen(&placed).map(picked).ok_or_else(|| snapshot.why_nobody(wish.asked))
    }

    /// Like [`Self::pick`], from what the chain said when it last answered, however long ago: among the
    /// workers that `is_wanted`.
    pub fn pick_known(
        &self,
        wish: &Wish<'_>,
        is_wanted: impl Fn(&Candidate) -> bool,
    ) -> Option<Picked> {
        let known = self.latest.borrow().known.clone()?;
        let named = candidate::named(wish.asked, &known.candidates);
        let mut meant = candidate::best_named(named, |one| wish.models.allows(&one.model));
        meant.retain(|one| is_wanted(one));
        choose::chosen(&self.place(wish, meant)).map(picked)
    }

    /// Those that can do what is needed, the best first.
    pub(super) fn place<'c>(
        &self,
        wish: &Wish<'_>,
        candidates: Vec<&'c Candidate>,
    ) -> Vec<Placed<'c>> {
        let now = self.started.elapsed();
        let lately = self.lately();
        let server = wish.beginning.and_then(|beginning| lately.server(beginning, now));
        let able = candidates.into_iter().filter(|one| one.abilities.contains(wish.needs));
        let contenders = able.map(|candidate| Contender {
            candidate,
            facts: facts(candidate, wish.size, &lately, server, now),
            breaker: lately.breaker.state(candidate.worker, now),
            is_excluded: wish.without.contains(&candidate.worker),
        });
        choose::place(contenders.collect())
    }

    /// What tells a conversation from others while it goes on.
    pub fn beginning(&self, task: &Task, model: &str) -> Option<u64> {
        beginning(task, model, &self.seed)
    }

    /// A call goes to this worker, until what this gives is dropped.
    pub fn enter(&self, worker: Pubkey) -> Visit {
        self.lately().enter(worker);
        Visit { lately: self.lately.clone(), worker, began: Instant::now() }
    }

    pub fn failed(&self, worker: Pubkey) {
        let now = self.started.elapsed();
        self.lately().breaker.failed(worker, now);
    }

    /// An answer is complete. Whether it was as it should be is said apart.
    pub fn served(&self, candidate: &Candidate, taken: Taken, beginning: Option<u64>) {
        let now = self.started.elapsed();
        let mut lately = self.lately();
        lately.took(candidate.offer, taken, now);
        if let Some(beginning) = beginning {
            lately.served(beginning, candidate.worker, now);
        }
    }

    /// An answer came as it should as far as it was wanted.
    pub fn succeeded(&self, worker: Pubkey) {
        self.lately().breaker.succeeded(worker);
    }

    pub(super) fn lately(&self) -> MutexGuard<'_, Lately<Pubkey>> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's stay at a worker.
pub struct Visit {
    lately: Arc<Mutex<Lately<Pubkey>>>,
    worker: Pubkey,
    began: Instant,
}

impl Visit {
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner).leave(self.worker);
    }
}

fn picked((candidate, choice): (&Candidate, Choice)) -> Picked {
    Picked { candidate: candidate.clone(), choice }
}

fn facts(
    candidate: &Candidate,
    size: Size,
    lately: &Lately<Pubkey>,
    server: Option<Pubkey>,
    now: Duration,
) -> Facts {
    let Size { tokens_in, tokens_out } = size;
    let cost = candidate.prices.cost(Totals { tokens_in, tokens_out });
    Facts {
        // What can't be paid is the dearest of all.
        cost: cost.map_or(u64::MAX, |cost| cost.0),
        reputation_bps: candidate.reputation_bps,
        expected_ms: lately.expected_ms(candidate.offer, tokens_out, now),
        in_flight: lately.in_flight(candidate.worker),
        is_known: server == Some(candidate.worker),
    }
}
