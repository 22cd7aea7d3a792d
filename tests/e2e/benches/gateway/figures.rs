//! All figures of a run, by whom and what.

use std::collections::BTreeMap;

use chainference_testkit::bench::{Spread, quantile};

use crate::target::Who;
use crate::workload::Point;

#[derive(Default)]
pub struct Figures {
    /// A list of figures a round.
    rounds: BTreeMap<(Who, Point), Vec<Vec<f64>>>,
    pub usage: BTreeMap<Who, Usage>,
    pub loads: Vec<f64>,
}

/// What a gateway's process took, over all calls of the rates' measurements.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub cpu_s: f64,
    pub calls: usize,
    /// At the end.
    pub resident_mb: f64,
}

impl Usage {
    pub fn cpu_s_per_1000(&self) -> f64 {
        self.cpu_s * 1e3 / self.calls as f64
    }
}

impl Figures {
    pub fn add(&mut self, who: Who, point: Point, figures: Vec<f64>) {
        self.rounds.entry((who, point)).or_default().push(figures);
    }

    pub fn has(&self, who: Who, point: Point) -> bool {
        self.rounds.contains_key(&(who, point))
    }

    /// A figure a round: the median of its calls, or its rate.
    pub fn medians(&self, who: Who, point: Point) -> Vec<f64> {
        let rounds = self.rounds.get(&(who, point)).map(Vec::as_slice).unwrap_or_default();
        rounds.iter().map(|figures| Spread::of(figures.iter().copied()).median()).collect()
    }

    /// A figure a round: what the gateway adds to the upstream's own median of that round.
    pub fn added(&self, who: Who, point: Point) -> Vec<f64> {
        let alone = self.medians(Who::Upstream, point);
        self.medians(who, point).iter().zip(alone).map(|(through, alone)| through - alone).collect()
    }

    /// The p99 over all calls of all rounds of what the gateway adds to the upstream's median of the round.
    pub fn added_p99(&self, who: Who, point: Point) -> f64 {
        let alone = self.medians(Who::Upstream, point);
        let rounds = self.rounds.get(&(who, point)).map(Vec::as_slice).unwrap_or_default();
        let added = rounds
            .iter()
            .zip(alone)
            .flat_map(|(figures, alone)| figures.iter().map(move |figure| figure - alone));
        p99(added.collect())
    }

    /// The p99 over all calls of all rounds.
    pub fn p99(&self, who: Who, point: Point) -> f64 {
        p99(self.rounds.get(&(who, point)).into_iter().flatten().flatten().copied().collect())
    }

    /// A p99 a round, or a burst.
    pub fn p99s(&self, who: Who, point: Point) -> Vec<f64> {
        let rounds = self.rounds.get(&(who, point)).map(Vec::as_slice).unwrap_or_default();
        rounds.iter().map(|figures| p99(figures.clone())).collect()
    }

    /// Ours ÷ theirs, each round.
    pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        (!ratios.is_empty()).then(|| Spread::of(ratios))
    }
}

fn p99(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    if figures.is_empty() { f64::NAN } else { quantile(&figures, 0.99) }
}
