//! Paying for calls: from the stake to the last lamport back.
//!
//! The rules are pure and apart ([`stake`], [`meter`], [`account`], [`pool`], [`tending`], [`next`]); this shell
//! loads, sends, stores.
//! Order everywhere: store the intent, send it, store what came of it.

mod account;
mod admission;
mod ahead;
mod answer;
mod call;
mod close;
mod end;
mod envelopes;
mod error;
mod exact;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod job;
mod lease;
mod meter;
mod next;
mod pieces;
mod pool;
mod prepare;
mod printed;
mod receipts;
mod recount;
mod relay;
mod session;
mod sse;
mod stake;
mod sweeper;
mod tending;
mod top_up;
mod typical;
mod watch;
mod worker;

pub use answer::{Answer, Ended, Event, Failure, Started};
pub use error::CallError;
pub use pieces::{Pieces, Room, Text};
pub use sse::EventReader;
pub use worker::Workers;

use std::sync::Arc;

use chainference_chain::{Chain, ChainError, Keypair, Lamports, Pubkey};
use chainference_protocol::CallRequest;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::ModelList,
    ledger::Ledger,
    lull::Lull,
    mode::Mode,
    routing::{Directory, Wish, needs},
    tokenizers::Tokenizers,
};
use ahead::Ahead;
use envelopes::Envelopes;
use job::LiveJobs;
use lease::Sessions;
use typical::Typical;

/// What all calls share. Cheap to clone.
#[derive(Clone)]
pub struct Settlement {
    pub chain: Chain,
    pub ledger: Ledger,
    pub directory: Directory,
    pub workers: Workers,
    /// The vault's delegate: publishes, finishes, closes, pays fees and rent.
    pub key: Arc<Keypair>,
    pub vault: Pubkey,
    /// Calls and what follows them; shutdown waits for these.
    pub tasks: TaskTracker,
    /// Cuts the calls that are still running when there is no more time.
    pub cut: CancellationToken,
    tokenizers: Tokenizers,
    low_balance: Lamports,
    /// How calls come to their jobs, where they don't say so themselves.
    mode: Mode,
    fees_matter: bool,
    ahead_max: Lamports,
    ahead: Ahead,
    sessions: Sessions,
    typical: Typical,
    envelopes: Envelopes,
    lull: Lull,
    job_rent: Arc<OnceCell<Lamports>>,
    live: LiveJobs,
}

/// What a [`Settlement`] is made of.
pub struct Parts {
    pub chain: Chain,
    pub ledger: Ledger,
    pub directory: Directory,
    pub workers: Workers,
    pub key: Keypair,
    pub vault: Pubkey,
    pub tokenizers: Tokenizers,
    /// Below so much free money the vault is low.
    pub low_balance: Lamports,
    pub mode: Mode,
    pub fees_matter: bool,
    pub ahead_max: Lamports,
    pub lull: Lull,
}

impl Settlement {
    pub fn new(parts: Parts) -> Self {
        let directory = parts.directory.clone();
        Self {
            chain: parts.chain,
            ledger: parts.ledger,
            directory: parts.directory,
            workers: parts.workers,
            key: Arc::new(parts.key),
            vault: parts.vault,
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            tokenizers: parts.tokenizers,
            low_balance: parts.low_balance,
            mode: parts.mode,
            fees_matter: parts.fees_matter,
            ahead_max: parts.ahead_max,
            ahead: Ahead::new(move || directory.now_unix_s()),
            sessions: Sessions::default(),
            typical: Typical::default(),
            envelopes: Envelopes::default(),
            lull: parts.lull,
            job_rent: Arc::default(),
            live: LiveJobs::default(),
        }
    }

    /// Asked for once: the chain may be away when the gateway starts.
    async fn job_rent(&self) -> Result<Lamports, ChainError> {
        let rent = || self.chain.rent_exempt(prepare::job_bytes());
        self.job_rent.get_or_try_init(rent).await.copied()
    }

    /// How many tokens a call's prompt has, where some worker can serve it: exactly where the model's tokenizer is at
    /// hand, else the most that they can be.
    ///
    /// # Errors
    /// [`CallError::nobody`], where none can.
    pub async fn tokens_in(
        &self,
        request: &CallRequest,
        models: &ModelList,
    ) -> Result<TokensIn, CallError> {
        let needs = needs(&request.task);
        let picked = self.directory.pick(&Wish { needs, ..Wish::of(&request.model, models) });
        let picked = picked.map_err(|why| CallError::nobody(&request.model, why))?;
        let exact = recount::prompt(&self.tokenizers, &picked.candidate, &request.task).await;
        Ok(exact.map_or_else(|| TokensIn::AtMost(tokens_in_at_most(request)), TokensIn::Exactly))
    }

    /// The vault's balance, as the client may use it.
    ///
    /// # Errors
    /// [`CallError::ChainAway`], [`CallError::NoVault`], [`CallError::NoMarket`]
    pub async fn balance(&self) -> Result<Balance, CallError> {
        if self.directory.is_closed() {
            return Err(CallError::NoMarket);
        }
        let (vault, held) =
            tokio::try_join!(self.chain.vault(&self.vault), self.chain.balance(&self.vault))?;
        let address = self.vault.to_string();
        let Some(vault) = vault else { return Err(CallError::NoVault { vault: address }) };
        let free = vault.free(held.0).0;
        Ok(Balance {
            vault: address,
            free_lamports: free,
            reserved_lamports: vault.reserved,
            low: free < self.low_balance.0,
            low_below_lamports: self.low_balance.0,
        })
    }
}

/// How many tokens a prompt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokensIn {
    Exactly(u64),
    AtMost(u64),
}

/// The most tokens that a call's prompt has, whoever serves it.
pub fn tokens_in_at_most(request: &CallRequest) -> u64 {
    stake::bounds(&request.task, u32::MAX).tokens_in
}

/// A vault's money.
#[derive(Clone, Debug, Serialize)]
pub struct Balance {
    pub vault: String,
    /// What new calls may be staked with.
    pub free_lamports: u64,
    /// What live jobs hold.
    pub reserved_lamports: u64,
    /// Whether it is time to deposit: less is free than the gateway was told to warn at.
    pub low: bool,
    pub low_below_lamports: u64,
}
