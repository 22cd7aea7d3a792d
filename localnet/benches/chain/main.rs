//! What the program costs, measured on the built program in the real VM: `make bench-chain`.
//!
//! Writes `chain.json`, `chain.md` and `chain.svg` into the folder that `CHAINFERENCE_BENCH` names, and fails where a
//! target is missed. All figures but those with random keys repeat exactly, whatever else the machine does.

#[path = "../../tests/common/mod.rs"]
mod common;

mod bundles;
mod instructions;
mod markdown;
mod plot;
mod report;
mod sessions;
mod spread;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Everything that was measured.
struct Figures {
    instructions: Vec<instructions::Cost>,
    /// Compute units of one voucher's verification.
    signature_units: u64,
    bundles: bundles::Bundles,
    sessions: sessions::Sessions,
}

fn main() -> anyhow::Result<ExitCode> {
    let folder = std::env::var_os("CHAINFERENCE_BENCH").map(PathBuf::from);
    let folder = folder.context("CHAINFERENCE_BENCH names no folder: run `make bench-chain`")?;
    std::fs::create_dir_all(&folder)?;
    let bundles = bundles::Bundles::measure();
    let figures = Figures {
        instructions: instructions::measure(),
        signature_units: instructions::signature_units(),
        sessions: sessions::Sessions::measure(&bundles),
        bundles,
    };
    let targets = targets::check(&figures);
    let json = serde_json::to_string_pretty(&report::json(&figures, &targets))?;
    std::fs::write(folder.join("chain.json"), json + "\n")?;
    let markdown = markdown::markdown(&figures, &targets);
    std::fs::write(folder.join("chain.md"), &markdown)?;
    plot::draw(&figures.sessions, &folder.join("chain.svg"))?;
    print!("{markdown}");
    println!("\nWritten to {}.", folder.display());
    let missed: Vec<_> = targets.iter().filter(|target| !target.is_met()).collect();
    for target in &missed {
        eprintln!("missed: {target}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
