//! More stake for a session that goes on.

use chainference_chain::{SignedTransaction, Signer, instruction};
use chainference_market::Lamports;

use super::{CallError, Settlement, session::Session};
use crate::{clock::now_unix_ms, failpoint, limits};

impl Settlement {
    /// Adds as much to a session's stake as it began with, as far as money allows.
    pub(super) async fn top_up(self, session: Session) {
        self.add_stake(&session, Lamports(1)).await;
    }

    /// The same, and at least `least`; `true` where the stake has grown.
    pub(super) async fn add_stake(&self, session: &Session, least: Lamports) -> bool {
        let left_s = session.job().terms.serve_until_unix_s - self.directory.now_unix_s();
        let Some(_turn) = session.try_grow().filter(|_| left_s > limits::SESSION_RENEW_S) else {
            return false;
        };
        self.try_top_up(session, least).await.unwrap_or_else(|error| {
            tracing::warn!(job = %session.job().address, %error, "a session got no more stake yet");
            false
        })
    }

    async fn try_top_up(&self, session: &Session, least: Lamports) -> Result<bool, CallError> {
        let job = session.job();
        let left = self.share_of_funds().await?.0.saturating_sub(self.sessions.reserved().0);
        let amount = Lamports(job.terms.stake.max(least.0).min(left));
        if amount < least || !session.account().is_open() {
            return Ok(false);
        }
        let add = instruction::top_up(&self.key.pubkey(), &job.terms.vault, &job.address, amount);
        let blockhash = self.chain.blockhash().await?;
        let transaction = SignedTransaction::sign(&[add], &self.key, &[], &blockhash)
            .map_err(|error| CallError::Refused(error.to_string()))?;
        self.store_top_up(&job.id(), amount, &transaction).await?;
        failpoint::reached("top-up stored");
        let outcome = self.chain.submit(&transaction).await;
        failpoint::reached("top-up sent");
        self.conclude(&transaction, &outcome).await?;
        outcome?;
        let grown = session.account().stake().plus(amount)?;
        self.ledger.restake_job(&job.id(), grown, now_unix_ms()).await?;
        session.account().grow(grown);
        tracing::debug!(job = %job.address, stake = %grown, "a session got more stake");
        Ok(true)
    }

    async fn store_top_up(
        &self,
        job: &str,
        amount: Lamports,
        transaction: &SignedTransaction,
    ) -> Result<(), CallError> {
        let (stored, fee) = (transaction.into(), super::prepare::fee(transaction));
        Ok(self.ledger.store_top_up(job, amount, &stored, fee, now_unix_ms()).await?)
    }
}
