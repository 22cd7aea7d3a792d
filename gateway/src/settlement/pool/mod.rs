//! The jobs that are published and locked ahead of need: how many, how large, and when they go.
//! Events and the time in, commands out; no clock, no chain.
//!
//! A job fits a call whose greatest cost its stake covers. Stakes come in classes of powers of two:
//! few enough that calls share them, and never more than twice what a call may cost.

mod demand;

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use chainference_market::Lamports;

use demand::Demand;

/// A class up to so many times as large as the call's own may serve it.
const CLASSES_UP: u64 = 4;
/// How fast what a lock takes is learnt: one part in four is the newest.
const LOCK_S_AT_FIRST: f64 = 1.0;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Ready jobs, and those on their way, at one worker: it has few places for one client.
    pub jobs_per_worker_max: usize,
    /// A job with less time to serve than this, in seconds, can't carry a whole call.
    pub serve_s_min: i64,
}

/// Jobs of one worker's offer and one class of stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line<K> {
    pub worker: K,
    pub offer: K,
    pub stake: Lamports,
}

/// A job that waits for its call.
#[derive(Debug)]
pub struct Ready<T> {
    pub job: T,
    pub serve_until_unix_s: i64,
}

/// What the shell must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<K, T> {
    /// Publish and lock a job, and tell [`Pool::filled`] or [`Pool::failed`].
    Publish(Line<K>),
    /// It won't be called: let it go.
    End(T),
}

#[derive(Debug)]
struct Waiting<T> {
    demand: Demand,
    ready: VecDeque<Ready<T>>,
    filling: usize,
    failures: u32,
    not_before: Duration,
}

/// The pool of one gateway. `K` names workers and offers, `T` is a locked job.
#[derive(Debug)]
pub struct Pool<K, T> {
    lines: HashMap<Line<K>, Waiting<T>>,
    policy: Policy,
    lock_s: f64,
    closed: bool,
}

impl<K: Eq + Hash + Copy, T> Pool<K, T> {
    pub fn new(policy: Policy) -> Self {
        Self { lines: HashMap::new(), policy, lock_s: LOCK_S_AT_FIRST, closed: false }
    }

    /// A call that may cost up to `cost` wants a job.
    pub fn arrived(&mut self, worker: K, offer: K, cost: Lamports, now: Duration) {
        let line = Line { worker, offer, stake: class(cost) };
        let lock_s = self.lock_s;
        self.line(line, now).demand.arrived(now, lock_s);
    }

    /// There was no job for it.
    pub fn missed(&mut self, worker: K, offer: K, cost: Lamports, now: Duration) {
        self.line(Line { worker, offer, stake: class(cost) }, now).demand.missed(now);
    }

    /// A ready job for such a call, if there is one.
    pub fn take(&mut self, offer: K, cost: Lamports, now_unix_s: i64) -> Option<T> {
        let line = self.fitting(offer, cost, now_unix_s)?;
        let until = now_unix_s.saturating_add(self.policy.serve_s_min);
        let ready = &mut self.lines.get_mut(&line)?.ready;
        let at = ready.iter().position(|ready| ready.serve_until_unix_s >= until)?;
        ready.remove(at).map(|ready| ready.job)
    }

    /// Whether [`Self::take`] would give one.
    pub fn has(&self, offer: K, cost: Lamports, now_unix_s: i64) -> bool {
        self.fitting(offer, cost, now_unix_s).is_some()
    }

    fn fitting(&self, offer: K, cost: Lamports, now_unix_s: i64) -> Option<Line<K>> {
        let until = now_unix_s.saturating_add(self.policy.serve_s_min);
        let largest = class(cost).0.saturating_mul(CLASSES_UP);
        let fits =
            |line: &Line<K>| line.offer == offer && line.stake >= cost && line.stake.0 <= largest;
        let has = |waiting: &Waiting<T>| {
            waiting.ready.iter().any(|ready| ready.serve_until_unix_s >= until)
        };
        let fitting = self.lines.iter().filter(|(line, waiting)| fits(line) && has(waiting));
        fitting.map(|(line, _)| *line).min_by_key(|line| line.stake)
    }

    /// What must be done now. `budget` is all that ready jobs may reserve together, those that there
    /// are included; `is_offered` says whether an offer still stands.
    pub fn plan(
        &mut self,
        now: Duration,
        now_unix_s: i64,
        budget: Lamports,
        is_offered: impl Fn(K) -> bool,
    ) -> Vec<Command<K, T>> {
        let mut commands = self.shrink(now, now_unix_s, budget, is_offered);
        if !self.closed {
            let publish = self.grow(now, budget);
            commands.extend(publish.into_iter().map(Command::Publish));
        }
        self.lines.retain(|_, waiting| waiting.is_needed(now));
        commands
    }

    /// Whether [`Self::plan`] would publish anything, were there no bound on money.
    pub fn is_short(&self, now: Duration) -> bool {
        !self.closed && self.lines.values().any(|waiting| waiting.missing(now, self.lock_s) > 0)
    }

    /// Whether fewer are there or on their way than calls will take while one is locked, should they come on as they do.
    pub fn is_low(&self, now: Duration) -> bool {
        self.lines.values().any(|waiting| {
            let there = waiting.ready.len() + waiting.filling;
            waiting.missing(now, self.lock_s) > 0
                && (there as f64) < waiting.demand.meanwhile(now, self.lock_s)
        })
    }

    /// A job is locked; it took `took`. Gives it back where it is wanted no more.
    pub fn filled(
        &mut self,
        line: Line<K>,
        ready: Ready<T>,
        took: Duration,
        now: Duration,
    ) -> Option<T> {
        self.lock_s = (3.0 * self.lock_s + took.as_secs_f64()) / 4.0;
        let closed = self.closed;
        let waiting = self.line(line, now);
        waiting.filling = waiting.filling.saturating_sub(1);
        waiting.failures = 0;
        if closed {
            return Some(ready.job);
        }
        waiting.ready.push_back(ready);
        None
    }

    /// A job that was taken and not used is ready again; gives it back where none is wanted any more.
    pub fn put_back(&mut self, line: Line<K>, ready: Ready<T>, now: Duration) -> Option<T> {
        if self.closed {
            return Some(ready.job);
        }
        self.line(line, now).ready.push_front(ready);
        None
    }

    /// A job could not be locked: each failure in a row doubles the pause.
    pub fn failed(&mut self, line: Line<K>, now: Duration) {
        let waiting = self.line(line, now);
        waiting.filling = waiting.filling.saturating_sub(1);
        let pause = PAUSE_FIRST * (1 << waiting.failures.min(6));
        waiting.not_before = now + pause.min(PAUSE_MAX);
        waiting.failures = waiting.failures.saturating_add(1);
    }

    /// What is told of each job that is ready.
    pub fn jobs<U>(&self, tell: impl Fn(&T) -> U) -> Vec<U> {
        let ready = self.lines.values().flat_map(|waiting| &waiting.ready);
        ready.map(|ready| tell(&ready.job)).collect()
    }

    /// Takes out the jobs of which `is_gone` is true: they are settled, or their worker forgot them.
    pub fn take_out(&mut self, is_gone: impl Fn(&T) -> bool) -> Vec<T> {
        let mut gone = Vec::new();
        for waiting in self.lines.values_mut() {
            for ready in std::mem::take(&mut waiting.ready) {
                if is_gone(&ready.job) {
                    gone.push(ready.job);
                } else {
                    waiting.ready.push_back(ready);
                }
            }
        }
        gone
    }

    /// Gives everything back, and takes nothing more.
    pub fn close(&mut self) -> Vec<T> {
        self.closed = true;
        self.take_out(|_| true)
    }

    /// What ready jobs and those on their way reserve.
    pub fn reserved(&self) -> Lamports {
        let sums = self.lines.iter().map(|(line, waiting)| {
            line.stake.0.saturating_mul((waiting.ready.len() + waiting.filling) as u64)
        });
        Lamports(sums.fold(0, u64::saturating_add))
    }

    pub fn is_empty(&self) -> bool {
        self.ready() == 0
    }

    /// Jobs that wait for a call.
    pub fn ready(&self) -> usize {
        self.lines.values().map(|waiting| waiting.ready.len()).sum()
    }

    fn line(&mut self, line: Line<K>, now: Duration) -> &mut Waiting<T> {
        self.lines.entry(line).or_insert_with(|| Waiting {
            demand: Demand::new(now),
            ready: VecDeque::new(),
            filling: 0,
            failures: 0,
            not_before: now,
        })
    }

    /// Lets go of what nobody will call, what is too old to carry a call, and what money is too
    /// short for.
    fn shrink(
        &mut self,
        now: Duration,
        now_unix_s: i64,
        budget: Lamports,
        is_offered: impl Fn(K) -> bool,
    ) -> Vec<Command<K, T>> {
        let until = now_unix_s.saturating_add(self.policy.serve_s_min);
        let mut over = self.reserved().0.saturating_sub(budget.0);
        let mut ended = Vec::new();
        for (line, waiting) in &mut self.lines {
            let wanted = waiting.demand.ready_wanted(now, self.lock_s);
            // One more than is wanted may stay: demand sways.
            let keep = match wanted {
                _ if !is_offered(line.offer) => 0,
                0 => 0,
                wanted => wanted + 1,
            };
            let (fresh, old): (Vec<_>, Vec<_>) = std::mem::take(&mut waiting.ready)
                .into_iter()
                .partition(|ready| ready.serve_until_unix_s >= until);
            waiting.ready = fresh.into();
            ended.extend(old.into_iter().map(|ready| Command::End(ready.job)));
            while waiting.ready.len() > keep || (over > 0 && !waiting.ready.is_empty()) {
                over = over.saturating_sub(line.stake.0);
                ended.extend(waiting.ready.pop_front().map(|ready| Command::End(ready.job)));
            }
        }
        ended
    }

    /// Fills lines up, the emptiest first, as far as money and places go.
    fn grow(&mut self, now: Duration, budget: Lamports) -> Vec<Line<K>> {
        let mut publish = Vec::new();
        let mut left = budget.0.saturating_sub(self.reserved().0);
        let mut places: HashMap<K, usize> = HashMap::new();
        for (line, waiting) in &self.lines {
            *places.entry(line.worker).or_default() += waiting.ready.len() + waiting.filling;
        }
        let mut short: Vec<_> = self.lines.iter_mut().collect();
        short.sort_by_key(|(line, waiting)| (waiting.ready.len() + waiting.filling, line.stake));
        for (line, waiting) in short {
            let taken = places.entry(line.worker).or_default();
            for _ in 0..waiting.missing(now, self.lock_s) {
                if *taken >= self.policy.jobs_per_worker_max || line.stake.0 > left {
                    break;
                }
                *taken += 1;
                left -= line.stake.0;
                waiting.filling += 1;
                publish.push(*line);
            }
        }
        publish
    }
}

impl<T> Waiting<T> {
    fn missing(&self, now: Duration, lock_s: f64) -> usize {
        if now < self.not_before {
            return 0;
        }
        let wanted = self.demand.ready_wanted(now, lock_s);
        wanted.saturating_sub(self.ready.len() + self.filling)
    }

    fn is_needed(&self, now: Duration) -> bool {
        let is_used = !self.ready.is_empty() || self.filling > 0;
        is_used || self.demand.ready_wanted(now, 0.0) > 0 || now < self.not_before
    }
}

/// The stake of the class that a call of this greatest cost belongs to.
fn class(cost: Lamports) -> Lamports {
    Lamports(cost.0.checked_next_power_of_two().unwrap_or(cost.0).max(1))
}

#[cfg(test)]
mod tests;
