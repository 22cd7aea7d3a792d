//! Keeps jobs ready before calls come, and sessions going: the shell around the pool.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chainference_chain::{
    Pubkey,
    accounts::{self, JobStatus},
};
use chainference_market::{Lamports, Totals};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    CallError, Settlement,
    job::Job,
    pool::{Command, Line, Policy, Pool, Ready},
    prepare::NewStake,
    session::Session,
    tending::Need,
};
use crate::{limits, metrics, mode::Way, routing::Candidate};

const POLICY: Policy =
    Policy { jobs_per_worker_max: limits::READY_PER_WORKER_MAX, serve_s_min: limits::SERVE_S_MIN };

/// The jobs that are ready. Cheap to clone.
#[derive(Clone)]
pub struct Ahead {
    pool: Arc<Mutex<Pool<Pubkey, Session>>>,
    /// A call came, or a job was locked: there may be something to do.
    changed: Arc<Notify>,
    began: Instant,
    clock: ChainClock,
}

/// The chain's clock as the directory last read it, and how long ago that was.
#[derive(Clone)]
pub struct ChainClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Ahead {
    /// `clock` tells the chain's time, in unix seconds.
    pub fn new(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            pool: Arc::new(Mutex::new(Pool::new(POLICY))),
            changed: Arc::default(),
            began: Instant::now(),
            clock: ChainClock(Arc::new(clock)),
        }
    }

    pub fn arrived(&self, candidate: &Candidate, cost: Lamports) {
        let now = self.now();
        self.pool().arrived(candidate.worker, candidate.offer, cost, now);
        self.changed.notify_one();
    }

    pub fn take(&self, candidate: &Candidate, cost: Lamports) -> Option<Session> {
        let now_unix_s = (self.clock.0)();
        let mut pool = self.pool();
        loop {
            let Some(session) = pool.take(candidate.offer, cost, now_unix_s) else {
                pool.missed(candidate.worker, candidate.offer, cost, self.now());
                return None;
            };
            // Other prices than the offer's now: the next one may have them; this one is swept.
            if session.job().prices == candidate.prices {
                return Some(session);
            }
        }
    }

    /// A ready job that was not used after all; given back where none is wanted any more.
    pub fn put_back(&self, session: Session) -> Option<Session> {
        let terms = &session.job().terms;
        let (worker, offer, stake) = (terms.worker, terms.offer, Lamports(terms.stake));
        let serve_until_unix_s = terms.serve_until_unix_s;
        let ready = Ready { job: session, serve_until_unix_s };
        self.pool().put_back(Line { worker, offer, stake }, ready, self.now())
    }

    pub fn has(&self, candidate: &Candidate, cost: Lamports) -> bool {
        self.pool().has(candidate.offer, cost, (self.clock.0)())
    }

    pub fn take_all(&self) -> Vec<Session> {
        self.pool().take_out(|_| true)
    }

    /// Waits until there are too few jobs for those calls that may come meanwhile.
    async fn run_low(&self) {
        while !self.pool().is_low(self.now()) {
            self.changed.notified().await;
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool<Pubkey, Session>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Settlement {
    /// Fills the pool and tends the sessions until `stop`.
    pub async fn keep_ahead_until(self, stop: CancellationToken) {
        let mut tick = interval(limits::AHEAD_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.ahead.changed.notified() => {}
                _ = tick.tick() => {}
            }
            // What is made for the next calls should not stand in the way of these.
            let paused = timeout(limits::AHEAD_WAIT_MAX, self.lull.pause_of(limits::AHEAD_PAUSE));
            tokio::select! {
                _ = paused => {}
                () = self.ahead.run_low() => {}
            }
            if looked.elapsed() >= limits::LOOK_INTERVAL {
                looked = Instant::now();
                self.forget_what_is_gone().await;
                self.tend_sessions();
            }
            self.fill().await;
            metrics::ahead(self.ahead.pool().ready(), self.sessions.count_all());
        }
    }

    /// Publishes what is wanted and lets go of what is not.
    async fn fill(&self) {
        let Ok(snapshot) = self.directory.snapshot() else { return };
        let is_short = self.ahead.pool().is_short(self.ahead.now());
        if !is_short && self.ahead.pool().is_empty() {
            return;
        }
        let share = if is_short {
            let Ok(share) = self.share_of_funds().await else { return };
            share
        } else {
            Lamports(u64::MAX)
        };
        let offered = |offer| snapshot.candidates.iter().find(|one| one.offer == offer);
        let now = self.ahead.now();
        let now_unix_s = (self.ahead.clock.0)();
        let is_offered = |offer| offered(offer).is_some();
        let commands = self.ahead.pool().plan(now, now_unix_s, share, is_offered);
        for command in commands {
            match command {
                Command::End(session) => self.end_sessions(vec![session]),
                Command::Publish(line) => match offered(line.offer) {
                    Some(candidate) => {
                        self.tasks.spawn(self.clone().add_ready(line, candidate.clone()));
                    }
                    None => self.ahead.pool().failed(line, now),
                },
            }
        }
    }

    async fn add_ready(self, line: Line<Pubkey>, candidate: Candidate) {
        let began = self.ahead.now();
        let new = NewStake {
            call: None,
            way: Way::PerCall,
            candidate: &candidate,
            stake: line.stake,
            serve_s: limits::READY_SERVE_S,
        };
        let locked = match self.publish(&new).await {
            Ok(locked) => locked,
            Err(error) => {
                tracing::debug!(%error, stake = %line.stake, "no job could be made ahead");
                let now = self.ahead.now();
                return self.ahead.pool().failed(line, now);
            }
        };
        let now = self.ahead.now();
        // A voucher for nothing: the worker looks at the lock now, and not when a call waits for it.
        if let Err(error) = self.vouch(&locked.job, &locked.job.vouch(Totals::ZERO, false)).await {
            tracing::debug!(job = %locked.job.address, %error, "a worker did not greet a job");
        }
        let serve_until_unix_s = locked.job.terms.serve_until_unix_s;
        let session = Session::start(&self, locked.job, locked.live, 1);
        let ready = Ready { job: session, serve_until_unix_s };
        let unwanted = self.ahead.pool().filled(line, ready, now.saturating_sub(began), now);
        self.end_sessions(unwanted.into_iter().collect());
        self.ahead.changed.notify_one();
    }

    /// What jobs that wait for calls may hold together: a share of what is free without them, and
    /// never more than a bound.
    pub(super) async fn share_of_funds(&self) -> Result<Lamports, CallError> {
        let free = self.free_funds().await?;
        let held = self.ahead.pool().reserved().0.saturating_add(self.sessions.reserved().0);
        let all = free.0.saturating_add(held);
        Ok(Lamports((all / limits::AHEAD_SHARE).min(self.ahead_max.0)))
    }

    /// Jobs that the chain shows settled, or not at all, are no use: the sweeper books them.
    async fn forget_what_is_gone(&self) {
        if self.ahead.pool().is_empty() && self.sessions.is_empty() {
            return;
        }
        let ready = self.ahead.pool().jobs(|session| session.job().address);
        let open = self.sessions.all().into_iter().map(|(_, session)| session.job().address);
        let addresses: Vec<_> = ready.into_iter().chain(open).collect();
        let Ok(jobs) = self.chain.jobs(&addresses).await else { return };
        // What isn't there may be too new for the node that was asked.
        let is_settled = |job: &Option<_>| {
            job.as_ref().is_some_and(|job: &accounts::Job| job.status() == JobStatus::Settled)
        };
        let settled = addresses.iter().zip(jobs).filter(|(_, job)| is_settled(job));
        let settled: HashSet<_> = settled.map(|(address, _)| *address).collect();
        let is_gone = |job: &Job| settled.contains(&job.address);
        let gone = self.ahead.pool().take_out(|session| is_gone(session.job()));
        self.end_sessions(gone);
        let gone = self.sessions.take_if(|session| is_gone(session.job()));
        self.end_sessions(gone);
    }

    /// Takes nothing more: ready jobs and idle sessions end now, the others with their last call.
    pub fn retire(&self) {
        let ready = self.ahead.pool().close();
        self.end_sessions(ready);
        self.end_sessions(self.sessions.take_if(|_| true));
    }

    /// Gives each open session what it needs.
    fn tend_sessions(&self) {
        let now_unix_s = (self.ahead.clock.0)();
        self.end_sessions(
            self.sessions.take_if(|one| one.standing(now_unix_s).needs() == Need::End),
        );
        for (offer, session) in self.sessions.all() {
            match session.standing(now_unix_s).needs() {
                Need::Stake => drop(self.tasks.spawn(self.clone().top_up(session))),
                Need::Successor if self.sessions.count(offer) == 1 => {
                    self.tasks.spawn(self.clone().succeed(offer, session));
                }
                Need::Nothing | Need::End | Need::Successor => {}
            }
        }
    }

    /// A session that will soon be too old is followed by another before any call must wait for it.
    async fn succeed(self, offer: Pubkey, session: Session) {
        let Ok(snapshot) = self.directory.snapshot() else { return };
        let Some(candidate) = snapshot.candidates.iter().find(|one| one.offer == offer) else {
            return;
        };
        let opening = self.sessions.opening(offer);
        let Ok(_turn) = opening.try_lock() else { return };
        let least = candidate.prices.charge_min.max(1);
        let cost = Lamports((session.job().terms.stake / limits::SESSION_CALLS).max(least));
        match self.open_session(candidate, cost).await {
            Ok(_) => {
                let old = self.sessions.take_if(|open| open.job().address == session.job().address);
                self.end_sessions(old);
            }
            Err(error) => tracing::warn!(%error, "a session could not be renewed yet"),
        }
    }
}
