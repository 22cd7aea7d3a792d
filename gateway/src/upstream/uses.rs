//! What upstreams have served since it was last written down: no call waits for a disk.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chainference_market::Totals;
use tokio_util::sync::CancellationToken;

use super::Upstreams;
use crate::{
    clock::now_unix_ms,
    ledger::{Ledger, UpstreamCalls},
    limits,
};

/// Sums by key and model.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<(String, String), UpstreamCalls>>);

impl Uses {
    pub fn add(&self, key_id: &str, model: &str, calls: u64, totals: Totals) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = all.entry((key_id.to_owned(), model.to_owned())).or_insert_with(|| {
            let (key_id, model) = (key_id.to_owned(), model.to_owned());
            UpstreamCalls { key_id, model, calls: 0, totals: Totals::ZERO }
        });
        sum.calls = sum.calls.saturating_add(calls);
        sum.totals = Totals {
            tokens_in: sum.totals.tokens_in.saturating_add(totals.tokens_in),
            tokens_out: sum.totals.tokens_out.saturating_add(totals.tokens_out),
        };
    }

    fn take(&self) -> Vec<UpstreamCalls> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_values().collect()
    }
}

impl Upstreams {
    /// Writes down now and then what was served, and at the end what is left.
    pub async fn note_until(self, ledger: Ledger, stop: CancellationToken) {
        let pause = || tokio::time::sleep(limits::UPSTREAM_NOTE_INTERVAL);
        while stop.run_until_cancelled(pause()).await.is_some() {
            self.note(&ledger).await;
        }
        self.note(&ledger).await;
    }

    async fn note(&self, ledger: &Ledger) {
        let all = self.0.uses.take();
        if all.is_empty() {
            return;
        }
        if let Err(error) = ledger.add_upstream_calls(&all, now_unix_ms()).await {
            tracing::error!(%error, "what upstreams have served could not be written down");
            for one in all {
                self.0.uses.add(&one.key_id, &one.model, one.calls, one.totals);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_served_is_in_the_spend_of_its_day_once_it_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
        let upstreams = Upstreams::new(&[]).unwrap();
        let totals = |tokens_in, tokens_out| Totals { tokens_in, tokens_out };
        for (key, used) in [("a", totals(7, 2)), ("b", totals(1, 1)), ("a", totals(3, 0))] {
            upstreams.0.uses.add(key, "own/model", 1, used);
            upstreams.note(&ledger).await;
        }
        upstreams.note(&ledger).await;
        let spend = ledger.spend(Some("a"), 0).await.unwrap();
        let [one] = &spend[..] else { panic!("{spend:?}") };
        assert_eq!((one.calls, one.tokens_in, one.tokens_out, one.cost_lamports), (2, 10, 2, 0));
        assert_eq!(one.model, "own/model");
        assert_eq!(ledger.spend(None, 0).await.unwrap().len(), 2);
        assert_eq!(ledger.spend(None, i64::MAX).await.unwrap(), []);
    }
}
