//! Sends a stored transaction until it has landed or never can.

use std::time::Duration;

use solana_rpc_client_api::client_error::Error as RpcError;
use solana_rpc_client_api::client_error::{ErrorKind, TransactionError};
use solana_rpc_client_api::config::{RpcSendTransactionConfig, RpcTransactionConfig};
use solana_rpc_client_api::request::{RpcError as NodeError, RpcResponseErrorData};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status_client_types::UiTransactionEncoding;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::subscription::Landed;
use crate::{Chain, ChainError, Lamports, Pubkey, Signature, SignedTransaction, SubmitError};

/// How often the status is asked for while the websocket is silent.
const POLL_EVERY: Duration = Duration::from_millis(400);
/// The same bytes are sent again after this many polls: nodes drop transactions under load.
const POLLS_PER_SEND: u32 = 5;
/// How long a silent node is borne before the caller is told.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(10);
/// How long an airdrop may take.
const AIRDROP_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of one sending.
enum Sent {
    /// The node has it, now or since before.
    Accepted,
    /// Simulation says that it would fail.
    Refused(SubmitError),
    /// The node does not know the blockhash: too old, or too new for it.
    UnknownBlockhash,
}

impl Chain {
    /// Sends a transaction that the caller has stored, and again until it has landed at this connection's
    /// commitment. Submitting what has landed before is `Ok`.
    ///
    /// # Errors
    /// [`SubmitError::Rejected`] and [`SubmitError::Expired`] are final. After [`SubmitError::Unreachable`] the
    /// outcome is unknown: submit the same bytes again.
    pub async fn submit(&self, stored: &SignedTransaction) -> Result<(), SubmitError> {
        let transaction = stored.decode().ok_or(SubmitError::Damaged)?;
        let signature = stored.signature;
        let mut landed = self.subscriptions.landed(signature, self.rpc.commitment()).await;
        let mut silent_since: Option<Instant> = None;
        for round in 0u32.. {
            match self.step(stored, &transaction, round).await {
                Ok(true) => return Ok(()),
                Ok(false) => silent_since = None,
                Err(SubmitError::Unreachable(error)) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNREACHABLE_AFTER {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error),
            }
            if let Some(outcome) = next_word(&mut landed).await {
                return self.outcome(signature, outcome).await;
            }
        }
        Err(SubmitError::Expired) // after 2³² polls
    }

    /// Gives test money to an account (embedded chain and test clusters) and waits until it is there.
    pub async fn airdrop(&self, to: &Pubkey, amount: Lamports) -> Result<(), ChainError> {
        let asked = self.rpc.request_airdrop(to, amount.0).await;
        let signature = asked.map_err(|error| self.failed(error))?;
        let mut landed = self.subscriptions.landed(signature, self.rpc.commitment()).await;
        let started = Instant::now();
        while started.elapsed() < AIRDROP_TIMEOUT {
            if next_word(&mut landed).await.is_some() || self.status(signature).await?.is_some() {
                return Ok(());
            }
        }
        Err(ChainError::Timeout)
    }

    /// One round: looks for the outcome, and sends where it is time to. `true`: it has landed and succeeded.
    async fn step(
        &self,
        stored: &SignedTransaction,
        transaction: &VersionedTransaction,
        round: u32,
    ) -> Result<bool, SubmitError> {
        if round > 0
            && let Some(outcome) = self.status(stored.signature).await?
        {
            return self.outcome(stored.signature, outcome).await.map(|()| true);
        }
        if !round.is_multiple_of(POLLS_PER_SEND) {
            return Ok(false);
        }
        let sent = self.send(transaction).await?;
        let is_fresh = matches!(sent, Sent::Accepted) && round == 0;
        if let Sent::Refused(error) = sent {
            return Err(error);
        }
        if is_fresh || self.block_height().await? <= stored.last_valid_block_height {
            return Ok(false);
        }
        // It can't land any more: what has not landed by now never will.
        match self.status(stored.signature).await? {
            Some(outcome) => self.outcome(stored.signature, outcome).await.map(|()| true),
            None => Err(SubmitError::Expired),
        }
    }

    async fn send(&self, transaction: &VersionedTransaction) -> Result<Sent, SubmitError> {
        let config = RpcSendTransactionConfig {
            preflight_commitment: Some(self.rpc.commitment().commitment),
            max_retries: Some(0), // we send again ourselves
            ..Default::default()
        };
        let Err(error) = self.rpc.send_transaction_with_config(transaction, config).await else {
            return Ok(Sent::Accepted);
        };
        match error.get_transaction_error() {
            Some(TransactionError::AlreadyProcessed) => Ok(Sent::Accepted),
            Some(TransactionError::BlockhashNotFound) => Ok(Sent::UnknownBlockhash),
            Some(cause) => {
                Ok(Sent::Refused(SubmitError::rejected(cause.to_string(), preflight_logs(&error))))
            }
            None => Err(self.failed(error).into()),
        }
    }

    /// `Some` once the transaction has landed at our commitment, with its error if it failed.
    async fn status(&self, signature: Signature) -> Result<Option<Landed>, ChainError> {
        let answer = self.rpc.get_signature_statuses_with_history(&[signature]).await;
        let statuses = answer.map_err(|error| self.failed(error))?.value;
        let commitment = self.rpc.commitment();
        let status = statuses.into_iter().flatten().next();
        Ok(status
            .filter(|status| status.satisfies_commitment(commitment))
            .map(|status| status.err.map(|error| error.to_string())))
    }

    /// A landed transaction's end; the logs of a failed one say what the program refused.
    async fn outcome(&self, signature: Signature, landed: Landed) -> Result<(), SubmitError> {
        match landed {
            None => Ok(()),
            Some(message) => Err(SubmitError::failed(message, self.logs(signature).await)),
        }
    }

    /// Best effort: the refusal itself is known already.
    async fn logs(&self, signature: Signature) -> Vec<String> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            max_supported_transaction_version: Some(0),
            ..Default::default()
        };
        let answer = self.rpc.get_transaction_with_config(&signature, config).await;
        let meta = answer.ok().and_then(|found| found.transaction.meta);
        meta.and_then(|meta| Option::from(meta.log_messages)).unwrap_or_default()
    }
}

/// Waits for the websocket's word, at most until the next poll.
async fn next_word(landed: &mut oneshot::Receiver<Landed>) -> Option<Landed> {
    if landed.is_terminated() {
        tokio::time::sleep(POLL_EVERY).await;
        return None;
    }
    match tokio::time::timeout(POLL_EVERY, &mut *landed).await {
        Ok(Ok(outcome)) => Some(outcome),
        Ok(Err(_)) => {
            tokio::time::sleep(POLL_EVERY).await; // the subscription broke: poll alone
            None
        }
        Err(_) => None,
    }
}

fn preflight_logs(error: &RpcError) -> Vec<String> {
    match error.kind() {
        ErrorKind::RpcError(NodeError::RpcResponseError {
            data: RpcResponseErrorData::SendTransactionPreflightFailure(simulation),
            ..
        }) => simulation.logs.clone().unwrap_or_default(),
        _ => Vec::new(),
    }
}
