//! From a call to its place in a job, by the gateway's mode: a job of its own made now, one made
//! ahead, or a share of one that carries many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chainference_chain::Pubkey;
use chainference_market::{Lamports, Totals};
use chainference_protocol::Task;
use tokio::time::{Instant, sleep};

use super::{
    CallError, Settlement,
    admission::Row,
    prepare::{Locked, NewStake},
    session::{Lease, Session},
    stake,
};
use crate::{limits, mode::Way, routing::Candidate};

/// What a call asks for.
pub(super) struct Asked<'a> {
    pub call: &'a str,
    pub row: &'a Row,
    pub task: &'a Task,
    pub candidate: &'a Candidate,
    pub way: Way,
    /// Only a job that is made now will do: one that was there turned out to be dead.
    pub is_fresh: bool,
}

/// The sessions of a gateway, by the offer that they are with.
#[derive(Clone, Default)]
pub struct Sessions {
    open: Arc<Mutex<HashMap<Pubkey, Vec<Session>>>>,
    /// Who opens a session of an offer: others wait for it instead of opening more.
    opening: Arc<Mutex<HashMap<Pubkey, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Settlement {
    pub(super) async fn lease(&self, asked: &Asked<'_>) -> Result<Lease, CallError> {
        let bounds = stake::bounds(asked.task, asked.candidate.context_tokens);
        let cost = stake::stake(&asked.candidate.prices, bounds)?;
        match asked.way {
            Way::Strict => self.lease_new(asked, bounds, cost).await,
            Way::PerCall => {
                if let Some(lease) = self.lease_ready(asked, bounds, cost) {
                    return Ok(lease);
                }
                self.lease_new(asked, bounds, cost).await
            }
            Way::Session => self.lease_share(asked, bounds, cost).await,
        }
    }

    /// Whether a call could begin on this worker without asking the chain.
    pub(super) fn has_place(&self, task: &Task, candidate: &Candidate, way: Way) -> bool {
        let bounds = stake::bounds(task, candidate.context_tokens);
        let Ok(cost) = stake::stake(&candidate.prices, bounds) else { return false };
        match way {
            Way::Strict => false,
            Way::PerCall => self.ahead.has(candidate, cost),
            Way::Session => self.sessions.admits(candidate.offer, bounds),
        }
    }

    /// A job that is ready.
    fn lease_ready(&self, asked: &Asked<'_>, bounds: Totals, cost: Lamports) -> Option<Lease> {
        self.ahead.arrived(asked.candidate, cost);
        if asked.is_fresh {
            return None;
        }
        self.ahead.take(asked.candidate, cost)?.lease(bounds, true)
    }

    /// A job for this call alone, made now.
    async fn lease_new(
        &self,
        asked: &Asked<'_>,
        bounds: Totals,
        cost: Lamports,
    ) -> Result<Lease, CallError> {
        // The job's row names the call's.
        asked.row.write(None).await?;
        let new = NewStake {
            call: Some(asked.call),
            way: asked.way,
            candidate: asked.candidate,
            stake: cost,
            serve_s: limits::SERVE_S,
        };
        let Locked { job, live } = self.publish_even_if_short(&new).await?;
        let session = Session::start(self, job, live, 1);
        session.lease(bounds, false).ok_or_else(no_room)
    }

    /// A place in a session, which is opened where there is none with room.
    async fn lease_share(
        &self,
        asked: &Asked<'_>,
        bounds: Totals,
        cost: Lamports,
    ) -> Result<Lease, CallError> {
        let offer = asked.candidate.offer;
        if asked.is_fresh {
            self.end_sessions(self.sessions.take_out(offer));
        }
        if let Some(lease) = self.sessions.lease(offer, bounds) {
            return Ok(lease);
        }
        let opening = self.sessions.opening(offer);
        let _turn = opening.lock().await;
        // Whoever was first may have opened one with room for this call, too.
        if let Some(lease) = self.sessions.lease(offer, bounds) {
            return Ok(lease);
        }
        if let Some(session) = self.sessions.newest(offer)
            && self.add_stake(&session, cost).await
            && let Some(lease) = session.lease(bounds, true)
        {
            return Ok(lease);
        }
        match self.open_session(asked.candidate, cost).await {
            // It takes no job of that length or size; one for this call may do.
            Err(error) if error.is_about_terms() => self.lease_new(asked, bounds, cost).await,
            opened => opened?.lease(bounds, false).ok_or_else(no_room),
        }
    }

    /// Opens a session that has room for many calls like one of this cost, as far as money allows.
    pub(super) async fn open_session(
        &self,
        candidate: &Candidate,
        cost: Lamports,
    ) -> Result<Session, CallError> {
        let wished = cost.0.saturating_mul(limits::SESSION_CALLS);
        let share = self.share_of_funds().await?;
        let left = share.0.saturating_sub(self.sessions.reserved().0);
        let new = NewStake {
            call: None,
            way: Way::Session,
            candidate,
            stake: Lamports(wished.min(left).max(cost.0)),
            serve_s: limits::SESSION_SERVE_S,
        };
        let Locked { job, live } = self.publish_even_if_short(&new).await?;
        let session = Session::start(self, job, live, u32::MAX);
        self.sessions.add(candidate.offer, session.clone());
        Ok(session)
    }

    /// Publishes a job for a call that waits. What jobs that wait for nobody hold is let go where
    /// money is short without it.
    async fn publish_even_if_short(&self, new: &NewStake<'_>) -> Result<Locked, CallError> {
        let until = Instant::now() + limits::SQUEEZE_WAIT;
        let mut squeezed = false;
        loop {
            match self.publish(new).await {
                Err(error) if error.is_short_of_money() && Instant::now() < until => {
                    squeezed |= self.squeeze();
                    if !squeezed {
                        return Err(error);
                    }
                    sleep(limits::SETTLE_POLL).await;
                }
                published => return published,
            }
        }
    }

    /// Ends the jobs that no call uses; `false` where there are none.
    fn squeeze(&self) -> bool {
        let ready = self.ahead.take_all();
        let idle = self.sessions.take_idle();
        let some = !ready.is_empty() || !idle.is_empty();
        self.end_sessions(ready);
        self.end_sessions(idle);
        some
    }

    /// A call that its worker refused gives back a job that was ready.
    pub(super) fn give_back(&self, lease: Lease) {
        lease.take_back();
        self.end_sessions(self.ahead.put_back(lease.session).into_iter().collect());
    }

    /// No more calls on these; those that none uses are ended, the others with their last call.
    pub(super) fn end_sessions(&self, sessions: Vec<Session>) {
        for session in sessions {
            if session.close() {
                self.end_soon(session, None);
            }
        }
    }
}

impl Sessions {
    pub fn lease(&self, offer: Pubkey, bounds: Totals) -> Option<Lease> {
        lock(&self.open).get(&offer)?.iter().find_map(|session| session.lease(bounds, true))
    }

    pub fn admits(&self, offer: Pubkey, bounds: Totals) -> bool {
        let open = lock(&self.open);
        let sessions = open.get(&offer).map(Vec::as_slice).unwrap_or_default();
        sessions.iter().any(|session| session.account().admits(bounds))
    }

    /// All open ones.
    pub fn all(&self) -> Vec<(Pubkey, Session)> {
        let open = lock(&self.open);
        let each = |(offer, sessions): (&Pubkey, &Vec<Session>)| {
            sessions.iter().map(|session| (*offer, session.clone())).collect::<Vec<_>>()
        };
        open.iter().flat_map(each).collect()
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.open).is_empty()
    }

    /// What they reserve together.
    pub fn reserved(&self) -> Lamports {
        let stakes = self.all().into_iter().map(|(_, session)| session.account().stake().0);
        Lamports(stakes.fold(0, u64::saturating_add))
    }

    /// Takes those out that a check names.
    pub fn take_if(&self, is_wanted: impl Fn(&Session) -> bool) -> Vec<Session> {
        let mut open = lock(&self.open);
        let mut taken = Vec::new();
        for sessions in open.values_mut() {
            taken.extend(sessions.extract_if(.., |session| is_wanted(session)));
        }
        open.retain(|_, sessions| !sessions.is_empty());
        taken
    }

    pub(super) fn add(&self, offer: Pubkey, session: Session) {
        lock(&self.open).entry(offer).or_default().push(session);
    }

    fn newest(&self, offer: Pubkey) -> Option<Session> {
        lock(&self.open).get(&offer)?.last().cloned()
    }

    fn take_out(&self, offer: Pubkey) -> Vec<Session> {
        lock(&self.open).remove(&offer).unwrap_or_default()
    }

    fn take_idle(&self) -> Vec<Session> {
        self.take_if(|session| session.account().is_idle())
    }

    /// How many there are of an offer.
    pub fn count(&self, offer: Pubkey) -> usize {
        lock(&self.open).get(&offer).map_or(0, Vec::len)
    }

    /// How many there are in all.
    pub fn count_all(&self) -> usize {
        lock(&self.open).values().map(Vec::len).sum()
    }

    pub(super) fn opening(&self, offer: Pubkey) -> Arc<tokio::sync::Mutex<()>> {
        lock(&self.opening).entry(offer).or_default().clone()
    }
}

fn no_room() -> CallError {
    CallError::Refused("the stake does not cover the call".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
