//! What every handler can reach.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    access::Access, openai::Responses, repeats::Repeats, settlement::Settlement,
    upstream::Upstreams,
};

/// The gateway's parts. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub settlement: Settlement,
    pub upstreams: Upstreams,
    pub access: Access,
    /// Answers to requests with an `Idempotency-Key`.
    pub repeats: Repeats,
    /// One for each concurrent request.
    pub permits: Arc<Semaphore>,
    pub body_bytes_max: usize,
    /// Where responses are kept; `None` where none is.
    pub responses: Option<Responses>,
    pub metrics: PrometheusHandle,
    /// WebSockets that are open.
    pub sockets: TaskTracker,
}
