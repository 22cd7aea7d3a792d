//! Measurements side by side, and how far they lie apart.

use std::fmt;

use serde_json::{Value, json};

use crate::workload::Figure;

/// One workload, by both, one right after the other.
pub struct Round {
    pub ours: Figure,
    pub theirs: Figure,
    /// The machine's load of the last minute.
    pub load: f64,
}

impl Round {
    /// More is better for us.
    pub fn speed_ratio(&self) -> f64 {
        self.ours.tokens_per_s / self.theirs.tokens_per_s
    }

    /// The same: how much longer theirs takes to the first token.
    pub fn first_ratio(&self) -> f64 {
        self.theirs.first_s / self.ours.first_s
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.ours, self.theirs);
        write!(
            f,
            "{:7.1} against {:7.1} tokens/s ({:.2}), first token {:6.1} against {:6.1} ms ({:.2}), load {:.1}",
            ours.tokens_per_s,
            theirs.tokens_per_s,
            self.speed_ratio(),
            ours.first_s * 1e3,
            theirs.first_s * 1e3,
            self.first_ratio(),
            self.load,
        )
    }
}

/// Quartiles.
pub struct Spread([f64; 5]);

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |quarters: usize| {
            let at = (sorted.len() - 1) as f64 * quarters as f64 / 4.0;
            let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
            low + (high - low) * at.fract()
        };
        Self(std::array::from_fn(quantile))
    }

    pub fn median(&self) -> f64 {
        self.0[2]
    }

    pub fn quartiles(&self) -> (f64, f64) {
        (self.0[1], self.0[3])
    }

    pub fn json(&self) -> Value {
        let [min, q1, median, q3, max] = self.0;
        json!({ "min": min, "q1": q1, "median": median, "q3": q3, "max": max })
    }

    /// "median (first–third quartile)", with so many decimals.
    pub fn text(&self, decimals: usize) -> String {
        let [_, q1, median, q3, _] = self.0;
        format!("{median:.decimals$} ({q1:.decimals$}–{q3:.decimals$})")
    }
}
