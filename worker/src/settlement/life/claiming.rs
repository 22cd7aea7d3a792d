//! When a job's money is fetched, and what follows from how that went.

use chainference_market::Lamports;

use super::{Command, JobEnd, Life, Phase, Policy};
use crate::ledger::{StoredVoucher, TransactionEnd};

/// The longest pause between two tries of a claim, in seconds.
const RETRY_S_MAX: i64 = 60;

/// A claim that should be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Without one, the job is let go.
    pub voucher: Option<StoredVoucher>,
    /// Settles the job; else it goes on.
    pub is_final: bool,
    /// What it would credit.
    pub worth: Lamports,
    /// The chain's deadline is near, or the worker stops: it waits for no others.
    pub is_urgent: bool,
    /// It was refused before: others must not fail with it.
    pub is_alone: bool,
}

impl Life {
    /// What is vouched and not credited yet.
    pub fn unclaimed(&self) -> Lamports {
        let cost = self.prices.cost(self.vouched()).unwrap_or(Lamports::ZERO);
        cost.minus(self.credited.unwrap_or(Lamports::ZERO)).unwrap_or(Lamports::ZERO)
    }

    pub(super) fn claim_ended(
        &mut self,
        end: TransactionEnd,
        now_unix_s: i64,
        policy: &Policy,
    ) -> Command {
        let part = self.part.take();
        match (self.phase, part, end) {
            (Phase::Locked { .. }, Some(totals), TransactionEnd::Landed) => {
                self.credited = self.prices.cost(totals).ok().max(self.credited);
                (self.failures, self.was_refused) = (0, false);
                return self.claim_if_due(now_unix_s, policy);
            }
            (Phase::Claiming { .. }, _, TransactionEnd::Landed) => {
                let cost = self.prices.cost(self.vouched()).ok();
                return self.end(JobEnd::Settled(cost));
            }
            (Phase::Locked { claim_until_unix_s }, Some(_), _)
            | (Phase::Claiming { claim_until_unix_s }, _, _) => {
                self.phase = Phase::Locked { claim_until_unix_s };
            }
            _ => return Command::Nothing,
        }
        self.was_refused |= end == TransactionEnd::Rejected;
        self.failures = self.failures.saturating_add(1);
        let pause_s = 1_i64.checked_shl(self.failures).unwrap_or(RETRY_S_MAX).min(RETRY_S_MAX);
        self.retry_at_unix_s = now_unix_s.saturating_add(pause_s);
        Command::Look
    }

    pub(super) fn claim_if_due(&mut self, now_unix_s: i64, policy: &Policy) -> Command {
        let Phase::Locked { claim_until_unix_s } = self.phase else { return Command::Nothing };
        if self.part.is_some() || now_unix_s < self.retry_at_unix_s {
            return Command::Nothing;
        }
        let is_late = now_unix_s >= claim_until_unix_s.saturating_sub(policy.claim_margin_s);
        let is_idle = |for_s| now_unix_s >= self.idle_since_unix_s.saturating_add(for_s);
        let is_over = self.is_draining
            || now_unix_s >= self.agreed.serve_until_unix_s
            || (self.was_called && is_idle(policy.idle_s));
        let is_paid_up = self.vouched().covers(self.produced) || is_idle(policy.patience_s);
        let is_done = self.live_calls == 0 && (self.is_last || (is_over && is_paid_up));
        let is_final = is_late || is_done;
        if is_final {
            self.phase = Phase::Claiming { claim_until_unix_s };
        } else if self.credited.is_some() && self.unclaimed() >= policy.part_min {
            self.part = Some(self.vouched());
        } else {
            return Command::Nothing;
        }
        Command::Claim(Due {
            voucher: self.voucher,
            is_final,
            worth: self.unclaimed(),
            is_urgent: is_late || self.is_draining,
            is_alone: self.was_refused,
        })
    }
}
