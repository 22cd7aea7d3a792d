//! `GET /v1/models`, `GET /v1/models/{id}`: what live workers offer now.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Extension, Path, State},
};
use chainference_chain::Abilities;
use serde::Serialize;

use crate::{
    access::Caller, openai::ApiError, routing::Candidate, settlement::CallError, state::App,
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
    /// Tokens of the largest context that is offered.
    context_length: u32,
    quantisations: Vec<String>,
    /// What it can be asked for: chat, tools, completions, embeddings, …
    abilities: Vec<&'static str>,
    /// The lowest prices that are offered, in lamports.
    pricing: Pricing,
    /// Workers that serve it now.
    workers: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
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
    let candidate = app.settlement.directory.pick(&id, Abilities::empty(), &[], caller.models());
    let found = candidate.map_err(|why| CallError::nobody(&id, why).to_api())?;
    let model = offered(&app, &caller)?.into_iter().find(|model| model.id == found.model);
    // Between the two looks the last worker may have gone.
    model.map(Json).ok_or_else(|| CallError::NobodyServes { model: id }.to_api())
}

/// Those of the key's models that are offered now.
fn offered(app: &App, caller: &Caller) -> Result<Vec<Model>, ApiError> {
    let snapshot = app.settlement.directory.snapshot();
    let snapshot = snapshot.map_err(|reason| CallError::ChainAway(reason).to_api())?;
    let allowed = |one: &&Candidate| caller.models().allows(&one.model);
    Ok(models(snapshot.candidates.iter().filter(allowed)))
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
        owned_by: id.split_once('/').map_or("chainference", |(owner, _)| owner).to_owned(),
        context_length: offers.iter().map(|one| one.context_tokens).max().unwrap_or_default(),
        quantisations,
        abilities: abilities.names().collect(),
        pricing: Pricing {
            input_per_mtok_lamports: lowest(|one| one.prices.input_per_mtok).unwrap_or_default(),
            output_per_mtok_lamports: lowest(|one| one.prices.output_per_mtok).unwrap_or_default(),
            charge_min_lamports: lowest(|one| one.prices.charge_min).unwrap_or_default(),
        },
        workers: offers.len(),
    }
}
