//! Vouches on one job while its call runs. A task of its own: no token waits for a signature, a
//! disk or the worker's answer.

use chainference_market::Totals;
use chainference_protocol::SignedVoucher;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    CallError, Settlement,
    job::{Job, stored},
};
use crate::{clock::now_unix_ms, limits};

/// Takes totals and turns the newest into a voucher; totals that were overtaken are left out.
pub struct Vouchers {
    wanted: watch::Sender<Totals>,
    writer: JoinHandle<()>,
}

impl Vouchers {
    pub fn start(settlement: &Settlement, job: &Job) -> Self {
        let (wanted, newest) = watch::channel(Totals::ZERO);
        let writer = settlement.clone().write(job.clone(), newest);
        Self { wanted, writer: settlement.tasks.spawn(writer) }
    }

    pub fn want(&self, totals: Totals) {
        self.wanted.send_replace(totals);
    }

    /// Ends the writing. The last voucher is for whoever ends the job.
    pub async fn stop(self) {
        drop(self.wanted);
        if let Err(error) = self.writer.await {
            tracing::error!(%error, "the writing of vouchers failed");
        }
    }
}

impl Settlement {
    async fn write(self, job: Job, mut newest: watch::Receiver<Totals>) {
        while newest.changed().await.is_ok() {
            let totals = *newest.borrow_and_update();
            let voucher = job.vouch(totals, false);
            // A voucher that was lost is missed by a worker that waits for it: it is sent again,
            // until there is a newer one or no more wanted.
            while let Err(error) = self.vouch(&job, &voucher).await {
                tracing::warn!(job = %job.address, %error, "a voucher did not get through");
                sleep(limits::VOUCH_INTERVAL).await;
                if newest.has_changed().unwrap_or(true) {
                    break;
                }
            }
        }
    }

    /// Stores a voucher, then posts it: what binds us is known to us first.
    pub async fn vouch(&self, job: &Job, voucher: &SignedVoucher) -> Result<(), CallError> {
        self.ledger.store_voucher(&job.id(), &stored(voucher), now_unix_ms()).await?;
        self.workers.vouch(&job.endpoint, voucher).await
    }
}
