//! `GET /v1/models`, `GET /v1/models/{id}`: what upstreams serve and live workers offer now.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Extension, Path, State},
};
use chainference_chain::Abilities;
use serde::Serialize;

use crate::{
    access::{Caller, Refusal},
    openai::ApiError,
    routing::{Candidate, Wish},
    settlement::CallError,
    state::App,
    upstream::Served,
};

#[derive(Debug, Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<Model>,
}

/// A model, with OpenAI's fields first and the market's after.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
    /// Tokens of the largest context that is offered, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quantisations: Vec<String>,
    /// What it can be asked for: chat, tools, completions, embeddings, … An upstream need not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    abilities: Vec<String>,
    /// The lowest prices that are offered, in lamports.
    pricing: Pricing,
    /// Workers that serve it now.
    workers: usize,
    /// Upstreams that serve it, by their names; they are asked first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstreams: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Pricing {
    input_per_mtok_lamports: u64,
    output_per_mtok_lamports: u64,
    charge_min_lamports: u64,
}

pub async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List>, ApiError> {
    Ok(Json(List { object: "list", data: offered(&app, &caller)? }))
}

pub async fn retrieve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    if let Some(served) = app.upstreams.find(&id) {
        if !caller.models().allows(served.id()) {
            let model = served.id().to_owned();
            return Err(Refusal::Model { model }.to_api());
        }
        return Ok(Json(own(app.upstreams.names(&served), &served)));
    }
    let picked = app.settlement.directory.pick(&Wish::of(&id, caller.models()));
    let found = picked.map_err(|why| CallError::nobody(&id, why).to_api())?.candidate;
    let model = offered(&app, &caller)?.into_iter().find(|model| model.id == found.model);
    // Between the two looks the last worker may have gone.
    model.map(Json).ok_or_else(|| CallError::NobodyServes { model: id }.to_api())
}

/// Those of the key's models that are offered now: upstreams' first, as they are asked first.
fn offered(app: &App, caller: &Caller) -> Result<Vec<Model>, ApiError> {
    let served = app.upstreams.models().into_iter();
    let mut all: Vec<Model> = served
        .filter(|served| caller.models().allows(served.id()))
        .map(|served| own(app.upstreams.names(&served), &served))
        .collect();
    match app.settlement.directory.snapshot() {
        Ok(snapshot) => {
            let allowed = |one: &&Candidate| caller.models().allows(&one.model);
            let mut market = models(snapshot.candidates.iter().filter(allowed));
            market.retain(|model| !all.iter().any(|own| own.id == model.id));
            all.extend(market);
        }
        Err(reason) if app.upstreams.is_empty() => {
            return Err(CallError::ChainAway(reason).to_api());
        }
        // What upstreams serve needs no chain.
        Err(_) => {}
    }
    Ok(all)
}

/// A model of an upstream's.
fn own(upstreams: Vec<String>, served: &Served) -> Model {
    let listed = &*served.model;
    Model {
        id: listed.id.clone(),
        object: "model",
        created: listed.created,
        owned_by: listed.owned_by.clone().unwrap_or_else(|| "upstream".to_owned()),
        context_length: listed.context_tokens,
        quantisations: Vec::new(),
        abilities: listed.abilities.clone(),
        pricing: Pricing::default(),
        workers: 0,
        upstreams,
    }
}

fn owner(id: &str) -> String {
    id.split_once('/').map_or("chainference", |(owner, _)| owner).to_owned()
}

fn models<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Vec<Model> {
    let mut by_id: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        by_id.entry(&candidate.model).or_default().push(candidate);
    }
    by_id.into_iter().map(|(id, offers)| model(id, &offers)).collect()
}

fn model(id: &str, offers: &[&Candidate]) -> Model {
    let lowest = |price: fn(&Candidate) -> u64| offers.iter().map(|one| price(one)).min();
    let mut quantisations: Vec<String> =
        offers.iter().map(|one| one.quantisation.clone()).collect();
    quantisations.sort();
    quantisations.dedup();
    let abilities = offers.iter().fold(Abilities::empty(), |all, one| all | one.abilities);
    Model {
        id: id.to_owned(),
        object: "model",
        // The market does not know when a model was made; the schema wants a number.
        created: 0,
        owned_by: owner(id),
        context_length: offers.iter().map(|one| one.context_tokens).max(),
        quantisations,
        abilities: abilities.names().map(str::to_owned).collect(),
        pricing: Pricing {
            input_per_mtok_lamports: lowest(|one| one.prices.input_per_mtok).unwrap_or_default(),
            output_per_mtok_lamports: lowest(|one| one.prices.output_per_mtok).unwrap_or_default(),
            charge_min_lamports: lowest(|one| one.prices.charge_min).unwrap_or_default(),
        },
        workers: offers.len(),
        upstreams: Vec::new(),
    }
}
