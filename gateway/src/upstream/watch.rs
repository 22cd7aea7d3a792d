//! Looks after the upstreams: who is there, and what each serves.

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{Upstream, Upstreams};
use crate::{limits, metrics};

impl Upstreams {
    /// Asks each what it serves.
    pub async fn refresh(&self) {
        join_all((0..self.0.all.len()).map(|at| self.refresh_one(at))).await;
        self.tabulate();
    }

    /// The same again and again, sooner where one is away.
    pub async fn watch_until(self, stop: CancellationToken) {
        loop {
            let all_well = self.0.all.iter().all(|one| one.trouble().is_none());
            let pause =
                if all_well { limits::UPSTREAM_INTERVAL } else { limits::UPSTREAM_AWAY_INTERVAL };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            if stop.run_until_cancelled(self.refresh()).await.is_none() {
                return;
            }
        }
    }

    async fn refresh_one(&self, at: usize) {
        let Some(upstream) = self.0.all.get(at) else { return };
        if upstream.refresh().await {
            self.succeeded(at);
        }
    }
}

impl Upstream {
    /// Whether it has come back.
    async fn refresh(&self) -> bool {
        let name = &self.client.name;
        let listed = self.client.list(limits::WORKER_REPLY_DEADLINE).await;
        metrics::upstream_up(name, listed.is_ok());
        let mut state = self.state();
        match listed {
            Ok(listed) => {
                state.heard = true;
                if let Some(listed) = listed {
                    state.listed = listed;
                }
                let was_away = state.trouble.take().is_some();
                if was_away {
                    tracing::info!(upstream = %name, "an upstream is back");
                }
                was_away
            }
            Err(trouble) => {
                let reason = trouble.to_string();
                if state.trouble.is_none() {
                    tracing::warn!(upstream = %name, error = reason, "an upstream does not answer");
                }
                // What it served is asked of it still: it may be back before the next look.
                state.trouble = Some(reason);
                false
            }
        }
    }
}
