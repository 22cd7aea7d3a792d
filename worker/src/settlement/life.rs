//! A job's life as its worker sees it: `(event, now) → command`, without clock, chain or disk.
//!
//! ```text
//! Quoted ── seen locked ──▶ Locked ── claim due ──▶ Claiming ── landed, or seen settled ──▶ Ended
//!    │                        ▲                         │
//!    │ quote expired          └──── claim failed ───────┘ (looks at the chain, backs off)
//!    ▼
//!  Ended
//! ```
//! A job is claimed once, finally: the money is reserved in the vault and the voucher is on disk, so
//! claiming earlier buys nothing but fees. Only where much has gathered in a job that goes on is a
//! part of it claimed meanwhile. Times are unix seconds of the chain's clock.

use chainference_market::{Lamports, Prices, Totals};

use crate::ledger::{JobEnd, Part, StoredVoucher, TransactionEnd};

mod claiming;
mod credit;

pub use claiming::Due;
pub use credit::Gate;

/// When a job's money is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// A job without a call for so long is claimed, though the client never said "last".
    pub idle_s: i64,
    /// So long after its last call a job that must end waits for the voucher of its last tokens.
    pub patience_s: i64,
    /// The claim is sent at the latest so long before the chain's deadline.
    pub claim_margin_s: i64,
    /// So much that is vouched and not credited is worth a claim of its own while the job goes on.
    pub part_min: Lamports,
    /// How many prompt tokens beyond what is known to be produced a voucher may cover: a crash may
    /// have lost the count of calls whose frames had been sent.
    pub slack_in_tokens: u64,
}

/// What the chain shows under a job's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChain {
    Absent {
        block_height: u64,
    },
    Open,
    /// Another worker's.
    OfAnother,
    /// By us.
    Locked(Lock),
    Settled {
        cost: Lamports,
    },
}

/// A locked job as the chain shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    pub claim_until_unix_s: i64,
    /// The offer's when the lock landed.
    pub prices: Prices,
    /// Grows when the client adds to it.
    pub stake: Lamports,
    /// What claims have moved so far.
    pub credited: Lamports,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Seen(OnChain),
    CallBegan,
    CallEnded,
    /// A voucher is on disk.
    Vouched {
        voucher: StoredVoucher,
        is_last: bool,
    },
    ClaimEnded(TransactionEnd),
    /// The lock can't be rolled back any more.
    LockFinal,
    /// The worker is about to stop.
    Drain,
    Tick,
}

/// What the shell must do; its outcome comes back as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    Claim(Due),
    /// Look at the job on chain.
    Look,
    /// Book the end and forget the job.
    End(JobEnd),
}

/// Why a call or a voucher is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the job is not locked by this worker")]
    NotLocked,
    #[error("the job's time to serve is over")]
    ServeOver,
    #[error("the job takes no more calls")]
    Closed,
    #[error("the voucher is below the one that is held")]
    GoesBack,
    #[error("the cost is beyond the job's stake")]
    BeyondStake,
    #[error("the voucher covers more than was produced")]
    BeyondProduced,
    #[error(
        "vouch first: {unpaid_tokens} input tokens of this client would be unpaid, and this worker \
         accepts {max_tokens}"
    )]
    UnpaidInput { unpaid_tokens: u64, max_tokens: u64 },
    #[error("the job's lock is not final yet, and until then this worker serves less: try again")]
    NotFinal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Quoted,
    Locked { claim_until_unix_s: i64 },
    Claiming { claim_until_unix_s: i64 },
    Ended,
}

/// What never changes about a job.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    pub stake: Lamports,
    pub serve_until_unix_s: i64,
    /// The quote, or the lock that we sent, can't land after this block height.
    pub quote_last_valid_block_height: u64,
    /// The most that is served, by cost, before the lock is final. `None`: it is so at once.
    pub unfinal_max: Option<Lamports>,
}

#[derive(Clone, Debug)]
pub struct Life {
    agreed: Agreed,
    /// Quoted; replaced by the chain's snapshot once that is seen.
    prices: Prices,
    phase: Phase,
    /// Totals of a claim on its way that lets the job go on.
    part: Option<Totals>,
    /// As the chain showed it last.
    credited: Option<Lamports>,
    produced: Totals,
    voucher: Option<StoredVoucher>,
    /// Output at which a voucher was last asked for.
    asked_out: u64,
    is_last: bool,
    is_draining: bool,
    was_called: bool,
    live_calls: u32,
    idle_since_unix_s: i64,
    failures: u32,
    /// A claim of it was refused, not merely late.
    was_refused: bool,
    retry_at_unix_s: i64,
}

/// What the ledger knew of a job when the worker started.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// `None` where the job was quoted and not yet seen on chain.
    pub claim_until_unix_s: Option<i64>,
    pub produced: Totals,
    pub voucher: Option<StoredVoucher>,
    pub is_last: bool,
    pub was_called: bool,
    /// A claim is on its way: its end comes as an event.
    pub claiming: Option<Part>,
}

impl Life {
    /// A job that is being quoted.
    pub fn quoted(agreed: Agreed, prices: Prices, now_unix_s: i64) -> Self {
        Self {
            agreed,
            prices,
            phase: Phase::Quoted,
            part: None,
            credited: None,
            produced: Totals::ZERO,
            voucher: None,
            asked_out: 0,
            is_last: false,
            is_draining: false,
            was_called: false,
            live_calls: 0,
            idle_since_unix_s: now_unix_s,
            failures: 0,
            was_refused: false,
            retry_at_unix_s: now_unix_s,
        }
    }

    /// A job found in the ledger at a start. No call of it lives any more.
    pub fn restored(agreed: Agreed, prices: Prices, from: Restored, now_unix_s: i64) -> Self {
        let mut life = Self::quoted(agreed, prices, now_unix_s);
        life.phase = match from.claim_until_unix_s {
            None => Phase::Quoted,
            Some(claim_until_unix_s) if from.claiming.is_some_and(|part| part.is_final) => {
                Phase::Claiming { claim_until_unix_s }
            }
            Some(claim_until_unix_s) => Phase::Locked { claim_until_unix_s },
        };
        life.part = from.claiming.filter(|part| !part.is_final).map(|part| part.totals);
        life.voucher = from.voucher;
        life.produced = rise(from.produced, life.vouched());
        life.is_last = from.is_last;
        life.was_called = from.was_called;
        life
    }

    /// Tells what happened; returns what must be done now.
    pub fn handle(&mut self, event: Event, now_unix_s: i64, policy: &Policy) -> Command {
        match event {
            Event::Seen(seen) => return self.seen(seen, now_unix_s, policy),
            Event::ClaimEnded(end) => return self.claim_ended(end, now_unix_s, policy),
            Event::LockFinal => self.agreed.unfinal_max = None,
            Event::CallBegan => {
                self.was_called = true;
                self.live_calls += 1;
            }
            Event::CallEnded => {
                self.live_calls = self.live_calls.saturating_sub(1);
                self.idle_since_unix_s = now_unix_s;
            }
            Event::Vouched { voucher, is_last } => {
                if voucher.totals.covers(self.vouched()) {
                    self.voucher = Some(voucher);
                    self.produced = rise(self.produced, voucher.totals);
                }
                self.is_last |= is_last;
            }
            Event::Drain => self.is_draining = true,
            Event::Tick => {}
        }
        self.claim_if_due(now_unix_s, policy)
    }

    /// Whether another call may begin.
    pub fn admits_call(&self, now_unix_s: i64) -> Result<(), Refusal> {
        match self.phase {
            Phase::Locked { .. } if self.is_last || self.is_draining => Err(Refusal::Closed),
            Phase::Locked { .. } if now_unix_s >= self.agreed.serve_until_unix_s => {
                Err(Refusal::ServeOver)
            }
            Phase::Locked { .. } => Ok(()),
            Phase::Claiming { .. } | Phase::Ended => Err(Refusal::Closed),
            Phase::Quoted => Err(Refusal::NotLocked),
        }
    }

    /// The job's totals over all its calls.
    pub fn produced(&self) -> Totals {
        self.produced
    }

    /// As the chain showed it last.
    pub fn stake(&self) -> Lamports {
        self.agreed.stake
    }

    pub fn prices(&self) -> Prices {
        self.prices
    }

    /// Totals of the voucher that is held.
    pub fn vouched(&self) -> Totals {
        self.voucher.map_or(Totals::ZERO, |voucher| voucher.totals)
    }

    pub fn is_quoted(&self) -> bool {
        self.phase == Phase::Quoted
    }

    /// Whether any call of it was ever begun.
    pub fn was_called(&self) -> bool {
        self.was_called
    }

    /// Whether its lock is known to be final, or never had to be.
    pub fn is_final(&self) -> bool {
        self.agreed.unfinal_max.is_none()
    }

    fn seen(&mut self, seen: OnChain, now_unix_s: i64, policy: &Policy) -> Command {
        match (self.phase, seen) {
            (Phase::Ended, _) | (_, OnChain::Open) => return Command::Nothing,
            (Phase::Quoted, OnChain::OfAnother) => return self.end(JobEnd::Dropped),
            (_, OnChain::OfAnother) => return Command::Nothing, // a node that tells nonsense
            (_, OnChain::Settled { cost }) => return self.end(JobEnd::Settled(Some(cost))),
            (Phase::Quoted, OnChain::Absent { block_height }) => {
                if block_height > self.agreed.quote_last_valid_block_height {
                    return self.end(JobEnd::Dropped);
                }
            }
            // Before its deadline a locked job can't be gone: the node lags behind.
            (
                Phase::Locked { claim_until_unix_s } | Phase::Claiming { claim_until_unix_s },
                OnChain::Absent { .. },
            ) if now_unix_s >= claim_until_unix_s => return self.end(JobEnd::Settled(None)),
            (Phase::Locked { .. } | Phase::Claiming { .. }, OnChain::Absent { .. }) => {}
            (phase, OnChain::Locked(lock)) => {
                let claim_until_unix_s = lock.claim_until_unix_s;
                self.phase = match phase {
                    Phase::Claiming { .. } => Phase::Claiming { claim_until_unix_s },
                    _ => Phase::Locked { claim_until_unix_s },
                };
                self.prices = lock.prices;
                self.credited = Some(lock.credited);
                self.agreed.stake = self.agreed.stake.max(lock.stake);
            }
        }
        self.claim_if_due(now_unix_s, policy)
    }

    fn end(&mut self, end: JobEnd) -> Command {
        self.phase = Phase::Ended;
        Command::End(end)
    }
}

fn rise(a: Totals, b: Totals) -> Totals {
    Totals { tokens_in: a.tokens_in.max(b.tokens_in), tokens_out: a.tokens_out.max(b.tokens_out) }
}

#[cfg(test)]
mod tests;
