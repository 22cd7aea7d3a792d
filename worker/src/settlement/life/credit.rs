//! How far a client is trusted: vouchers in, output out.

use chainference_market::{Lamports, Totals};

use super::{Life, Phase, Policy, Refusal};

/// Whether output may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// So many tokens may, at least as many as were asked for.
    Open { room_tokens: u64 },
    /// The credit window is used up until a voucher comes, or more is served only once the lock is
    /// final.
    Wait,
    /// The stake can't pay for more.
    StakeUsed,
    /// The job takes no more: the client said "last", or it is being claimed.
    Closed,
}

impl Life {
    /// Whether a voucher may be stored. A repeated one may.
    pub fn admits_voucher(
        &self,
        totals: Totals,
        window_tokens: u64,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::Locked { .. }) {
            return Err(Refusal::NotLocked);
        }
        if !totals.covers(self.vouched()) {
            return Err(Refusal::GoesBack);
        }
        let cost = self.prices.cost(totals).map_err(|_| Refusal::BeyondStake)?;
        if cost > self.agreed.stake {
            return Err(Refusal::BeyondStake);
        }
        let most = Totals {
            tokens_in: self.produced.tokens_in.saturating_add(policy.slack_in_tokens),
            tokens_out: self.produced.tokens_out.saturating_add(window_tokens),
        };
        if most.covers(totals) { Ok(()) } else { Err(Refusal::BeyondProduced) }
    }

    /// Counts a call's prompt, unless the stake can't pay for it.
    pub fn accept_input(&mut self, tokens_in: u64) -> Result<Totals, Refusal> {
        let next = Totals {
            tokens_in: self.produced.tokens_in.saturating_add(tokens_in),
            tokens_out: self.produced.tokens_out,
        };
        if !self.affords(next, self.agreed.stake) {
            return Err(Refusal::BeyondStake);
        }
        if self.agreed.unfinal_max.is_some_and(|most| !self.affords(next, most)) {
            return Err(Refusal::NotFinal);
        }
        self.produced = next;
        Ok(next)
    }

    /// Prompt tokens that were taken and are not vouched for.
    pub fn unpaid_input(&self) -> u64 {
        self.produced.tokens_in.saturating_sub(self.vouched().tokens_in)
    }

    /// Whether `tokens_out` more tokens may be sent, by the stake and by the credit window, which is
    /// counted from the last voucher on disk.
    pub fn gate(&self, tokens_out: u64, window_tokens: u64) -> Gate {
        if self.is_last || !matches!(self.phase, Phase::Locked { .. }) {
            return Gate::Closed;
        }
        let affordable = self.affordable_out(self.agreed.stake);
        if affordable < tokens_out {
            return Gate::StakeUsed;
        }
        let before_final =
            self.agreed.unfinal_max.map_or(u64::MAX, |most| self.affordable_out(most));
        let window_end = self.vouched().tokens_out.saturating_add(window_tokens);
        let room_tokens = window_end.saturating_sub(self.produced.tokens_out);
        let room_tokens = room_tokens.min(affordable).min(before_final);
        if room_tokens < tokens_out { Gate::Wait } else { Gate::Open { room_tokens } }
    }

    /// Counts output that is being sent. `true`: half a window went by, ask for a voucher.
    pub fn count_output(&mut self, tokens_out: u64, window_tokens: u64) -> bool {
        self.produced.tokens_out = self.produced.tokens_out.saturating_add(tokens_out);
        let since = self.vouched().tokens_out.max(self.asked_out);
        let ask = self.produced.tokens_out.saturating_sub(since) >= (window_tokens / 2).max(1);
        if ask {
            self.asked_out = self.produced.tokens_out;
        }
        ask
    }

    /// Output tokens that what is left of this amount pays for.
    fn affordable_out(&self, amount: Lamports) -> u64 {
        let price = |tokens: u64, per_mtok: u64| u128::from(tokens) * u128::from(per_mtok);
        let used = price(self.produced.tokens_in, self.prices.input_per_mtok)
            .saturating_add(price(self.produced.tokens_out, self.prices.output_per_mtok));
        let left = price(amount.0, 1_000_000).saturating_sub(used);
        let tokens = left.checked_div(u128::from(self.prices.output_per_mtok));
        tokens.map_or(u64::MAX, |tokens| u64::try_from(tokens).unwrap_or(u64::MAX))
    }

    fn affords(&self, totals: Totals, amount: Lamports) -> bool {
        self.prices.cost(totals).is_ok_and(|cost| cost <= amount)
    }
}
