//! Which models are in memory, pure: no engine, no clock. Who wants a model asks again whenever
//! something has changed, until it is there or his patience ends.
//!
//! ```text
//! Out ── wanted, and there is room ──▶ Loading ──▶ In ── idle, or others need the room ──▶ Leaving ──▶ Out
//!  ▲                                      │
//!  └────── after a pause ── Failed ◀──────┘
//! ```
//! A model that serves a call is never taken away: a worker that is full says so, and the call goes
//! elsewhere. Of those that serve none, the one that was used longest ago goes first.

/// A model's number on this worker.
pub type ModelId = usize;

/// After a use a model is kept for so long though others want its room: the call to a quote comes
/// right after it, and two models that take turns would only ever be loaded.
const KEEP_MS: u64 = 3_000;
/// A model that could not be loaded is not tried again before.
const RETRY_MS: u64 = 30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Out,
    Loading,
    In,
    /// Its room may be promised to the one that it left for.
    Leaving {
        is_promised: bool,
    },
    Failed {
        until_ms: u64,
    },
}

#[derive(Debug)]
struct Model {
    need_bytes: u64,
    place: Place,
    /// Calls that run on it.
    leases: u32,
    used_ms: u64,
}

/// What becomes of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Ready,
    /// It is on its way, or there will be room soon.
    Wait,
    /// Others' calls hold the room: nobody knows for how long.
    Full,
    /// Load it, once those are gone. Both are noted as done.
    Load {
        evict: Vec<ModelId>,
    },
    /// It could not be loaded a moment ago.
    Broken,
}

#[derive(Debug)]
pub struct Policy {
    models: Vec<Model>,
    budget_bytes: u64,
    /// `None`: a model stays until another needs its room.
    idle_ms: Option<u64>,
}

impl Policy {
    /// `needs_bytes` is what each model takes, in the order of their ids.
    pub fn new(needs_bytes: &[u64], budget_bytes: u64, idle_ms: Option<u64>) -> Self {
        let model = |&need_bytes| Model { need_bytes, place: Place::Out, leases: 0, used_ms: 0 };
        Self { models: needs_bytes.iter().map(model).collect(), budget_bytes, idle_ms }
    }

    pub fn place(&self, id: ModelId) -> Place {
        self.models[id].place
    }

    pub fn need_bytes(&self, id: ModelId) -> u64 {
        self.models[id].need_bytes
    }

    /// What is taken or promised.
    pub fn used_bytes(&self) -> u64 {
        self.models.iter().filter(|model| model.takes_room()).map(|model| model.need_bytes).sum()
    }

    pub fn room_bytes(&self) -> u64 {
        self.budget_bytes.saturating_sub(self.used_bytes())
    }

    /// Somebody wants the model now.
    pub fn want(&mut self, id: ModelId, now_ms: u64) -> Answer {
        match self.models[id].place {
            Place::In => {
                self.models[id].used_ms = now_ms;
                Answer::Ready
            }
            Place::Loading | Place::Leaving { .. } => Answer::Wait,
            Place::Failed { until_ms } if now_ms < until_ms => Answer::Broken,
            Place::Out | Place::Failed { .. } => self.make_room(id, now_ms),
        }
    }

    fn make_room(&mut self, id: ModelId, now_ms: u64) -> Answer {
        let need = self.models[id].need_bytes;
        let lacking = (self.used_bytes() + need).saturating_sub(self.budget_bytes);
        let evict = self.evictable(now_ms, lacking);
        let freed: u64 = evict.iter().map(|&id| self.models[id].need_bytes).sum();
        if freed < lacking {
            return if self.room_to_come() < lacking { Answer::Full } else { Answer::Wait };
        }
        for &id in &evict {
            self.models[id].place = Place::Leaving { is_promised: true };
        }
        self.models[id].place = Place::Loading;
        Answer::Load { evict }
    }

    /// As few as give `lacking` bytes, those used longest ago first.
    fn evictable(&self, now_ms: u64, lacking: u64) -> Vec<ModelId> {
        let mut idle: Vec<ModelId> = self
            .ids(|model| model.is_idle() && now_ms.saturating_sub(model.used_ms) >= KEEP_MS)
            .collect();
        idle.sort_by_key(|&id| self.models[id].used_ms);
        let mut freed = 0;
        idle.into_iter()
            .take_while(|&id| {
                let is_lacking = freed < lacking;
                freed += self.models[id].need_bytes;
                is_lacking
            })
            .collect()
    }

    /// Bytes that nobody's call holds: they are free soon, if nobody comes.
    fn room_to_come(&self) -> u64 {
        let soon = |model: &&Model| model.takes_room() && model.leases == 0;
        self.models.iter().filter(soon).map(|model| model.need_bytes).sum()
    }

    /// Models that nobody has used for long; they are noted as leaving.
    pub fn take_idle(&mut self, now_ms: u64) -> Vec<ModelId> {
        let Some(idle_ms) = self.idle_ms else { return Vec::new() };
        let is_over =
            |model: &Model| model.is_idle() && now_ms.saturating_sub(model.used_ms) >= idle_ms;
        let over: Vec<_> = self.ids(is_over).collect();
        for &id in &over {
            self.models[id].place = Place::Leaving { is_promised: false };
        }
        over
    }

    fn ids(&self, is: impl Fn(&Model) -> bool) -> impl Iterator<Item = ModelId> {
        self.models.iter().enumerate().filter(move |(_, model)| is(model)).map(|(id, _)| id)
    }

    pub fn loaded(&mut self, id: ModelId, now_ms: u64) {
        self.models[id].place = Place::In;
        self.models[id].used_ms = now_ms;
    }

    pub fn failed(&mut self, id: ModelId, now_ms: u64) {
        self.models[id].place = Place::Failed { until_ms: now_ms + RETRY_MS };
    }

    pub fn left(&mut self, id: ModelId) {
        self.models[id].place = Place::Out;
    }

    /// A call begins on a model that is ready.
    pub fn lease(&mut self, id: ModelId) {
        self.models[id].leases += 1;
    }

    pub fn release(&mut self, id: ModelId, now_ms: u64) {
        let model = &mut self.models[id];
        model.leases = model.leases.saturating_sub(1);
        model.used_ms = now_ms;
    }
}

impl Model {
    fn takes_room(&self) -> bool {
        matches!(self.place, Place::In | Place::Loading | Place::Leaving { is_promised: false })
    }

    fn is_idle(&self) -> bool {
        self.place == Place::In && self.leases == 0
    }
}

#[cfg(test)]
mod tests;
