//! Servers of the operator's own that speak OpenAI's API: llama-server, vLLM, another gateway. What they serve is asked
//! of them first, and costs nothing.
//!
//! A request goes to them in their own words; what they answer becomes the same events as a worker's answer, so that
//! every endpoint works over both.

mod answer;
mod attempt;
mod client;
mod error;
mod live;
mod models;
mod options;
mod read;
mod tokens;
mod uses;
mod watch;
mod write;

pub use answer::{Direct, Turn};
pub use attempt::{Ask, Last, Otherwise};
pub use error::UpstreamError;
pub use models::{Listed, Served};
pub use options::{SettingError, UpstreamOptions, upstream_url};
pub use write::chat_body;

use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::time::Instant;

use crate::{metrics, routing::Breaker};
use client::Client;
use error::Trouble;
use models::Table;
use uses::Uses;

/// All upstreams, in the order in which the operator named them. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams(Arc<Shared>);

struct Shared {
    all: Vec<Upstream>,
    table: RwLock<Arc<Table>>,
    breaker: Mutex<Breaker<usize>>,
    since: Instant,
    uses: Arc<Uses>,
}

/// One of them.
struct Upstream {
    client: Client,
    /// The models that its operator named; where there are none, what it lists itself.
    named: Vec<String>,
    state: Mutex<State>,
    calls: Arc<AtomicUsize>,
}

/// What was heard of it last.
#[derive(Default)]
struct State {
    listed: Vec<Listed>,
    /// Whether it has ever told what it serves.
    heard: bool,
    /// Why it can't be used now.
    trouble: Option<String>,
}

/// A call in progress on an upstream.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstreams {
    /// # Errors
    /// Where one can't be used as it is set.
    pub fn new(options: &[UpstreamOptions]) -> Result<Self, SettingError> {
        let http = client::http()?;
        let mut all: Vec<Upstream> = Vec::with_capacity(options.len());
        for one in options {
            let mut client = Client::new(http.clone(), one)?;
            if all.iter().any(|other| other.client.name == client.name) {
                client.name = client.long_name();
            }
            let state = Mutex::default();
            all.push(Upstream { client, named: one.models.clone(), state, calls: Arc::default() });
        }
        let shared = Shared {
            all,
            table: RwLock::default(),
            breaker: Mutex::default(),
            since: Instant::now(),
            uses: Arc::default(),
        };
        let upstreams = Self(Arc::new(shared));
        upstreams.tabulate();
        Ok(upstreams)
    }

    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// The model that a client means, where an upstream serves it.
    pub fn find(&self, model: &str) -> Option<Served> {
        self.table().find(model)
    }

    /// One that may serve any model, for all that is known: it has never told what it serves.
    pub fn unheard(&self) -> Option<UpstreamError> {
        self.0.all.iter().filter(|one| one.named.is_empty()).find_map(|one| {
            let state = one.state();
            let reason = state.trouble.clone().filter(|_| !state.heard)?;
            Some(UpstreamError { name: one.client.name.clone(), trouble: Trouble::Away(reason) })
        })
    }

    /// All models of those that are well.
    pub fn models(&self) -> Vec<Served> {
        let is_well = |at: &usize| self.0.all.get(*at).is_some_and(|one| one.trouble().is_none());
        let all = self.table().all();
        all.into_iter().filter(|served| served.by.iter().any(is_well)).collect()
    }

    /// Each by its name, with what is wrong with it.
    pub fn states(&self) -> impl Iterator<Item = (&str, Option<String>)> {
        self.0.all.iter().map(|one| (&*one.client.name, one.trouble()))
    }

    /// The names of those that serve a model.
    pub fn names(&self, served: &Served) -> Vec<String> {
        let all = served.by.iter().filter_map(|at| self.0.all.get(*at));
        all.map(|one| one.client.name.to_string()).collect()
    }

    /// Those that serve a model, in the order in which they are tried: who did not fail lately, then who has the fewest
    /// calls, then as the operator named them.
    fn order(&self, served: &Served) -> Vec<usize> {
        if let [only] = served.by[..] {
            return vec![only];
        }
        let now = self.0.since.elapsed();
        let breaker = self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order = served.by.clone();
        order.sort_by_cached_key(|at| {
            let calls = self.0.all.get(*at).map_or(0, |one| one.calls.load(Ordering::Relaxed));
            (!breaker.allows(*at, now), calls)
        });
        order
    }

    /// Notes a failure, unless the request is at fault.
    fn blame(&self, at: usize, trouble: Trouble) -> UpstreamError {
        let Some(upstream) = self.0.all.get(at) else {
            return UpstreamError { name: "".into(), trouble };
        };
        let name = upstream.client.name.clone();
        if trouble.is_its_own() {
            tracing::warn!(upstream = %name, error = %trouble, "an upstream failed on a call");
            metrics::upstream_failed(&name);
        }
        if trouble.trips_breaker() {
            let now = self.0.since.elapsed();
            self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner).failed(at, now);
        }
        if let Trouble::Away(reason) = &trouble {
            upstream.state().trouble = Some(reason.clone());
        }
        UpstreamError { name, trouble }
    }

    fn succeeded(&self, at: usize) {
        self.0.breaker.lock().unwrap_or_else(PoisonError::into_inner).succeeded(at);
    }

    fn table(&self) -> Arc<Table> {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Joins what all list.
    fn tabulate(&self) {
        let mut table = Table::default();
        for (at, upstream) in self.0.all.iter().enumerate() {
            table.add(at, &upstream.named, &upstream.state().listed);
        }
        *self.0.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }
}

impl Upstream {
    fn enter(&self) -> Place {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Place(self.calls.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }
}
