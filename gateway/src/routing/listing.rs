//! The market as a client may look at it: workers, offers, and why a call would go where it goes.

use std::sync::Arc;

use chainference_chain::{
    Abilities, Pubkey,
    accounts::{Offer, Worker},
};
use chainference_market::Reputation;
use serde::Serialize;

use super::{
    Directory, Snapshot,
    breaker::State,
    candidate::{self, Reading, reputation_bps},
    choose::{Placed, Why},
    name,
    pick::Wish,
    score::Parts,
    standing::{self, Standing},
};
use crate::access::ModelList;

/// An offer, whether it is served or not.
#[derive(Clone, Debug, Serialize)]
pub struct OfferLine {
    pub offer: String,
    pub worker: String,
    pub model: String,
    pub quantisation: String,
    pub revision: String,
    /// In hexadecimal, as the worker says.
    pub gguf_sha256: String,
    pub tokenizer_sha256: String,
    pub input_per_mtok_lamports: u64,
    pub output_per_mtok_lamports: u64,
    pub charge_min_lamports: u64,
    pub context_tokens: u32,
    pub abilities: Vec<&'static str>,
    pub standing: Standing,
    /// How a call for the model fares with it; where a model was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<ChoiceLine>,
}

/// What speaks for an offer, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct ChoiceLine {
    pub chosen: bool,
    pub why: Why,
    pub score_bps: u16,
    #[serde(flatten)]
    pub parts: Parts,
    /// Of a typical call.
    pub cost_lamports: u64,
    /// The whole of a typical call, as it was measured lately; null where it was not.
    pub expected_ms: Option<u64>,
}

/// A worker, whether it serves or not.
#[derive(Clone, Debug, Serialize)]
pub struct WorkerLine {
    pub worker: String,
    pub owner: String,
    pub operator: String,
    /// As the worker says.
    pub endpoint: String,
    pub standing: Standing,
    pub heartbeat_age_s: i64,
    /// Of all clients, as the chain counts them.
    pub live_jobs: u32,
    /// This gateway's calls.
    pub in_flight: u32,
    pub breaker: State,
    pub reputation: ReputationLine,
    pub offers: Vec<OfferLine>,
}

/// Ratios in basis points, as the program computes them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReputationLine {
    /// What a choice goes by.
    pub reputation_bps: u16,
    pub rating_bps: u16,
    pub success_bps: u16,
    pub preference_bps: u16,
    pub uptime_bps: u16,
    pub speed_bps: u16,
    pub accuracy_bps: u16,
    pub jobs_completed: u32,
    pub jobs_flagged: u32,
    pub jobs_compared: u32,
    pub jobs_preferred: u32,
}

impl Directory {
    /// Every offer of a model that the list allows, and that `model` may mean where one is named.
    ///
    /// # Errors
    /// Why the chain could not be read lately.
    pub fn offers(
        &self,
        models: &ModelList,
        model: Option<&str>,
    ) -> Result<Vec<OfferLine>, String> {
        let snapshot = self.snapshot()?;
        let placed = model.map(|model| self.contest(&snapshot, &Wish::of(model, models)));
        let fits = |offer: &Offer| {
            let is_meant = |model| name::matches(model, offer.model(), offer.quantisation());
            models.allows(offer.model()) && model.is_none_or(|model| is_meant(model).is_some())
        };
        let found = snapshot.offers.iter().filter(|(_, offer)| fits(offer));
        let mut lines: Vec<OfferLine> = found
            .map(|(key, offer)| {
                let choice = placed.iter().flatten().find(|one| one.candidate.offer == *key);
                let line = self.offer_line(&snapshot, *key, offer);
                OfferLine { choice: choice.map(ChoiceLine::from), ..line }
            })
            .collect();
        lines.sort_by_key(|line| {
            let place = |choice: &ChoiceLine| (!choice.chosen, u16::MAX - choice.score_bps);
            (line.choice.as_ref().map_or((true, u16::MAX), place), line.model.clone())
        });
        Ok(lines)
    }

    /// Every worker, with its offers of models that the list allows; where a model is named, those that offer it, the
    /// chosen one first.
    ///
    /// # Errors
    /// Why the chain could not be read lately.
    pub fn workers(
        &self,
        models: &ModelList,
        model: Option<&str>,
    ) -> Result<Vec<WorkerLine>, String> {
        let snapshot = self.snapshot()?;
        let mut offers = self.offers(models, model)?;
        let place = |key: &str| offers.iter().position(|offer| offer.worker == key);
        let mut found: Vec<(Option<usize>, &(Pubkey, Worker))> =
            snapshot.workers.iter().map(|one| (place(&one.0.to_string()), one)).collect();
        found.retain(|(place, _)| model.is_none() || place.is_some());
        found.sort_by_key(|(place, (key, _))| (place.unwrap_or(usize::MAX), *key));
        let lines = found.into_iter().map(|(_, (key, worker))| {
            let own = key.to_string();
            let own = offers.extract_if(.., |offer| offer.worker == own).collect();
            self.worker_line(&snapshot, *key, worker, own)
        });
        Ok(lines.collect())
    }

    fn contest<'s>(&self, snapshot: &'s Arc<Snapshot>, wish: &Wish<'_>) -> Vec<Placed<'s>> {
        let named = candidate::named(wish.asked, &snapshot.candidates);
        self.place(wish, candidate::best_named(named, |one| wish.models.allows(&one.model)))
    }

    fn offer_line(&self, snapshot: &Snapshot, key: Pubkey, offer: &Offer) -> OfferLine {
        let now_unix_s = snapshot.time.unix_s;
        OfferLine {
            offer: key.to_string(),
            worker: offer.worker.to_string(),
            model: offer.model().to_owned(),
            quantisation: offer.quantisation().to_owned(),
            revision: offer.revision().to_owned(),
            gguf_sha256: hex::encode(offer.gguf_sha256),
            tokenizer_sha256: hex::encode(offer.tokenizer_sha256),
            input_per_mtok_lamports: offer.price_in_per_mtok,
            output_per_mtok_lamports: offer.price_out_per_mtok,
            charge_min_lamports: offer.charge_min,
            context_tokens: offer.context_tokens,
            abilities: Abilities::of(offer).names().collect(),
            standing: standing::of_offer(offer, &snapshot.workers, now_unix_s, self.admission),
            choice: None,
        }
    }

    fn worker_line(
        &self,
        snapshot: &Snapshot,
        key: Pubkey,
        worker: &Worker,
        offers: Vec<OfferLine>,
    ) -> WorkerLine {
        let now_unix_s = snapshot.time.unix_s;
        let (now, lately) = (self.started.elapsed(), self.lately());
        WorkerLine {
            worker: key.to_string(),
            owner: worker.owner.to_string(),
            operator: worker.operator.to_string(),
            endpoint: worker.endpoint().to_owned(),
            standing: standing::of_worker(worker, now_unix_s, self.admission),
            heartbeat_age_s: now_unix_s.saturating_sub(worker.last_heartbeat_unix_s),
            live_jobs: worker.live_jobs,
            in_flight: lately.in_flight(key),
            breaker: lately.breaker.state(key, now),
            reputation: ReputationLine::new(&worker.reputation.into(), snapshot.reading),
            offers,
        }
    }
}

impl From<&Placed<'_>> for ChoiceLine {
    fn from(placed: &Placed<'_>) -> Self {
        Self {
            chosen: placed.why == Why::Chosen,
            why: placed.why,
            score_bps: placed.parts.score(),
            parts: placed.parts,
            cost_lamports: placed.facts.cost,
            expected_ms: placed.facts.expected_ms,
        }
    }
}

impl ReputationLine {
    fn new(reputation: &Reputation, reading: Reading) -> Self {
        let Reading { now_unix_s, reputation_prior: prior, heartbeat_s } = reading;
        Self {
            reputation_bps: reputation_bps(reputation, reading),
            rating_bps: reputation.rating_bps(now_unix_s, heartbeat_s, prior),
            success_bps: reputation.success_bps(prior),
            preference_bps: reputation.preference_bps(prior),
            uptime_bps: reputation.uptime_bps(now_unix_s, heartbeat_s),
            speed_bps: reputation.speed_bps(prior),
            accuracy_bps: reputation.accuracy_bps(prior),
            jobs_completed: reputation.jobs_completed,
            jobs_flagged: reputation.jobs_flagged,
            jobs_compared: reputation.jobs_compared,
            jobs_preferred: reputation.jobs_preferred,
        }
    }
}
