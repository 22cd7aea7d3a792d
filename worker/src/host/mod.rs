//! Several models on one machine: an engine each, in memory as long as it is needed and there is
//! room. [`policy`] decides, this carries it out.

pub mod memory;
pub mod policy;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, EngineError, EngineOptions, Generate, Generation};
pub use policy::ModelId;
use policy::{Answer, Place, Policy};

/// How often idle models are looked for, and those who wait look again.
const TICK: Duration = Duration::from_millis(250);

/// What the host is given.
#[derive(Clone, Debug)]
pub struct HostOptions {
    pub models: Vec<HostedModel>,
    /// What all models in memory may take together.
    pub budget_bytes: u64,
    /// A model that nobody used for so long leaves the memory; `None`: only for another.
    pub idle: Option<Duration>,
    /// A call waits so long for its model.
    pub wait_max: Duration,
}

/// A model that may be loaded.
#[derive(Clone, Debug)]
pub struct HostedModel {
    pub name: String,
    pub options: EngineOptions,
    pub need_bytes: u64,
}

/// How a model is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `loaded`, `loading`, `restarting`, `unloading`, `unloaded` or `failed`.
    pub word: &'static str,
    /// Calls that are computed at once.
    pub slots: usize,
    /// Calls that run or wait.
    pub busy: usize,
    /// Calls that would be taken now.
    pub seats_free: usize,
    pub memory_bytes: u64,
}

/// A cheap handle.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

struct Shared {
    models: Vec<HostedModel>,
    wait_max: Duration,
    began: Instant,
    state: Mutex<State>,
    /// Whoever waits looks again when it changes.
    changed: watch::Sender<()>,
    shutdown: CancellationToken,
}

struct State {
    policy: Policy,
    running: Vec<Option<Running>>,
}

#[derive(Clone)]
struct Running {
    engine: Engine,
    /// Ends this engine alone.
    end: CancellationToken,
}

/// A model in use: it stays in memory as long as this lives.
pub struct Lease {
    host: Host,
    model: ModelId,
    engine: Engine,
}

impl Lease {
    /// See [`Engine::generate`].
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn generate(&self, request: Generate) -> Result<Generation, EngineError> {
        self.engine.generate(request).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now_ms = self.host.now_ms();
        self.host.state().policy.release(self.model, now_ms);
        self.host.0.changed.send_replace(());
    }
}

impl Host {
    /// Loads what fits, in the order given, and keeps watch until `shutdown`.
    ///
    /// # Errors
    /// [`EngineError`]: a model that can't be loaded, or that is larger than the whole budget.
    pub async fn start(
        options: HostOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, EngineError> {
        let HostOptions { models, budget_bytes, idle, wait_max } = options;
        let needs: Vec<_> = models.iter().map(|model| model.need_bytes).collect();
        if let Some(model) = models.iter().find(|model| model.need_bytes > budget_bytes) {
            let (name, need_bytes) = (model.name.clone(), model.need_bytes);
            return Err(EngineError::TooLarge { name, need_bytes, budget_bytes });
        }
        let idle_ms = idle.map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        let state = State {
            policy: Policy::new(&needs, budget_bytes, idle_ms),
            running: vec![None; models.len()],
        };
        let host = Self(Arc::new(Shared {
            models,
            wait_max,
            began: Instant::now(),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            shutdown,
        }));
        for model in 0..needs.len() {
            host.preload(model).await?;
        }
        tokio::spawn(host.clone().watch());
        Ok(host)
    }

    /// At the start a model that can't be loaded is an error; one that has no room beside those
    /// before it waits until it is wanted.
    async fn preload(&self, model: ModelId) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        {
            let policy = &mut self.state().policy;
            let has_room = policy.room_bytes() >= policy.need_bytes(model);
            if !has_room || !matches!(policy.want(model, now_ms), Answer::Load { .. }) {
                return Ok(());
            }
        }
        self.load(model, &[]).await
    }

    /// Waits for the model, if it isn't in memory, as long as a call waits at most.
    ///
    /// # Errors
    /// [`EngineError::NotLoaded`] if it didn't come in time, [`EngineError::Load`] if it can't be
    /// loaded.
    pub async fn lease(&self, model: ModelId) -> Result<Lease, EngineError> {
        let mut changes = self.0.changed.subscribe();
        let waited = async {
            loop {
                changes.borrow_and_update();
                if let Some(lease) = self.try_lease(model)? {
                    return Ok(lease);
                }
                tokio::time::timeout(TICK, changes.changed()).await.ok();
            }
        };
        let shutdown = self.0.shutdown.cancelled();
        tokio::select! {
            () = shutdown => Err(EngineError::Stopped),
            waited = tokio::time::timeout(self.0.wait_max, waited) => {
                waited.unwrap_or(Err(EngineError::NotLoaded))
            }
        }
    }

    fn try_lease(&self, model: ModelId) -> Result<Option<Lease>, EngineError> {
        match self.want(model) {
            Answer::Ready => {
                let mut state = self.state();
                // Between the two looks it may have begun to leave.
                let Some(running) = &state.running[model] else { return Ok(None) };
                let engine = running.engine.clone();
                if state.policy.place(model) != Place::In {
                    return Ok(None);
                }
                state.policy.lease(model);
                Ok(Some(Lease { host: self.clone(), model, engine }))
            }
            Answer::Broken => Err(EngineError::Load { detail: "it failed a moment ago".into() }),
            Answer::Wait | Answer::Full | Answer::Load { .. } => Ok(None),
        }
    }

    /// Whether a call to come would be served, as it looks now. A model that isn't in memory is
    /// called for, so that it is there when the call comes.
    pub fn would_take(&self, model: ModelId) -> bool {
        match self.want(model) {
            Answer::Ready => self.standing(model).seats_free > 0,
            Answer::Wait | Answer::Load { .. } => true,
            Answer::Full | Answer::Broken => false,
        }
    }

    /// Asks for the model, and begins to load it if that is the answer.
    fn want(&self, model: ModelId) -> Answer {
        let answer = self.state().policy.want(model, self.now_ms());
        if let Answer::Load { evict } = answer.clone() {
            let host = self.clone();
            tokio::spawn(async move {
                if let Err(error) = host.load(model, &evict).await {
                    tracing::error!(model = host.0.models[model].name, %error, "can't be loaded");
                }
            });
        }
        answer
    }

    async fn load(&self, model: ModelId, evict: &[ModelId]) -> Result<(), EngineError> {
        for &other in evict {
            self.unload(other).await;
        }
        let HostedModel { name, options, .. } = &self.0.models[model];
        let (began, end) = (Instant::now(), self.0.shutdown.child_token());
        let started = Engine::start(options.clone(), end.clone()).await;
        let now_ms = self.now_ms();
        let outcome = match started {
            Ok(engine) => {
                let mut state = self.state();
                state.running[model] = Some(Running { engine, end });
                state.policy.loaded(model, now_ms);
                tracing::info!(model = name, took = ?began.elapsed(), "model loaded");
                Ok(())
            }
            Err(error) => {
                self.state().policy.failed(model, now_ms);
                Err(error)
            }
        };
        self.0.changed.send_replace(());
        outcome
    }

    /// Ends an engine that the policy has noted as leaving.
    async fn unload(&self, model: ModelId) {
        let running = self.state().running[model].take();
        if let Some(Running { engine, end }) = running {
            end.cancel();
            engine.ended().await;
        }
        self.state().policy.left(model);
        self.0.changed.send_replace(());
        tracing::info!(model = self.0.models[model].name, "model unloaded");
    }

    async fn watch(self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.0.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let idle = self.state().policy.take_idle(self.now_ms());
            for model in idle {
                self.unload(model).await;
            }
        }
    }

    /// Calls that would be taken now, over all models.
    pub fn seats_free(&self) -> usize {
        (0..self.0.models.len()).map(|model| self.standing(model).seats_free).sum()
    }

    pub fn standing(&self, model: ModelId) -> Standing {
        let state = self.state();
        let options = &self.0.models[model].options;
        let seats = options.slots.get().saturating_add(options.queue_max) as usize;
        let memory_bytes = state.policy.need_bytes(model);
        let engine = state.running[model].as_ref().map(|running| &running.engine);
        let (word, seats_free, memory_bytes) = match (state.policy.place(model), engine) {
            (Place::In, Some(engine)) if engine.is_ready() => {
                ("loaded", engine.free_seats(), memory_bytes)
            }
            (Place::In, _) => ("restarting", 0, memory_bytes),
            (Place::Loading, _) => ("loading", seats, memory_bytes),
            (Place::Leaving { .. }, _) => ("unloading", seats, memory_bytes),
            (Place::Out, _) => ("unloaded", seats, 0),
            (Place::Failed { .. }, _) => ("failed", 0, 0),
        };
        let slots = options.slots.get() as usize;
        let busy = engine.map_or(0, |engine| seats.saturating_sub(engine.free_seats()));
        Standing { word, slots, busy, seats_free, memory_bytes }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
