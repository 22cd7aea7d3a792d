//! What happens next: mostly what the parties would do, at times and in amounts around every limit.

use std::collections::{BTreeMap, VecDeque};

use chainference_chain::{Keypair, Pubkey};

use crate::attacks;
use crate::call::{Call, Tx, Verb, Voucher};
use crate::cast::{Cast, PAIRS, Pair};
use crate::model::Model;
use crate::rng::Rng;
use crate::state::{Job, State, Status};

pub enum Step {
    Warp {
        slots: u64,
        seconds: i64,
    },
    /// Accounts get cheaper; what was paid for older ones stays theirs.
    Rent {
        per_byte: u64,
    },
    Send(Tx),
}

/// The key of a job's vouchers, and those that it signed.
pub struct Session {
    /// `None`: the job names a key that nobody can sign with.
    pub key: Option<Keypair>,
    pub vouchers: Vec<Voucher>,
}

pub struct Steps<'a> {
    pub cast: &'a Cast,
    pub rng: Rng,
    pub sessions: BTreeMap<Pubkey, Session>,
    /// What was begun and goes on.
    pub queue: VecDeque<Vec<Call>>,
}

type Maker = fn(&mut Steps, &Model) -> Option<Vec<Call>>;

/// How often each kind of step is tried.
const KINDS: &[(u64, Maker)] = &[
    (120, |s, m| s.publish(m)),
    (60, |s, m| s.publish_and_lock(m)),
    (20, |s, m| s.publish_onto_a_donation(m)),
    (130, |s, m| s.lock(m)),
    (200, |s, m| s.claim(m)),
    (30, |s, m| s.finish(m)),
    (30, |s, m| s.cancel(m)),
    (60, |s, m| s.expire(m)),
    (50, |s, m| s.top_up(m)),
    (80, |s, m| s.close_job(m)),
    (90, |s, m| s.compare(m)),
    (30, |s, m| s.deposit(m)),
    (25, |s, m| s.withdraw(m)),
    (35, |s, m| s.donate(m)),
    (20, |s, m| s.set_delegate(m)),
    (20, |s, m| s.open_vault(m)),
    (10, |s, m| s.close_vault(m)),
    (20, |s, m| s.register_worker(m)),
    (30, |s, m| s.update_worker(m)),
    (12, |s, m| s.retire_worker(m)),
    (30, |s, m| s.heartbeat(m)),
    (35, |s, m| s.post_offer(m)),
    (25, |s, m| s.update_offer(m)),
    (12, |s, m| s.retract_offer(m)),
    (25, |s, m| s.withdraw_earnings(m)),
    (35, |s, m| s.sweep_fees(m)),
    (35, |s, m| s.withdraw_fees(m)),
    (30, |s, m| s.update_config(m)),
    (10, |s, m| s.accept_admin(m)),
    (4, |s, m| s.initialize(m)),
];

impl<'a> Steps<'a> {
    pub fn new(cast: &'a Cast, seed: u64) -> Self {
        let mut steps =
            Self { cast, rng: Rng::new(seed), sessions: BTreeMap::new(), queue: VecDeque::new() };
        steps.open_the_market();
        steps
    }

    pub fn next(&mut self, model: &Model) -> Step {
        if let Some(calls) = self.queue.pop_front() {
            return Step::Send(self.tx(calls));
        }
        if self.rng.percent(10) {
            return self.warp(model);
        }
        if self.rng.below(600) == 0 {
            return Step::Rent {
                per_byte: model.rent_per_byte - self.rng.below(model.rent_per_byte / 2),
            };
        }
        let mut calls = self.calls(model);
        if self.rng.percent(4) {
            calls.extend(self.calls(model)); // two in one transaction: both or none
        }
        if self.rng.percent(4) {
            calls.extend(self.revive(&calls));
        }
        if self.rng.percent(22) {
            attacks::twist(&mut calls, self.cast, model, &mut self.rng);
        }
        Step::Send(self.tx(calls))
    }

    fn calls(&mut self, model: &Model) -> Vec<Call> {
        loop {
            let make = self.rng.weighted(KINDS);
            if let Some(calls) = make(self, model) {
                return calls;
            }
        }
    }

    /// Money for an address that the same transaction empties: a closed account must not come back by it.
    fn revive(&self, calls: &[Call]) -> Option<Call> {
        let place = match calls[0].verb {
            Verb::Close(_) => 2,
            Verb::Compare(_) => 3,
            Verb::CloseVault | Verb::RetireWorker => 1,
            Verb::RetractOffer => 2,
            _ => return None,
        };
        let closed = calls[0].instruction.accounts[place].pubkey;
        Some(self.transfer(&self.cast.attacker, &closed, 5_000_000))
    }

    pub fn tx(&self, calls: Vec<Call>) -> Tx {
        Tx { payer: self.cast.relayer, calls }
    }

    fn warp(&mut self, model: &Model) -> Step {
        let (mut slots, mut seconds) = (self.rng.below(300), self.rng.below(15) as i64);
        if self.rng.percent(30) {
            let (limits_slot, limits_unix_s) = limits(model);
            let by = self.rng.below(3) as i64 - 1; // just before, at, just after
            if self.rng.percent(50) && !limits_slot.is_empty() {
                let at = self.rng.pick(&limits_slot).saturating_add_signed(by);
                slots = at.checked_sub(model.slot).unwrap_or(slots);
            } else if !limits_unix_s.is_empty() {
                let ahead_s = self.rng.pick(&limits_unix_s) + by - model.now_unix_s;
                seconds = if ahead_s > 0 { ahead_s } else { seconds };
            }
        }
        Step::Warp { slots, seconds }
    }

    /// A job: mostly one that `fits`, else any; rarely one at all where none fits.
    pub fn job(&mut self, model: &Model, fits: impl Fn(&Job) -> bool) -> Option<(Pubkey, Job)> {
        let fitting: Vec<_> = model.jobs().filter(|(_, job)| fits(job)).collect();
        let any: Vec<_> = model.jobs().collect();
        let from = match (self.rng.percent(90), fitting.is_empty()) {
            (true, true) => return None,
            (true, false) => fitting,
            (false, _) => any,
        };
        (!from.is_empty()).then(|| self.rng.pick(&from)).map(|(key, job)| (*key, job.clone()))
    }

    /// One of three pairs: mostly one that `fits`.
    pub fn pair(&mut self, pairs: &[Pair; PAIRS], fits: impl Fn(&Pair) -> bool) -> (usize, Pair) {
        let fitting: Vec<_> = (0..PAIRS).filter(|i| fits(&pairs[*i])).collect();
        let any = !self.rng.percent(92) || fitting.is_empty();
        let i = if any { self.rng.below(PAIRS as u64) as usize } else { self.rng.pick(&fitting) };
        (i, pairs[i])
    }

    /// A key that acts for a vault; at times one that doesn't.
    pub fn client(&mut self, model: &Model, vault: &Pubkey) -> Pubkey {
        match model.state(vault) {
            Some(State::Vault(state)) if self.rng.percent(96) => match state.delegate {
                Some(delegate) if self.rng.percent(60) => delegate,
                _ => state.owner,
            },
            _ => self.person(),
        }
    }

    /// The hot key of a worker; at times another.
    pub fn operator(&mut self, model: &Model, worker: &Pubkey) -> Pubkey {
        match model.state(worker) {
            Some(State::Worker(state)) if self.rng.percent(96) => state.operator,
            _ => self.person(),
        }
    }

    pub fn person(&mut self) -> Pubkey {
        let people = self.cast.people();
        self.rng.pick(&people)
    }

    /// Mostly `this`, else anybody.
    pub fn mostly(&mut self, this: Pubkey) -> Pubkey {
        if self.rng.percent(96) { this } else { self.person() }
    }
}

/// Every slot and every second at which something begins or ends to be allowed.
fn limits(model: &Model) -> (Vec<u64>, Vec<i64>) {
    let (mut slots, mut seconds) = (Vec::new(), Vec::new());
    for account in model.accounts.values() {
        match &account.state {
            State::Job(job) => {
                slots.push(job.open_slot + 1_501);
                seconds.push(match job.status {
                    Status::Open => job.serve_until_unix_s,
                    Status::Locked => job.claim_until_unix_s,
                    Status::Settled => job.settled_unix_s + 3_600,
                });
            }
            State::Vault(vault) => {
                seconds.push(vault.period_start_unix_s + i64::from(vault.period_s))
            }
            State::Worker(worker) => seconds.push(worker.bond_free_unix_s),
            _ => {}
        }
    }
    slots.retain(|slot| *slot > model.slot);
    seconds.retain(|unix_s| *unix_s > model.now_unix_s);
    (slots, seconds)
}
