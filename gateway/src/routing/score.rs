//! How good a choice each worker is, in parts that have names. Pure: facts in, parts out.
//!
//! Each part is in basis points, and 10,000 is the best that a candidate can have of it. What is relative is so to
//! the best among those that may be chosen, so that one that may not can't make the others look alike.

use std::fmt;

use serde::Serialize;

const BPS: u64 = 10_000;
/// So many calls in progress halve the load's part.
const CALLS_HALVING: u64 = 4;

/// What each part counts, in hundredths. The price is first, but a worker that is a third dearer is still chosen where
/// it has the conversation's beginning in memory; and none is chosen for that alone once a dozen calls keep it busy.
const WEIGHTS: Weights = Weights { price: 30, reputation: 15, time: 20, load: 20, sticky: 15 };

struct Weights {
    price: u32,
    reputation: u32,
    time: u32,
    load: u32,
    sticky: u32,
}

const _: () = assert!(
    WEIGHTS.price + WEIGHTS.reputation + WEIGHTS.time + WEIGHTS.load + WEIGHTS.sticky == 100
);

/// What is known of one candidate for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the call is expected to cost there, in lamports.
    pub cost: u64,
    /// What the chain says of the worker.
    pub reputation_bps: u16,
    /// How long the whole call is expected to take there; `None` where nobody has measured lately.
    pub expected_ms: Option<u64>,
    /// Calls of this gateway that the worker has in progress.
    pub in_flight: u32,
    /// Whether it has served the beginning of this conversation.
    pub is_known: bool,
}

/// The least cost and time among those that may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    cost: Option<u64>,
    expected_ms: Option<u64>,
}

/// What speaks for a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// The least cost of this call over the one here.
    #[serde(rename = "price_bps")]
    pub price: u16,
    #[serde(rename = "reputation_bps")]
    pub reputation: u16,
    /// The least time that the whole call is expected to take over the one here. A worker that nobody has measured
    /// lately has it all: else it would never be tried.
    #[serde(rename = "time_bps")]
    pub time: u16,
    #[serde(rename = "load_bps")]
    pub load: u16,
    /// All or nothing: the conversation's beginning was served there, and may be in its memory still.
    #[serde(rename = "sticky_bps")]
    pub sticky: u16,
}

impl Best {
    pub fn of<'a>(facts: impl IntoIterator<Item = &'a Facts>) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| [a, b].into_iter().flatten().min();
        facts.into_iter().fold(Self::default(), |best, facts| Self {
            cost: least(best.cost, Some(facts.cost)),
            expected_ms: least(best.expected_ms, facts.expected_ms),
        })
    }
}

impl Parts {
    pub fn of(facts: &Facts, best: &Best) -> Self {
        let time = facts.expected_ms.map_or(BPS, |ms| share(best.expected_ms, ms));
        let load = BPS * CALLS_HALVING / (CALLS_HALVING + u64::from(facts.in_flight));
        Self {
            price: bps(share(best.cost, facts.cost)),
            reputation: bps(u64::from(facts.reputation_bps)),
            time: bps(time),
            load: bps(load),
            sticky: if facts.is_known { bps(BPS) } else { 0 },
        }
    }

    /// All of it together, in basis points.
    pub fn score(&self) -> u16 {
        let weighted = WEIGHTS.price * u32::from(self.price)
            + WEIGHTS.reputation * u32::from(self.reputation)
            + WEIGHTS.time * u32::from(self.time)
            + WEIGHTS.load * u32::from(self.load)
            + WEIGHTS.sticky * u32::from(self.sticky);
        bps(u64::from(weighted / 100))
    }
}

/// The best over one's own, where less is better. What costs nothing is as good as it gets.
fn share(best: Option<u64>, own: u64) -> u64 {
    let best = u128::from(best.unwrap_or(own)) * u128::from(BPS);
    let share = best.checked_div(u128::from(own)).unwrap_or(u128::from(BPS));
    u64::try_from(share).unwrap_or(BPS)
}

fn bps(value: u64) -> u16 {
    value.min(BPS) as u16 // at most 10,000
}

/// Why a worker was taken: its parts, its score, and among how many. `Display` is what a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub parts: Parts,
    pub of: usize,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { price, reputation, time, load, sticky } = self.parts;
        for (name, part) in [
            ("price", price),
            ("reputation", reputation),
            ("time", time),
            ("load", load),
            ("sticky", sticky),
            ("score", self.parts.score()),
        ] {
            let hundredths = part / 100;
            write!(f, "{name}={}.{:02} ", hundredths / 100, hundredths % 100)?;
        }
        write!(f, "of={}", self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Facts = Facts {
        cost: 1_000,
        reputation_bps: 8_000,
        expected_ms: None,
        in_flight: 0,
        is_known: false,
    };

    fn scores(facts: &[Facts]) -> Vec<u16> {
        let best = Best::of(facts);
        facts.iter().map(|one| Parts::of(one, &best).score()).collect()
    }

    #[test]
    fn each_part_is_a_share_of_the_best() {
        let dear = Facts {
            cost: 4_000,
            reputation_bps: 5_000,
            expected_ms: Some(300),
            in_flight: 4,
            is_known: true,
        };
        let fast = Facts { expected_ms: Some(100), ..PLAIN };
        let best = Best::of(&[dear, fast, PLAIN]);
        let parts = |facts: &Facts| Parts::of(facts, &best);
        let expected =
            Parts { price: 2_500, reputation: 5_000, time: 3_333, load: 5_000, sticky: 10_000 };
        assert_eq!(parts(&dear), expected);
        assert_eq!((parts(&fast).price, parts(&fast).time), (10_000, 10_000));
        assert_eq!(parts(&PLAIN).time, 10_000, "nobody has measured it");
        let free = Facts { cost: 0, ..PLAIN };
        assert_eq!(Parts::of(&free, &Best::of(&[free, PLAIN])).price, 10_000);
        assert_eq!(Parts::of(&PLAIN, &Best::of(&[free, PLAIN])).price, 0);
    }

    #[test]
    fn a_known_conversation_outweighs_a_third_of_the_price_until_a_dozen_calls_are_there() {
        let known = |facts: Facts| Facts { is_known: true, ..facts };
        for (other, wins) in [
            (known(Facts { cost: 1_330, ..PLAIN }), true),
            (known(Facts { cost: 2_100, ..PLAIN }), false),
            (known(Facts { in_flight: 11, ..PLAIN }), true),
            (known(Facts { in_flight: 13, ..PLAIN }), false),
            (Facts { reputation_bps: 9_000, ..PLAIN }, true),
            (Facts { in_flight: 1, ..PLAIN }, false),
        ] {
            let scores = scores(&[PLAIN, other]);
            assert_eq!(scores[1] > scores[0], wins, "{other:?}: {scores:?}");
        }
    }

    #[test]
    fn a_header_says_it_in_short() {
        let parts = Parts { price: 10_000, reputation: 8_200, time: 9_512, load: 8_000, sticky: 0 };
        let expected = "price=1.00 reputation=0.82 time=0.95 load=0.80 sticky=0.00 score=0.77 of=3";
        assert_eq!(Choice { parts, of: 3 }.to_string(), expected);
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let time = proptest::option::of(0..u64::MAX);
        (any::<u64>(), 0..=10_000_u16, time, any::<u32>(), any::<bool>()).prop_map(
            |(cost, reputation_bps, expected_ms, in_flight, is_known)| Facts {
                cost,
                reputation_bps,
                expected_ms,
                in_flight,
                is_known,
            },
        )
    }

    proptest! {
        /// Whatever is known, a score is a share, and what makes one candidate better and no other never makes it
        /// score less.
        #[test]
        fn better_facts_never_score_less(
            all in proptest::collection::vec(facts(), 1..6),
            better in facts(),
        ) {
            let before = scores(&all);
            prop_assert!(before.iter().all(|score| *score <= 10_000));
            let own = all[0];
            let mut improved = all.clone();
            improved[0] = Facts {
                cost: own.cost.min(better.cost),
                reputation_bps: own.reputation_bps.max(better.reputation_bps),
                expected_ms: own.expected_ms.map(|ms| ms.min(better.expected_ms.unwrap_or(ms))),
                in_flight: own.in_flight.min(better.in_flight),
                is_known: own.is_known || better.is_known,
            };
            let after = scores(&improved);
            prop_assert!(after[0] >= before[0], "{after:?} after {before:?}");
            for (now, was) in after.iter().zip(&before).skip(1) {
                prop_assert!(now <= was, "another gained by it: {after:?} after {before:?}");
            }
        }
    }
}
