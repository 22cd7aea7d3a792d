//! What benches share: how figures lie apart, what the environment asks for, and where a run took place.

use std::process::Command;

use serde_json::{Value, json};

/// Quartiles.
#[derive(Clone, Copy, Debug)]
pub struct Spread([f64; 5]);

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self([0.0, 0.25, 0.5, 0.75, 1.0].map(|part| quantile(&sorted, part)))
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

/// The figure that `part` of all lie below, of at least one, sorted.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() - 1) as f64 * part;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The machine's load of the last minute, five and fifteen.
pub fn load() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut figures = text.split(' ').filter_map(|figure| figure.parse().ok());
    std::array::from_fn(|_| figures.next().unwrap_or(f64::NAN))
}

/// The checkout's commit, and whether what is measured (these paths) has changes that are in no commit.
pub fn commit(measured: &[&str]) -> String {
    let git = |args: &[&str]| Command::new("git").args(args).output().ok();
    let Some(head) = git(&["rev-parse", "--short", "HEAD"]).filter(|head| head.status.success())
    else {
        return "unknown".into();
    };
    let changes = git(&[&["diff", "--quiet", "HEAD", "--"], measured].concat());
    let is_clean = changes.is_some_and(|changes| changes.status.success());
    let dirty = if is_clean { "" } else { ", changed" };
    format!("{}{dirty}", String::from_utf8_lossy(&head.stdout).trim())
}

/// A number that the environment may set.
///
/// # Errors
/// Where it is none.
pub fn number(name: &str, default: u64) -> Result<u64, String> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name}={text} is no number")),
        Err(_) => Ok(default),
    }
}
