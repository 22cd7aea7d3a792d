//! The chain as the gateway and the worker see it.
//!
//! A change goes through four steps that the caller can see: build ([`instruction`], [`terms`]), sign
//! ([`SignedTransaction::sign`]), store (the caller's ledger), send ([`Chain::submit`]). Whoever stores the
//! signed bytes before they are sent can be killed at any moment and submits them again.
//!
//! Everything goes over the ordinary JSON-RPC and websocket interfaces: the embedded chain, devnet and mainnet
//! differ by two URLs and a [`Commitment`].

mod abilities;
pub mod accounts;
pub mod address;
mod client;
mod error;
pub mod event;
mod failover;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod instruction;
mod submit;
mod subscription;
pub mod terms;
mod transaction;

pub use abilities::Abilities;
pub use chainference::ID as PROGRAM_ID;
pub use chainference_market::{Lamports, Totals};
pub use client::{Chain, Clock, Endpoints, Market, OpenJob};
pub use error::{ChainError, SubmitError};
pub use solana_commitment_config::CommitmentConfig;
pub use solana_commitment_config::CommitmentLevel as Commitment;
pub use solana_hash::Hash;
pub use solana_instruction::Instruction;
pub use solana_keypair::Keypair;
pub use solana_pubkey::Pubkey;
pub use solana_signature::Signature;
pub use solana_signer::Signer;
pub use subscription::Changes;
pub use terms::{JobTerms, Quote, QuoteRequest};
pub use transaction::{Blockhash, SignError, SignedTransaction};
