//! What was delivered on a job, and when the next voucher is due. No clock, no I/O.

use std::time::Duration;

use chainference_market::Totals;
use thiserror::Error;

use crate::limits::{VOUCH_INTERVAL, VOUCH_TOKENS};

/// A worker counted what can't be: it gets nothing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MeterError {
    #[error("the worker counts {counted} input tokens, at most {most} are possible")]
    InputBeyondBound { counted: u64, most: u64 },
    #[error("the worker sent {sent} output tokens, at most {most} were asked for")]
    OutputBeyondBound { sent: u64, most: u64 },
    #[error("the worker began an answer twice")]
    AcceptedTwice,
    #[error("the worker sent an answer before it accepted the call")]
    NotAccepted,
}

/// Counts a call's tokens against its bounds and says when to vouch for them.
///
/// `received` is what the worker sent, `delivered` what the client was given of it: only that is
/// ever vouched for.
#[derive(Debug)]
pub struct Meter {
    bounds: Totals,
    accepted: bool,
    ended: bool,
    received: Totals,
    delivered: Totals,
    /// No more is owed, whatever is delivered.
    most: Totals,
    vouched: Totals,
    vouched_at: Duration,
}

impl Meter {
    pub fn new(bounds: Totals) -> Self {
        Self {
            bounds,
            accepted: false,
            ended: false,
            received: Totals::ZERO,
            delivered: Totals::ZERO,
            most: Totals { tokens_in: u64::MAX, tokens_out: u64::MAX },
            vouched: Totals::ZERO,
            vouched_at: Duration::ZERO,
        }
    }

    /// The worker has read the input and counts `tokens_in`.
    pub fn accepted(&mut self, tokens_in: u64) -> Result<(), MeterError> {
        let most = self.bounds.tokens_in;
        if self.accepted {
            return Err(MeterError::AcceptedTwice);
        }
        if tokens_in > most {
            return Err(MeterError::InputBeyondBound { counted: tokens_in, most });
        }
        self.accepted = true;
        self.received.tokens_in = tokens_in;
        self.delivered.tokens_in = tokens_in;
        Ok(())
    }

    /// A frame with this many tokens has come.
    pub fn received(&mut self, tokens: u64) -> Result<(), MeterError> {
        if !self.accepted {
            return Err(MeterError::NotAccepted);
        }
        let sent = self.received.tokens_out.saturating_add(tokens);
        let most = self.bounds.tokens_out;
        if sent > most {
            return Err(MeterError::OutputBeyondBound { sent, most });
        }
        self.received.tokens_out = sent;
        Ok(())
    }

    /// All that the worker sent, once it says that it has ended.
    pub fn received_totals(&self) -> Result<Totals, MeterError> {
        if self.accepted { Ok(self.received) } else { Err(MeterError::NotAccepted) }
    }

    /// The client has been given this many tokens in all.
    pub fn delivered(&mut self, tokens_out: u64) {
        let known = tokens_out.min(self.received.tokens_out);
        self.delivered.tokens_out = self.delivered.tokens_out.max(known);
    }

    /// The model's tokenizer counts no more than this. What was vouched for before stays so.
    pub fn counted(&mut self, most: Totals) {
        self.most = most;
    }

    /// The worker says that its answer is complete.
    pub fn ended(&mut self) {
        self.ended = true;
    }

    /// Whether the worker has sent a complete answer.
    pub fn is_whole(&self) -> bool {
        self.ended
    }

    /// Whether the client has got it, and all of it is owed.
    pub fn is_complete(&self) -> bool {
        self.ended && self.owed() == self.received
    }

    /// What the worker was promised so far.
    pub fn vouched(&self) -> Totals {
        self.vouched
    }

    /// What the client has got, and so what is owed.
    pub fn owed(&self) -> Totals {
        let owed = |delivered: u64, most: u64, vouched: u64| delivered.min(most).max(vouched);
        let Self { delivered, most, vouched, .. } = self;
        Totals {
            tokens_in: owed(delivered.tokens_in, most.tokens_in, vouched.tokens_in),
            tokens_out: owed(delivered.tokens_out, most.tokens_out, vouched.tokens_out),
        }
    }

    /// The totals to vouch for at `now`, if a voucher is due. Counts them as vouched.
    pub fn due(&mut self, now: Duration) -> Option<Totals> {
        let owed = self.owed();
        if owed == self.vouched {
            return None;
        }
        let unvouched = owed.tokens_out - self.vouched.tokens_out;
        let input_unvouched = owed.tokens_in > self.vouched.tokens_in;
        let late = now.saturating_sub(self.vouched_at) >= VOUCH_INTERVAL;
        (input_unvouched || unvouched >= VOUCH_TOKENS || late).then(|| self.vouch(now))
    }

    /// Whether more has come beyond what is vouched for than the least that workers give on credit.
    pub fn is_window_used(&self) -> bool {
        self.received.tokens_out - self.vouched.tokens_out > 2 * VOUCH_TOKENS
    }

    /// The worker asks for a voucher: it gets one for what was delivered, at once.
    pub fn wanted(&mut self, now: Duration) -> Option<Totals> {
        (self.owed() != self.vouched).then(|| self.vouch(now))
    }

    fn vouch(&mut self, now: Duration) -> Totals {
        self.vouched = self.owed();
        self.vouched_at = now;
        self.vouched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Totals = Totals { tokens_in: 100, tokens_out: 200 };

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn totals(tokens_in: u64, tokens_out: u64) -> Totals {
        Totals { tokens_in, tokens_out }
    }

    fn streaming() -> Meter {
        let mut meter = Meter::new(BOUNDS);
        meter.accepted(10).unwrap();
        assert_eq!(meter.due(at(0)), Some(totals(10, 0)));
        meter
    }

    #[test]
    fn nothing_is_due_before_the_worker_accepts() {
        let mut meter = Meter::new(BOUNDS);
        assert_eq!(meter.due(at(10_000)), None);
        assert_eq!(meter.owed(), Totals::ZERO);
    }

    #[test]
    fn input_is_vouched_at_once_and_only_once() {
        let mut meter = streaming();
        assert_eq!(meter.due(at(1)), None);
        assert_eq!(meter.due(at(1_000)), None);
    }

    #[test]
    fn tokens_are_vouched_after_an_interval_or_half_a_window() {
        let mut meter = streaming();
        meter.received(1).unwrap();
        meter.delivered(1);
        assert_eq!(meter.due(at(249)), None);
        assert_eq!(meter.due(at(250)), Some(totals(10, 1)));
        meter.received(VOUCH_TOKENS).unwrap();
        meter.delivered(VOUCH_TOKENS);
        assert_eq!(meter.due(at(251)), None);
        meter.delivered(VOUCH_TOKENS + 1);
        assert_eq!(meter.due(at(252)), Some(totals(10, VOUCH_TOKENS + 1)));
    }

    #[test]
    fn only_what_the_client_got_is_owed() {
        let mut meter = streaming();
        meter.received(50).unwrap();
        meter.delivered(20);
        assert_eq!(meter.owed(), totals(10, 20));
        meter.delivered(90);
        assert_eq!(meter.owed(), totals(10, 50));
        meter.delivered(30);
        assert_eq!(meter.owed(), totals(10, 50), "what was delivered stays delivered");
    }

    #[test]
    fn a_worker_that_asks_gets_what_was_delivered_and_no_more() {
        let mut meter = streaming();
        assert_eq!(meter.wanted(at(1)), None);
        meter.received(9).unwrap();
        meter.delivered(5);
        assert_eq!(meter.wanted(at(2)), Some(totals(10, 5)));
    }

    #[test]
    fn what_the_tokenizer_does_not_count_is_not_vouched_for() {
        let mut meter = streaming();
        meter.received(60).unwrap();
        meter.delivered(40);
        assert_eq!(meter.due(at(1)), Some(totals(10, 40)));
        meter.counted(totals(8, 45));
        meter.delivered(60);
        meter.ended();
        assert_eq!(meter.due(at(300)), Some(totals(10, 45)), "what was vouched for stays so");
        assert_eq!((meter.due(at(900)), meter.wanted(at(900))), (None, None));
        assert_eq!(meter.owed(), totals(10, 45));
        assert!(meter.is_whole() && !meter.is_complete());

        let mut meter = Meter::new(BOUNDS);
        meter.accepted(90).unwrap();
        meter.counted(totals(9, u64::MAX));
        assert_eq!(meter.due(at(0)), Some(totals(9, 0)), "known in time");
    }

    #[test]
    fn impossible_counts_are_refused_and_owe_nothing() {
        let mut meter = Meter::new(BOUNDS);
        assert_eq!(meter.received(1), Err(MeterError::NotAccepted));
        let beyond = MeterError::InputBeyondBound { counted: 101, most: 100 };
        assert_eq!(meter.accepted(101), Err(beyond));
        assert_eq!(meter.owed(), Totals::ZERO);
        meter.accepted(100).unwrap();
        assert_eq!(meter.accepted(100), Err(MeterError::AcceptedTwice));
        meter.received(200).unwrap();
        let beyond = MeterError::OutputBeyondBound { sent: 201, most: 200 };
        assert_eq!(meter.received(1), Err(beyond));
    }
}
