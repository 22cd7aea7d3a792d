//! Attacks on the built program in the real VM: one file a class. Each is refused by its name with no byte changed, and
//! beside it the legitimate twin succeeds, so that a test can't pass for the wrong reason. `SECURITY.md` lists them.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod bait;
mod bump;
mod cancel;
mod catalogue;
mod claims;
mod cosplay;
mod cpi;
mod delegate;
mod deployment;
mod duplicates;
mod ed25519;
mod expire;
mod feedback;
mod forge;
mod front_run;
mod oversized;
mod owner;
mod payouts;
mod prefunded;
mod quote;
mod reinit;
mod rent;
mod reserved;
mod retire;
mod revival;
mod rules;
mod security;
mod self_dealing;
mod settlement;
mod sharing;
mod signer;
mod speccheck;
mod staking;
mod stall;
mod support;
mod sysvar;
mod unpaid;
mod version;
mod vouchers;
