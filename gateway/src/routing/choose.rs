//! Which of those who could serve a call does, and why no other. Pure.

use std::cmp::Reverse;

use serde::{Serialize, Serializer};

use super::{
    breaker::{Position, State},
    candidate::Candidate,
    score::{Best, Choice, Facts, Parts},
};

/// One who could serve the call.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    pub candidate: &'a Candidate,
    pub facts: Facts,
    pub breaker: State,
    /// Out of question for this call: tried already, or not wanted by the client.
    pub is_excluded: bool,
}

/// The same, with what speaks for it and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub candidate: &'a Candidate,
    pub facts: Facts,
    pub parts: Parts,
    pub why: Why,
}

/// What became of a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Chosen,
    /// Another one has failed less often lately.
    FailedLately,
    ScoresLess,
    /// It scores as much, and more jobs are locked there.
    Busier,
    LeftAlone,
    Excluded,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::FailedLately => "it failed lately, and others did not",
            Self::ScoresLess => "it scores less",
            Self::Busier => "it scores as much, and has more live jobs",
            Self::LeftAlone => "it has just failed, and is left alone for a while",
            Self::Excluded => "the call may not go there",
        }
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.text())
    }
}

impl Contender<'_> {
    fn may_serve(&self) -> bool {
        !self.is_excluded && self.breaker.state != Position::Open
    }
}

/// All of them, the chosen one first: who has failed less often lately, then who scores more, then who has fewer live
/// jobs.
pub fn place<'a>(contenders: Vec<Contender<'a>>) -> Vec<Placed<'a>> {
    let best = Best::of(contenders.iter().filter(|one| one.may_serve()).map(|one| &one.facts));
    let mut all: Vec<(Parts, Contender<'a>)> =
        contenders.into_iter().map(|one| (Parts::of(&one.facts, &best), one)).collect();
    all.sort_by_key(|(parts, one)| {
        let Candidate { live_jobs, worker, offer, .. } = one.candidate;
        let (failures, score) = (one.breaker.failures, Reverse(parts.score()));
        (!one.may_serve(), failures, score, *live_jobs, *worker, *offer)
    });
    let Some((first, chosen)) = all.first() else { return Vec::new() };
    let (failures, score) = (chosen.breaker.failures, first.score());
    let placed = |(at, (parts, one)): (usize, (Parts, Contender<'a>))| {
        let why = match one.may_serve() {
            false if one.is_excluded => Why::Excluded,
            false => Why::LeftAlone,
            true if at == 0 => Why::Chosen,
            true if one.breaker.failures > failures => Why::FailedLately,
            true if parts.score() < score => Why::ScoresLess,
            true => Why::Busier,
        };
        let Contender { candidate, facts, .. } = one;
        Placed { candidate, facts, parts, why }
    };
    all.into_iter().enumerate().map(placed).collect()
}

/// The one that serves, in short; `None` where none may.
pub fn chosen<'a>(placed: &[Placed<'a>]) -> Option<(&'a Candidate, Choice)> {
    let first = placed.first().filter(|one| one.why == Why::Chosen)?;
    let may = |one: &&Placed<'_>| !matches!(one.why, Why::LeftAlone | Why::Excluded);
    let of = placed.iter().filter(may).count();
    Some((first.candidate, Choice { parts: first.parts, of }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::routing::candidate::tests::candidate;

    const WELL: State = State { state: Position::Closed, failures: 0, open_for_ms: 0 };
    const FACTS: Facts = Facts {
        cost: 100,
        reputation_bps: 8_000,
        expected_ms: None,
        in_flight: 0,
        is_known: false,
    };

    fn whys(contenders: &[Contender<'_>]) -> Vec<(usize, Why)> {
        let at = |candidate: &Candidate| {
            contenders.iter().position(|one| one.candidate.offer == candidate.offer).unwrap()
        };
        place(contenders.to_vec()).iter().map(|one| (at(one.candidate), one.why)).collect()
    }

    #[test]
    fn health_is_before_the_score_and_the_score_before_idleness() {
        let [a, b, c, d, e, f] = [3, 1, 9, 0, 0, 0].map(|jobs| candidate("a/m", "Q8", 5, jobs));
        let failing = |failures, state| State { state, failures, open_for_ms: 0 };
        let one =
            |candidate| Contender { candidate, facts: FACTS, breaker: WELL, is_excluded: false };
        let contenders = [
            one(&a),
            one(&b),
            Contender { facts: Facts { cost: 50, ..FACTS }, ..one(&c) },
            Contender { breaker: failing(1, Position::HalfOpen), ..one(&d) },
            Contender {
                breaker: failing(1, Position::Open),
                facts: Facts { cost: 1, ..FACTS },
                ..one(&e)
            },
            Contender { is_excluded: true, ..one(&f) },
        ];
        let expected = [
            (2, Why::Chosen),
            (1, Why::ScoresLess),
            (0, Why::ScoresLess),
            (3, Why::FailedLately),
            (5, Why::Excluded),
            (4, Why::LeftAlone),
        ];
        assert_eq!(whys(&contenders), expected);
        let (found, choice) = chosen(&place(contenders.to_vec())).unwrap();
        assert_eq!((found.offer, choice.of, choice.parts.price), (c.offer, 4, 10_000));
        assert_eq!(whys(&contenders[..2]), [(1, Why::Chosen), (0, Why::Busier)]);
        assert!(chosen(&place(contenders[4..].to_vec())).is_none());
        assert!(chosen(&place(Vec::new())).is_none());
    }

    proptest! {
        /// Whoever may serve is chosen, if any may, in whichever order they were read; and nobody who may not is.
        #[test]
        fn the_choice_depends_on_no_order_and_never_falls_on_who_may_not(
            all in proptest::collection::vec(
                (1_u64..9, 0_u32..3, 0_u32..20, any::<bool>(), any::<bool>()), 1..7,
            ),
        ) {
            let candidates: Vec<Candidate> =
                all.iter().map(|one| candidate("a/m", "Q8", one.0, one.2)).collect();
            let mut contenders: Vec<Contender<'_>> = all
                .iter()
                .zip(&candidates)
                .map(|((cost, failures, in_flight, is_open, is_excluded), candidate)| {
                    let state = if *is_open { Position::Open } else { Position::HalfOpen };
                    let breaker = State { state, failures: *failures, open_for_ms: 0 };
                    let facts = Facts { cost: *cost, in_flight: *in_flight, ..FACTS };
                    Contender { candidate, facts, breaker, is_excluded: *is_excluded }
                })
                .collect();
            let first = chosen(&place(contenders.clone())).map(|(one, choice)| (one.offer, choice));
            let able = contenders.iter().filter(|one| one.may_serve()).count();
            prop_assert_eq!(first.map_or(0, |(_, choice)| choice.of), able);
            if let Some((offer, _)) = first {
                let found = contenders.iter().find(|one| one.candidate.offer == offer);
                prop_assert!(found.is_some_and(Contender::may_serve));
            }
            contenders.reverse();
            let second = chosen(&place(contenders)).map(|(one, choice)| (one.offer, choice));
            prop_assert_eq!(first, second);
        }
    }
}
