//! How far figures lie apart.

use serde_json::{Value, json};

use crate::markdown::grouped;

pub struct Spread {
    sorted: Vec<u64>,
}

impl Spread {
    pub fn of(figures: &[u64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable();
        Self { sorted }
    }

    pub fn json(&self) -> Value {
        let [least, first_quartile, median, third_quartile, most] =
            std::array::from_fn(|quarters| self.quantile(quarters));
        json!({
            "runs": self.sorted.len(),
            "min": least,
            "q1": first_quartile,
            "median": median,
            "q3": third_quartile,
            "max": most,
        })
    }

    /// "median (least–most)", or one figure where all are the same.
    pub fn text(&self) -> String {
        match (self.quantile(0), self.quantile(4)) {
            (least, most) if least == most => grouped(most),
            (least, most) => {
                format!("{} ({}–{})", grouped(self.quantile(2)), grouped(least), grouped(most))
            }
        }
    }

    /// The figure below which so many quarters of them lie.
    fn quantile(&self, quarters: usize) -> u64 {
        self.sorted[(self.sorted.len() - 1) * quarters / 4]
    }
}
