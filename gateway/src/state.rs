//! What every handler can reach.

use std::{ops::Deref, sync::Arc};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    access::Access, openai::Responses, repeats::Repeats, settlement::Settlement,
    upstream::Upstreams,
};

/// The gateway's parts, shared: each layer that a request passes holds them.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl App {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What there is one of in a gateway.
pub struct Parts {
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
