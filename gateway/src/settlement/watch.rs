//! Warns while there is still money: a look at the vault and at the gateway's own key now and then.

use chainference_chain::Signer;
use chainference_market::Lamports;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Settlement;
use crate::{limits, metrics};

impl Settlement {
    /// Looks until `stop`. Says once that the money runs low, and once that it doesn't any more.
    pub async fn watch_balance_until(self, stop: CancellationToken) {
        let mut tick = interval(limits::BALANCE_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_low = false;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.lull.pause(limits::END_WAIT_MAX).await;
            // A chain that is away is told of elsewhere.
            let Ok(balance) = self.balance().await else { continue };
            metrics::vault(balance.free_lamports, balance.reserved_lamports);
            if balance.low && !was_low {
                tracing::warn!(
                    vault = %balance.vault,
                    free = balance.free_lamports,
                    threshold = balance.low_below_lamports,
                    "the vault runs low: deposit into it, or calls will be refused"
                );
            } else if was_low && !balance.low {
                tracing::info!(vault = %balance.vault, "the vault has enough again");
            }
            was_low = balance.low;
            self.watch_own_key().await;
        }
    }

    /// The gateway's key pays fees and lends rent; deposits don't fill it.
    async fn watch_own_key(&self) {
        let key = self.key.pubkey();
        let Ok(held) = self.chain.balance(&key).await else { return };
        metrics::own_key(held);
        if held < Lamports(limits::OWN_KEY_LOW) {
            tracing::warn!(%key, %held, "the gateway's own key runs low: send SOL to it");
        }
    }
}
