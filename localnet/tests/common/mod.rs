//! A market in the real VM: the built program, its configuration, two clients and two workers. Everything in it is
//! made from fixed seeds.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

pub mod job;
pub mod keys;
pub mod market;
#[path = "../../src/program.rs"]
mod program;
pub mod send;
pub mod tour;
pub mod vm;

use chainference_chain::Totals;
pub use chainference_chain::accounts::{Feedback, Preset, Verdict};

pub use job::{FLAG, OK, TestJob, publish_args};
pub use keys::{Client, Provider, key, numbered_key, session_key};
pub use market::{Market, delegation, offer_args, registration};
pub use send::{Refusal, refused};

pub const SOL: u64 = 1_000_000_000;
pub const FEE_PER_SIGNATURE: u64 = 5_000;
pub const DEPOSIT: u64 = SOL;
pub const BOND: u64 = SOL / 10;
pub const STAKE: u64 = 1_000_000;
pub const PRICE_IN: u64 = 600_000;
pub const PRICE_OUT: u64 = 1_200_000;
pub const CHARGE_MIN: u64 = 2_000;
pub const GRACE_S: u32 = 600;
pub const SERVE_S: i64 = 300;
/// Lamports of platform fees.
pub const REPUTATION_PRIOR: u64 = 2_000;
/// Lamports of platform fees.
pub const RATED_FEES_MIN: u64 = 10_000;
pub const BOND_COOLDOWN_S: u32 = 3_600;
pub const HEARTBEAT_S: u32 = 120;
/// A delegate's period.
pub const PERIOD_S: u32 = 86_400;
/// A job's account stays for so many slots.
pub const CLOSE_SLOTS: u64 = 1_501;
pub const CLOSE_BY_ANYONE_S: i64 = 3_600;
pub const MODEL: (&str, &str) = ("example/Model-1B", "Q4_1");
/// When each market begins.
pub const START_SLOT: u64 = 2_000;
pub const START_UNIX_S: i64 = 1_800_000_000;
/// 6,000 lamports.
pub const PAID: Totals = Totals { tokens_in: 10_000, tokens_out: 0 };

pub fn totals(tokens_in: u64, tokens_out: u64) -> Totals {
    Totals { tokens_in, tokens_out }
}
