//! Measurements side by side, and how far they lie apart.

use std::fmt;

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
