//! What to do next about a job that no call drives any more. A pure table over what the ledger
//! says, what the chain says, and the chain's own clock: this is all of recovery.

use chainference_market::Status;

use crate::{
    clock::ChainTime,
    ledger::JobStatus,
    limits::{CLAIM_PATIENCE_S, CLOSE_AFTER_SLOTS, SWEEP_INTERVAL},
};

/// What the ledger knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub status: JobStatus,
    pub open_slot: u64,
    /// Seconds since the job ended, by this machine's clock; 0 before.
    pub ended_for_s: i64,
    /// Whether the client has finished the job on chain.
    pub finished: bool,
}

/// What the chain knows.
#[derive(Clone, Copy, Debug)]
pub struct OnChain {
    pub status: Status,
    pub claim_until_unix_s: i64,
}

/// How often, in seconds, a worker that does not claim is spoken to.
const OFFER_EVERY_S: i64 = 30;
const SWEEP_S: i64 = SWEEP_INTERVAL.as_secs() as i64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do until time passes.
    Wait,
    /// It never left this machine.
    Fail,
    /// It may or may not have landed: send the same bytes again.
    Resubmit,
    /// It is on chain and no call uses it: it has ended.
    End,
    /// Offer the worker its last voucher again.
    PostLast,
    /// The worker does not claim: set its last date.
    Finish,
    /// Its last date is over: take the rest back.
    Expire,
    /// Settled on chain, not yet in the ledger.
    RecordSettled,
    /// Its account may go, and its rent return.
    Close,
    /// Its account is gone.
    RecordClosed,
}

pub fn next(known: Known, on_chain: Option<OnChain>, now: ChainTime) -> Step {
    use JobStatus::{Closed, Ended, Failed, Intended, Locked, Settled, Submitted};
    match (known.status, on_chain) {
        (Closed | Failed, _) => Step::Wait,
        (Intended, _) => Step::Fail,
        (Submitted, None) => Step::Resubmit,
        (Locked | Ended | Settled, None) => Step::RecordClosed,
        (Settled, Some(_)) if is_over(known.open_slot, now) => Step::Close,
        (Settled, Some(_)) => Step::Wait,
        (_, Some(OnChain { status: Status::Settled, .. })) => Step::RecordSettled,
        (Submitted | Locked, Some(_)) => Step::End,
        (Ended, Some(job)) if now.unix_s >= job.claim_until_unix_s => Step::Expire,
        (Ended, Some(_)) if known.ended_for_s >= CLAIM_PATIENCE_S && !known.finished => {
            Step::Finish
        }
        // A worker that was away for longer is offered its last voucher again, now and then.
        (Ended, Some(_)) if known.finished && known.ended_for_s % OFFER_EVERY_S > SWEEP_S => {
            Step::Wait
        }
        (Ended, Some(_)) => Step::PostLast,
    }
}

/// Whether the address of a job of that slot can't be used again.
pub fn is_over(open_slot: u64, now: ChainTime) -> bool {
    now.slot > open_slot.saturating_add(CLOSE_AFTER_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ChainTime = ChainTime { slot: 10_000, unix_s: 1_000 };

    fn known(status: JobStatus) -> Known {
        Known { status, open_slot: 9_000, ended_for_s: 0, finished: false }
    }

    fn on_chain(status: Status) -> Option<OnChain> {
        Some(OnChain { status, claim_until_unix_s: 2_000 })
    }

    #[test]
    fn every_job_is_moved_towards_its_end() {
        use JobStatus::*;
        let locked = || on_chain(Status::Locked);
        let settled = || on_chain(Status::Settled);
        for (status, chain, step) in [
            (Intended, None, Step::Fail),
            (Submitted, None, Step::Resubmit),
            (Submitted, locked(), Step::End),
            (Submitted, settled(), Step::RecordSettled),
            (Locked, None, Step::RecordClosed),
            (Locked, locked(), Step::End),
            (Locked, settled(), Step::RecordSettled),
            (Ended, None, Step::RecordClosed),
            (Ended, locked(), Step::PostLast),
            (Ended, settled(), Step::RecordSettled),
            (Settled, None, Step::RecordClosed),
            (Settled, settled(), Step::Wait),
            (Closed, None, Step::Wait),
            (Failed, None, Step::Wait),
        ] {
            assert_eq!(next(known(status), chain, NOW), step, "{status:?} {chain:?}");
        }
    }

    #[test]
    fn a_worker_that_does_not_claim_is_given_a_last_date_once_and_then_expired() {
        let mut ended = known(JobStatus::Ended);
        ended.ended_for_s = CLAIM_PATIENCE_S;
        assert_eq!(next(ended, on_chain(Status::Locked), NOW), Step::Finish);
        ended.finished = true;
        assert_eq!(next(ended, on_chain(Status::Locked), NOW), Step::Wait);
        ended.ended_for_s = OFFER_EVERY_S;
        assert_eq!(next(ended, on_chain(Status::Locked), NOW), Step::PostLast);
        let late = ChainTime { unix_s: 2_000, ..NOW };
        assert_eq!(next(ended, on_chain(Status::Locked), late), Step::Expire);
    }

    #[test]
    fn an_account_is_closed_only_after_its_slot_window() {
        let settled = known(JobStatus::Settled);
        let edge = ChainTime { slot: 9_000 + CLOSE_AFTER_SLOTS, ..NOW };
        assert_eq!(next(settled, on_chain(Status::Settled), edge), Step::Wait);
        let after = ChainTime { slot: edge.slot + 1, ..NOW };
        assert_eq!(next(settled, on_chain(Status::Settled), after), Step::Close);
    }
}
