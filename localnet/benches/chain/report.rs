//! The figures for scripts, as JSON.

use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Figures;
use crate::bundles::{Bundles, Most};
use crate::sessions::{CALLS, Session};
use crate::spread::Spread;
use crate::targets::{Target, dearest, dearest_without_signature};

const RECORD: &str = include_str!("../../../programs/artifacts/chainference.json");

pub fn json(figures: &Figures, targets: &[Target]) -> Value {
    let record: Value = serde_json::from_str(RECORD).expect("JSON");
    let named = |(name, units)| json!({ "name": name, "compute_units": units });
    let instructions = figures.instructions.iter().map(|cost| {
        json!({
            "name": cost.name,
            "compute_units": cost.compute_units,
            "compute_units_with_random_keys": Spread::of(&cost.with_random_keys).json(),
            "data_bytes": cost.data_bytes,
            "transaction_bytes": cost.transaction_bytes,
            "account_bytes": cost.account_bytes,
        })
    });
    let targets = targets.iter().map(|target| {
        json!({
            "what": target.what,
            "figure": target.figure,
            "wanted": target.bound.to_string(),
            "met": target.is_met(),
        })
    });
    json!({
        "commit": commit(),
        "program_sha256": record["sha256"],
        "compiler": record["compiler"],
        "load": load(),
        "note": "figures repeat exactly, at any load; those with random keys show what the choice of keys does",
        "instructions": instructions.collect::<Vec<_>>(),
        "signature_compute_units": figures.signature_units,
        "dearest": named(dearest(figures)),
        "dearest_without_signature": named(dearest_without_signature(figures)),
        "lamports_a_call": figures.sessions.packings.iter().map(lamports_a_call).collect::<Map<_, _>>(),
        "job_rent": { "lamports": figures.sessions.rent, "returned": figures.sessions.rent_returned },
        "in_one_transaction": in_one_transaction(&figures.bundles),
        "targets": targets.collect::<Vec<_>>(),
    })
}

fn lamports_a_call(session: &Session) -> (String, Value) {
    let by_calls = CALLS.map(|calls| calls.to_string()).into_iter();
    let figures = by_calls.zip(session.lamports_a_call().map(|lamports| json!(lamports)));
    (session.packing.name().into(), Value::Object(figures.collect()))
}

fn in_one_transaction(bundles: &Bundles) -> Map<String, Value> {
    let entry = |(name, _, most): (&str, _, &Most)| {
        let figures = json!({
            "count": most.count,
            "transaction_bytes": most.transaction_bytes,
            "compute_units": most.compute_units,
        });
        (name.to_string(), figures)
    };
    bundles.named().map(entry).into_iter().collect()
}

/// Of the last minute, five and fifteen.
pub fn load() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut figures = text.split(' ').filter_map(|figure| figure.parse().ok());
    std::array::from_fn(|_| figures.next().unwrap_or(f64::NAN))
}

/// Of the checkout, and whether what is measured has changes that are in no commit.
pub fn commit() -> String {
    let git = |args: &[&str]| Command::new("git").args(args).output().ok();
    let Some(head) = git(&["rev-parse", "--short", "HEAD"]).filter(|head| head.status.success())
    else {
        return "unknown".into();
    };
    let changes = git(&["diff", "--quiet", "HEAD", "--", ".", "../crates", "../programs"]);
    let is_clean = changes.is_some_and(|changes| changes.status.success());
    let dirty = if is_clean { "" } else { ", changed" };
    format!("{}{dirty}", String::from_utf8_lossy(&head.stdout).trim())
}
