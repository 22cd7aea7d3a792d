//! What is wanted of a run, and whether it is so.

use chainference_testkit::bench::Spread;
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::report::Report;
use crate::target::Who;
use crate::workload::{Point, Size};

/// Times litellm's throughput.
const LITELLM_TIMES: f64 = 20.0;
const SETTLEMENT_MS: f64 = 1.0;
/// What slow sockets may do to others' p99.
const SLOW_TIMES: f64 = 2.0;

pub struct Wanted {
    pub what: String,
    /// `None` where it could not be measured.
    pub figure: Option<f64>,
    pub bound: f64,
    /// Whether the bound is the most; otherwise the least.
    pub is_most: bool,
}

impl Wanted {
    fn most(what: impl Into<String>, figure: Option<f64>, bound: f64) -> Self {
        Self { what: what.into(), figure, bound, is_most: true }
    }

    fn least(what: impl Into<String>, figure: Option<f64>, bound: f64) -> Self {
        Self { what: what.into(), figure, bound, is_most: false }
    }

    pub fn is_met(&self) -> bool {
        self.figure.is_some_and(|figure| {
            if self.is_most { figure <= self.bound } else { figure >= self.bound }
        })
    }

    pub fn json(&self) -> Value {
        let Self { what, figure, bound, is_most } = self;
        let name = if *is_most { "at_most" } else { "at_least" };
        json!({ "what": what, "figure": figure, name: bound, "met": self.is_met() })
    }

    pub fn row(&self) -> String {
        let sign = if self.is_most { '≤' } else { '≥' };
        let figure = self.figure.map_or("–".into(), |figure| format!("{figure:.2}"));
        let verdict = if self.is_met() { "met" } else { "missed" };
        format!("| {} | {figure} | {sign} {} | {verdict} |\n", self.what, self.bound)
    }
}

impl Figures {
    /// What ours adds ÷ what smg adds, with settlement off.
    pub fn added_vs_smg(&self, point: Point) -> Option<Spread> {
        Self::ratio(&self.added(Who::Off, point), &self.added(Who::Smg, point))
    }

    /// Our calls a second ÷ theirs, with settlement off.
    pub fn rate_vs(&self, peer: Who, connections: usize) -> Option<Spread> {
        let rates = |who| self.medians(who, Point::Rate(connections));
        Self::ratio(&rates(Who::Off), &rates(peer))
    }

    /// The p99 of calls that are settled this way, less the p99 of calls that are not.
    pub fn settlement_added_p99(&self, who: Who, point: Point) -> f64 {
        self.p99(who, point) - self.p99(Who::Off, point)
    }

    /// The same burst by burst: one in which the machine did something else is one of many there.
    pub fn settlement_added_p99s(&self, who: Who, point: Point) -> Vec<f64> {
        let off = self.p99s(Who::Off, point);
        self.p99s(who, point).iter().zip(off).map(|(settled, off)| settled - off).collect()
    }

    /// The worse of plain and first token.
    pub fn settlement_added_worst(&self, who: Who) -> f64 {
        let each = Point::BURSTS.map(|point| self.settlement_added_p99(who, point));
        each.into_iter().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl Report<'_> {
    pub fn wanted(&self) -> Vec<Wanted> {
        let figures = &self.figures;
        let median = |spread: Option<Spread>| spread.map(|spread| spread.median());
        let plain = median(figures.added_vs_smg(Point::Whole(Size::Kb1)));
        let stream = median(figures.added_vs_smg(Point::First));
        let mut wanted = vec![
            Wanted::most("added to a plain call, ours ÷ smg's", plain, 1.0),
            Wanted::most("added to a first token, ours ÷ smg's", stream, 1.0),
        ];
        for (peer, times) in [(Who::Smg, 1.0), (Who::Litellm, LITELLM_TIMES)] {
            for connections in [16, 64] {
                let what =
                    format!("calls/s at {connections} connections, ours ÷ {}'s", peer.name());
                wanted.push(Wanted::least(what, median(figures.rate_vs(peer, connections)), times));
            }
        }
        for who in [Who::PerCall, Who::Session] {
            let what = format!("ms that settlement adds at the p99, {}", who.words());
            let worst = figures.settlement_added_worst(who);
            wanted.push(Wanted::most(what, worst.is_finite().then_some(worst), SETTLEMENT_MS));
        }
        let slow = Some(self.slow.ratio());
        wanted.push(Wanted::most("p99 beside slow sockets ÷ p99 without", slow, SLOW_TIMES));
        let faults = self.books.iter().filter(|books| !books.is_right()).count();
        wanted.push(Wanted::most("books that don't hold", Some(faults as f64), 0.0));
        wanted
    }
}
