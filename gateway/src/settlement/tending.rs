//! What an open session needs next. Pure.

use std::time::Duration;

use chainference_market::Lamports;

use crate::limits::{SERVE_S_MIN, SESSION_IDLE, SESSION_RENEW_S};

/// An open session, as it stands now.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// How long it is served still, in seconds of the chain's clock.
    pub left_s: i64,
    /// Whether it takes more calls.
    pub is_open: bool,
    /// For how long it has had none.
    pub idle_for: Duration,
    /// The most that its calls so far may come to.
    pub used: Lamports,
    pub stake: Lamports,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// No more calls: too old for one, closed, or left alone.
    End,
    /// Nearly used, and young enough to go on.
    Stake,
    /// Soon too old: another must be there before a call has to wait for it.
    Successor,
}

impl Standing {
    pub fn needs(&self) -> Need {
        let is_over = self.left_s < SERVE_S_MIN || !self.is_open || self.idle_for > SESSION_IDLE;
        match self.left_s > SESSION_RENEW_S {
            _ if is_over => Need::End,
            false => Need::Successor,
            true if self.used.0 > self.stake.0 / 4 * 3 => Need::Stake,
            true => Need::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Standing = Standing {
        left_s: SESSION_RENEW_S + 1,
        is_open: true,
        idle_for: Duration::ZERO,
        used: Lamports(750),
        stake: Lamports(1_000),
    };

    #[test]
    fn a_session_gets_stake_then_a_successor_and_ends_before_a_call_could_outlast_it() {
        let aged = |left_s| Standing { left_s, ..YOUNG };
        for (standing, need) in [
            (YOUNG, Need::Nothing),
            (Standing { used: Lamports(751), ..YOUNG }, Need::Stake),
            (aged(SESSION_RENEW_S), Need::Successor),
            (Standing { used: Lamports(751), ..aged(SESSION_RENEW_S) }, Need::Successor),
            (aged(SERVE_S_MIN), Need::Successor),
            (aged(SERVE_S_MIN - 1), Need::End),
            (Standing { is_open: false, ..YOUNG }, Need::End),
            (Standing { idle_for: SESSION_IDLE, ..YOUNG }, Need::Nothing),
            (Standing { idle_for: SESSION_IDLE + Duration::from_secs(1), ..YOUNG }, Need::End),
        ] {
            assert_eq!(standing.needs(), need, "{standing:?}");
        }
    }
}
