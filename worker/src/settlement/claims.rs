//! Claims: gathered, signed, written down, sent until they land or expire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{Blockhash, SignedTransaction, Signer};
use chainference_market::{Lamports, Totals};
use tokio::sync::mpsc;

use super::batch::{Batcher, Timing, Waiting};
use super::life::{Due, Event};
use super::{Job, SettlementError, Shared};
use crate::failpoint;
use crate::ledger::{Kind, Part, StoredTransaction, TransactionEnd};

/// Lamports that a signature costs on Solana; a claim carries one.
const FEE: Lamports = Lamports(5_000);
const LINGER: Duration = Duration::from_millis(100);

/// A job that wants a claim.
pub(super) struct Asked {
    pub job: Arc<Job>,
    pub due: Due,
}

impl Shared {
    /// Puts claims together until the worker stops. What still waits then is in the ledger.
    pub(super) async fn gather_claims(
        self: Arc<Self>,
        mut asked: mpsc::UnboundedReceiver<Asked>,
        company: Duration,
    ) {
        let began = Instant::now();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (linger_ms, company_ms) = (millis(LINGER), millis(company.max(LINGER)));
        let mut batcher = Batcher::new(Timing { fee: FEE, linger_ms, company_ms });
        loop {
            while let Some(claims) = batcher.take(millis(began.elapsed())) {
                let shared = Arc::clone(&self);
                self.tasks.spawn(async move { shared.claim(claims).await });
            }
            let wait = batcher.leaves_at_ms().map(Duration::from_millis);
            let leaves = async {
                match wait {
                    Some(at) => tokio::time::sleep(at.saturating_sub(began.elapsed())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                claim = asked.recv() => match claim {
                    Some(claim) => batcher.push(waiting(claim, millis(began.elapsed()))),
                    None => return,
                },
                () = leaves => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Claims these jobs in one transaction.
    async fn claim(self: &Arc<Self>, claims: Vec<Asked>) {
        let Ok(_permit) = self.claims_at_once.acquire().await else { return };
        let Some(end) = self.claim_together(&claims).await else { return };
        for claim in &claims {
            self.tell(&claim.job, Event::ClaimEnded(end));
        }
    }

    /// `None`: the worker stops before the outcome is known; the ledger has it.
    async fn claim_together(&self, claims: &[Asked]) -> Option<TransactionEnd> {
        let blockhash = self.blockhash().await?;
        let transaction = match self.store_claims(claims, &blockhash).await {
            Ok(transaction) => transaction,
            Err(error) => {
                tracing::error!(%error, claims = claims.len(), "claims could not be made");
                return Some(TransactionEnd::Rejected);
            }
        };
        failpoint::reached("claim stored");
        let end = self.send(&transaction).await;
        failpoint::reached("claim sent");
        end
    }

    async fn store_claims(
        &self,
        claims: &[Asked],
        blockhash: &Blockhash,
    ) -> Result<StoredTransaction, SettlementError> {
        let operator = &self.settings.operator;
        let request = |claim: &Asked| ClaimRequest {
            operator: operator.pubkey(),
            worker: claim.job.terms.worker,
            vault: claim.job.terms.vault,
            job: claim.job.address,
            voucher: claim.vouched(),
            is_final: claim.due.is_final,
        };
        let claimed: Vec<_> =
            claims.iter().map(|claim| instruction::claim(&request(claim))).collect();
        let signed = SignedTransaction::sign(&claimed, operator, &[], blockhash)?;
        let parts = claims.iter().map(Asked::part).collect();
        self.store(Kind::Claim, &signed, parts).await
    }
}

impl Asked {
    /// The voucher, unless it says nothing: a claim without one lets the job go.
    fn vouched(&self) -> Option<(Totals, chainference_chain::Signature)> {
        let vouched = self.due.voucher.filter(|voucher| !voucher.totals.is_zero());
        vouched.map(|voucher| (voucher.totals, voucher.signature))
    }

    fn part(&self) -> Part {
        let totals = self.vouched().map_or(Totals::ZERO, |(totals, _)| totals);
        Part { job: self.job.address, totals, is_final: self.due.is_final }
    }
}

fn waiting(claim: Asked, since_ms: u64) -> Waiting<Asked> {
    let Due { worth, is_urgent, is_alone, .. } = claim.due;
    Waiting { claim, worth, is_urgent, is_alone, since_ms }
}

#[cfg(test)]
mod tests {
    use chainference_chain::{Hash, Keypair, Pubkey, Signature};

    use super::super::batch::CLAIMS_MAX;
    use super::*;

    /// The chain that the tests run on doesn't enforce a packet's size; public ones do.
    #[test]
    fn as_many_claims_of_unrelated_clients_as_are_batched_fit_into_a_packet() {
        let operator = Keypair::new();
        let blockhash = Blockhash { hash: Hash::default(), last_valid_block_height: 0 };
        let (worker, key) = (Pubkey::new_unique(), operator.pubkey());
        let signed = |count: usize| {
            let claim = |_| {
                instruction::claim(&ClaimRequest {
                    operator: key,
                    worker,
                    vault: Pubkey::new_unique(),
                    job: Pubkey::new_unique(),
                    voucher: Some((Totals::ZERO, Signature::default())),
                    is_final: true,
                })
            };
            let claims: Vec<_> = (0..count).map(claim).collect();
            SignedTransaction::sign(&claims, &operator, &[], &blockhash)
        };
        assert!(signed(CLAIMS_MAX).is_ok());
        assert!(signed(CLAIMS_MAX + 1).is_err(), "one more would fit");
    }
}
