//! The guard tables, every cell, on the built program.

mod accounts;
#[path = "../common/mod.rs"]
mod common;
mod edges;
mod hollow;
mod jobs;
mod jobs_table;
mod moments;
mod signers;
mod signers_table;
mod stage;
