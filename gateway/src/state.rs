//! What every handler can reach.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::{access::Access, repeats::Repeats, settlement::Settlement};

/// The gateway's parts. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub settlement: Settlement,
    pub access: Access,
    /// Answers to requests with an `Idempotency-Key`.
    pub repeats: Repeats,
    /// One for each concurrent request.
    pub permits: Arc<Semaphore>,
    pub body_bytes_max: usize,
    pub metrics: PrometheusHandle,
}
