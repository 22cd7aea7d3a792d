//! What a job costs, who gets which part, and when its state may change.
//!
//! The program, the gateway and the worker all call these functions, so that no two of them can
//! disagree about a lamport. Nothing here reads a clock, a chain or a disk: time is an argument.
#![no_std]

#[cfg(test)]
extern crate std;

mod amount;
mod error;
mod job;
pub mod limits;
mod price;
mod rating;
mod receipt;
mod reputation;
mod split;
mod vault;
mod voucher;

pub use amount::{Lamports, Totals};
pub use error::MarketError;
pub use job::{Claim, Credit, Job, NewJob, Status, Terms};
pub use price::Prices;
pub use receipt::{RECEIPT_BYTES, Receipt, ReceiptKind};
pub use reputation::Reputation;
pub use split::{Preset, Shares, Split};
pub use vault::Allowance;
pub use voucher::{VOUCHER_BYTES, Voucher};
