//! What calls on workers have met lately: failures, times, what is in progress, and who has served which
//! conversation. No clock: time is an argument.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::breaker::Breaker;
use crate::limits::{
    CONVERSATION_AGE_MAX, CONVERSATIONS_MAX, MEASURED_AGE_MAX, MEASURED_OFFERS_MAX,
};

/// The share of the newest call in what is measured: one part in four.
const NEWEST: u64 = 4;

/// All that is remembered. `K` names workers and offers.
#[derive(Debug)]
pub struct Lately<K> {
    pub breaker: Breaker<K>,
    times: HashMap<K, Times>,
    in_flight: HashMap<K, u32>,
    conversations: HashMap<u64, (K, Duration)>,
}

/// What calls on one offer have taken.
#[derive(Clone, Copy, Debug)]
struct Times {
    first_us: u64,
    /// Each token after the first; `None` where no answer had any.
    token_us: Option<u64>,
    at: Duration,
}

/// What one call has taken, from its choice of the worker on.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub first: Duration,
    /// From the first token to the last, without what the client took; and how many there were.
    pub rest: Duration,
    pub tokens: u64,
}

impl<K> Default for Lately<K> {
    fn default() -> Self {
        Self {
            breaker: Breaker::default(),
            times: HashMap::new(),
            in_flight: HashMap::new(),
            conversations: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash + Copy> Lately<K> {
    pub fn took(&mut self, offer: K, taken: Taken, now: Duration) {
        if self.times.len() >= MEASURED_OFFERS_MAX {
            self.times.retain(|_, times| now.saturating_sub(times.at) < MEASURED_AGE_MAX);
        }
        let first_us = micros(taken.first);
        let after_first = taken.tokens.saturating_sub(1);
        let token_us = micros(taken.rest).checked_div(after_first);
        let times = self.times.entry(offer).or_insert(Times { first_us, token_us, at: now });
        times.first_us = mix(times.first_us, first_us);
        times.token_us = match (times.token_us, token_us) {
            (Some(known), Some(newest)) => Some(mix(known, newest)),
            (known, newest) => newest.or(known),
        };
        times.at = now;
    }

    /// How long a call with so many tokens of answer is expected to take in all; `None` where nobody has
    /// measured lately: who was slow once gets another chance.
    pub fn expected_ms(&self, offer: K, tokens_out: u64, now: Duration) -> Option<u64> {
        let times = self.times.get(&offer)?;
        if now.saturating_sub(times.at) >= MEASURED_AGE_MAX {
            return None;
        }
        let rest = times.token_us.unwrap_or_default().saturating_mul(tokens_out.saturating_sub(1));
        Some(times.first_us.saturating_add(rest) / 1_000)
    }

    pub fn enter(&mut self, worker: K) {
        *self.in_flight.entry(worker).or_default() += 1;
    }

    pub fn leave(&mut self, worker: K) {
        if let Some(count) = self.in_flight.get_mut(&worker) {
            *count -= 1;
            if *count == 0 {
                self.in_flight.remove(&worker);
            }
        }
    }

    pub fn in_flight(&self, worker: K) -> u32 {
        self.in_flight.get(&worker).copied().unwrap_or_default()
    }

    /// A worker has served a conversation that begins so.
    pub fn served(&mut self, beginning: u64, worker: K, now: Duration) {
        if self.conversations.len() >= CONVERSATIONS_MAX {
            // The older half goes, so that this is seldom done.
            let mut ages: Vec<Duration> = self.conversations.values().map(|(_, at)| *at).collect();
            let (_, middle, _) = ages.select_nth_unstable(CONVERSATIONS_MAX / 2);
            let middle = *middle;
            self.conversations.retain(|_, (_, at)| *at > middle);
        }
        self.conversations.insert(beginning, (worker, now));
    }

    /// Who has, if it may have it in memory still.
    pub fn server(&self, beginning: u64, now: Duration) -> Option<K> {
        let (worker, at) = self.conversations.get(&beginning)?;
        (now.saturating_sub(*at) < CONVERSATION_AGE_MAX).then_some(*worker)
    }
}

fn mix(known: u64, newest: u64) -> u64 {
    let sum = u128::from(known) * u128::from(NEWEST - 1) + u128::from(newest);
    u64::try_from(sum / u128::from(NEWEST)).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn taken(first_ms: u64, rest_ms: u64, tokens: u64) -> Taken {
        Taken { first: MS(first_ms), rest: MS(rest_ms), tokens }
    }

    #[test]
    fn the_whole_call_is_expected_from_the_first_token_and_each_further_one() {
        let mut lately = Lately::default();
        assert_eq!(lately.expected_ms(1, 10, MS(0)), None);
        lately.took(1, taken(200, 0, 1), MS(0));
        assert_eq!(lately.expected_ms(1, 101, MS(0)), Some(200), "no further token was seen");
        lately.took(1, taken(200, 400, 41), MS(1));
        assert_eq!(lately.expected_ms(1, 101, MS(1)), Some(200 + 100 * 10));
        lately.took(1, taken(600, 0, 0), MS(2));
        assert_eq!(lately.expected_ms(1, 1, MS(2)), Some(300), "a quarter is the newest call's");
        let late = MS(2) + MEASURED_AGE_MAX;
        assert_eq!(lately.expected_ms(1, 1, late), None, "that was long ago");
    }

    #[test]
    fn calls_in_progress_are_counted() {
        let mut lately = Lately::default();
        lately.enter(1);
        lately.enter(1);
        lately.leave(1);
        lately.leave(2);
        assert_eq!((lately.in_flight(1), lately.in_flight(2)), (1, 0));
        lately.leave(1);
        assert!(lately.in_flight.is_empty());
    }

    #[test]
    fn conversations_are_remembered_for_a_while_and_never_too_many() {
        let mut lately = Lately::default();
        let most = CONVERSATIONS_MAX as u64;
        for beginning in 0..=most {
            lately.served(beginning, 7, MS(beginning));
        }
        assert!(lately.conversations.len() <= CONVERSATIONS_MAX);
        assert_eq!(lately.server(0, MS(most)), None, "the oldest had to go");
        assert_eq!(lately.server(most, MS(most)), Some(7));
        assert_eq!(lately.server(most, MS(most) + CONVERSATION_AGE_MAX), None);
        for beginning in 0..2 * most {
            lately.served(beginning, 8, MS(5));
        }
        assert!(lately.conversations.len() <= CONVERSATIONS_MAX, "all of one age, too");
    }
}
