//! A job in use: its account, and the one writer of its vouchers. The writer is a task of its own: no
//! token waits for a signature, a disk or the worker's answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chainference_market::{Lamports, MarketError, Totals};
use chainference_protocol::SignedVoucher;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};

use super::{
    CallError, Settlement,
    account::Account,
    job::{Job, LiveJob, stored},
    tending::Standing,
};
use crate::{clock::now_unix_ms, failpoint, limits};

/// A job in use. Cheap to clone; the sweeper stays away until the last clone is gone.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    job: Job,
    account: Mutex<Account>,
    writer: Mutex<Option<Writer>>,
    /// When the last call ended.
    idle_since: Mutex<Instant>,
    /// Held while more stake is on its way.
    growing: tokio::sync::Mutex<()>,
    _live: LiveJob,
}

/// Takes totals and turns the newest into a voucher; totals that were overtaken are left out.
struct Writer {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

/// What is to be vouched for. What calls owe that have ended can wait until none moves: a burst of them gets one voucher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    totals: Totals,
    /// So much of it is for calls that go on, whose workers count on it.
    at_once: Totals,
}

/// A call's part in a job: its number, and the most that it may come to.
pub struct Lease {
    pub session: Session,
    pub call: u32,
    pub bounds: Totals,
    /// Whether the job was there before the call.
    pub is_ahead: bool,
}

impl Session {
    /// Takes a locked job into use, for up to `calls_max` calls.
    pub fn start(settlement: &Settlement, job: Job, live: LiveJob, calls_max: u32) -> Self {
        let (wanted, newest) = watch::channel(Wanted::default());
        let writing = settlement.clone().write(job.clone(), newest);
        let writer = Writer { wanted, task: settlement.tasks.spawn(writing) };
        let account = Account::new(job.prices, Lamports(job.terms.stake), calls_max);
        Self(Arc::new(Inner {
            job,
            account: Mutex::new(account),
            writer: Mutex::new(Some(writer)),
            idle_since: Mutex::new(Instant::now()),
            growing: tokio::sync::Mutex::default(),
            _live: live,
        }))
    }

    pub fn job(&self) -> &Job {
        &self.0.job
    }

    /// A place in the job for one more call; `None` where its stake does not cover that.
    pub fn lease(&self, bounds: Totals, is_ahead: bool) -> Option<Lease> {
        let call = self.account().admit(bounds)?;
        Some(Lease { session: self.clone(), call, bounds, is_ahead })
    }

    pub fn account(&self) -> MutexGuard<'_, Account> {
        lock(&self.0.account)
    }

    /// How it stands at this time of the chain.
    pub fn standing(&self, now_unix_s: i64) -> Standing {
        let account = self.account();
        let since = *lock(&self.0.idle_since);
        Standing {
            left_s: self.0.job.terms.serve_until_unix_s.saturating_sub(now_unix_s),
            is_open: account.is_open(),
            idle_for: if account.is_idle() { since.elapsed() } else { Duration::ZERO },
            used: account.used(),
            stake: account.stake(),
        }
    }

    /// Whoever gets this may add stake: one at a time.
    pub fn try_grow(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.0.growing.try_lock().ok()
    }

    /// No more calls; `true` where none is running either, so that the job can be ended.
    pub fn close(&self) -> bool {
        let mut account = self.account();
        account.close();
        account.is_idle()
    }

    /// Ends the writing, and tells what the last voucher says; `None` where that was done before.
    pub async fn stop(&self) -> Option<Totals> {
        let Writer { wanted, task } = lock(&self.0.writer).take()?;
        drop(wanted);
        if let Err(error) = task.await {
            tracing::error!(%error, "the writing of vouchers failed");
        }
        Some(self.account().vouched())
    }

    fn want(&self, totals: Totals, at_once: bool) {
        if let Some(writer) = &*lock(&self.0.writer) {
            writer.wanted.send_if_modified(|wanted| wanted.rise(totals, at_once));
        }
    }
}

impl Wanted {
    /// `true` where that is more, or sooner. Two calls may come here in the other order: totals never go back, and those
    /// that were overtaken are no less urgent.
    fn rise(&mut self, totals: Totals, at_once: bool) -> bool {
        let before = *self;
        if totals.covers(self.totals) {
            self.totals = totals;
        }
        if at_once && totals.covers(self.at_once) {
            self.at_once = totals;
        }
        *self != before
    }
}

impl Lease {
    pub fn job(&self) -> &Job {
        self.session.job()
    }

    /// This much of the call is to be vouched for.
    pub fn vouch(&self, totals: Totals) {
        let all = self.session.account().vouch(self.call, totals);
        self.session.want(all, true);
    }

    /// What these totals cost in this job.
    pub fn price_of(&self, totals: Totals) -> Result<Lamports, MarketError> {
        self.session.account().price_of(totals)
    }

    /// Whether no other call's tokens can be in the job's totals.
    pub fn is_alone(&self) -> bool {
        self.session.account().is_for_one()
    }

    /// The worker refused the call before it did anything.
    pub fn take_back(&self) {
        self.session.account().take_back(self.call);
    }

    /// The call has ended. Returns what it costs, and `true` where the job has ended, too.
    pub fn settle(&self, owed: Totals, is_even: bool) -> (Lamports, bool) {
        let (cost, all, is_over) = {
            let mut account = self.session.account();
            let cost = account.settle(self.call, owed, is_even);
            (cost, account.vouched(), !account.is_open() && account.is_idle())
        };
        *lock(&self.session.0.idle_since) = Instant::now();
        // The last voucher of a job is for whoever ends it.
        if !is_over {
            self.session.want(all, owed.tokens_in >= limits::PROMPT_TOKENS_LONG);
        }
        (cost, is_over)
    }
}

impl Settlement {
    async fn write(self, job: Job, mut newest: watch::Receiver<Wanted>) {
        let mut vouched = Totals::ZERO;
        while newest.changed().await.is_ok() {
            tokio::select! {
                () = self.lull.pause(limits::BOOKS_WAIT_MAX) => {}
                hurry = newest.wait_for(|wanted| !vouched.covers(wanted.at_once)) => {
                    if hurry.is_err() {
                        // The last voucher says it all.
                        return;
                    }
                }
            }
            let wanted = newest.borrow_and_update().totals;
            if wanted != vouched && self.vouch_until_changed(&job, wanted, &newest).await {
                vouched = wanted;
            }
        }
    }

    /// A voucher that was lost is missed by a worker that waits for it: it is sent again, until it gets through, or there is
    /// a newer one or no more wanted; `false` then.
    async fn vouch_until_changed(
        &self,
        job: &Job,
        totals: Totals,
        newest: &watch::Receiver<Wanted>,
    ) -> bool {
        let voucher = job.vouch(totals, false);
        while let Err(error) = self.vouch(job, &voucher).await {
            tracing::warn!(job = %job.address, %error, "a voucher did not get through");
            sleep(limits::VOUCH_INTERVAL).await;
            if newest.has_changed().unwrap_or(true) {
                return false;
            }
        }
        true
    }

    /// Stores a voucher, then posts it: what binds us is known to us first.
    pub async fn vouch(&self, job: &Job, voucher: &SignedVoucher) -> Result<(), CallError> {
        self.ledger.store_voucher(&job.id(), &stored(voucher), now_unix_ms()).await?;
        failpoint::reached("voucher stored");
        self.workers.vouch(&job.endpoint, voucher).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overtaken_is_wanted_no_less_soon() {
        let totals = |tokens_out| Totals { tokens_in: 10, tokens_out };
        let mut wanted = Wanted::default();
        assert!(wanted.rise(totals(64), false));
        assert!(wanted.rise(totals(32), true), "a worker waits for it");
        assert_eq!(wanted, Wanted { totals: totals(64), at_once: totals(32) });
        assert!(!wanted.rise(totals(32), true));
        assert!(!wanted.rise(totals(16), false));
        assert!(wanted.rise(totals(80), true));
        assert_eq!(wanted, Wanted { totals: totals(80), at_once: totals(80) });
    }
}
