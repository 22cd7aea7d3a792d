//! Samples of a histogram wait until its metrics are read. Where nobody reads them they would fill the memory.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);

/// Counts samples into their buckets now and then, until `stop`.
pub async fn count_samples_until(metrics: PrometheusHandle, stop: CancellationToken) {
    count(EVERY, metrics, stop).await;
}

async fn count(every: Duration, metrics: PrometheusHandle, stop: CancellationToken) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    const SAMPLES: usize = 100_000;
    const ROUNDS: usize = 100;

    fn memory_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn samples_that_nobody_reads_are_counted_and_take_no_memory() {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0, 2.0]).unwrap().build_recorder();
        let stop = CancellationToken::new();
        let every = Duration::from_millis(1);
        let counting = tokio::spawn(count(every, recorder.handle(), stop.clone()));
        let histogram = metrics::with_local_recorder(&recorder, || metrics::histogram!("some"));
        let mut after_one = 0;
        for round in 0..ROUNDS {
            (0..SAMPLES).for_each(|_| histogram.record(1.5));
            tokio::time::sleep(2 * every).await;
            if round == 0 {
                after_one = memory_kib();
            }
        }
        // Kept, these would take 8 bytes each, 76 MiB.
        assert!(memory_kib() < after_one + (16 << 10), "{} after {after_one}", memory_kib());
        stop.cancel();
        counting.await.unwrap();
        let told = recorder.handle().render();
        assert!(told.contains(&format!("some_count {}", SAMPLES * ROUNDS)), "{told}");
    }
}
