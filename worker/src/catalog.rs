//! The models that a worker serves: found, hosted, and described as the chain will have them.

use std::path::PathBuf;
use std::time::Duration;

use chainference_chain::Abilities;
use chainference_market::limits::{MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX, REVISION_BYTES_MAX};
use tokio_util::sync::CancellationToken;

use crate::engine::{EngineOptions, context_tokens};
use crate::host::memory;
use crate::host::{Host, HostOptions, HostedModel};
use crate::models::gguf::thinks;
use crate::models::{Hold, ModelStore, Resolved};
use crate::options::ModelOptions;
use crate::registration::ModelOffer;
use crate::{Options, WorkerError};

/// Where the system doesn't say how much memory it has.
const BUDGET_UNKNOWN_BYTES: u64 = 8 << 30;

/// What is served, each list in the order of the options.
pub(crate) struct Catalog {
    pub host: Host,
    pub offers: Vec<ModelOffer>,
    pub holds: Vec<Hold>,
}

/// Finds or downloads the models, and loads those that fit into the memory together.
pub(crate) async fn open(
    options: &Options,
    background: &CancellationToken,
) -> Result<Catalog, WorkerError> {
    let store = ModelStore::new(options.models_path.clone(), options.hub.clone());
    let (mut models, mut offers, mut holds) = (Vec::new(), Vec::<ModelOffer>::new(), Vec::new());
    for wanted in &options.models {
        let found = store.resolve(&wanted.source, &*options.on_progress).await?;
        holds.push(Hold::shared(&found.path)?);
        let engine = engine_options(options, wanted, &found)?;
        let offer = offer(options, wanted, &found, &engine);
        let is_same = |other: &ModelOffer| {
            (&other.model, &other.quantisation) == (&offer.model, &offer.quantisation)
        };
        if offers.iter().any(is_same) {
            let ModelOffer { model, quantisation, .. } = offer;
            return Err(WorkerError::SameModel { model, quantisation });
        }
        let need_bytes = memory::need_bytes(&found.gguf, found.size_bytes, &engine);
        tracing::info!(
            model = offer.model,
            quantisation = offer.quantisation,
            abilities = %offer.abilities,
            need_mb = need_bytes >> 20,
            "model found"
        );
        models.push(HostedModel { name: offer.model.clone(), options: engine, need_bytes });
        offers.push(offer);
    }
    let budget_bytes =
        options.memory_bytes.or_else(memory::budget_bytes).unwrap_or(BUDGET_UNKNOWN_BYTES);
    let host = HostOptions {
        models,
        budget_bytes,
        idle: (options.idle_unload_s > 0)
            .then(|| Duration::from_secs(options.idle_unload_s.into())),
        wait_max: Duration::from_secs(options.load_wait_s.into()),
    };
    let host = Host::start(host, background.clone()).await?;
    Ok(Catalog { host, offers, holds })
}

fn engine_options(
    options: &Options,
    wanted: &ModelOptions,
    found: &Resolved,
) -> Result<EngineOptions, WorkerError> {
    let read = |path: &PathBuf| {
        let unreadable = |source| WorkerError::ChatTemplate { path: path.clone(), source };
        std::fs::read_to_string(path).map_err(unreadable)
    };
    Ok(EngineOptions {
        context_tokens: wanted.context_tokens.or(options.context_tokens),
        slots: wanted.slots.unwrap_or(options.slots),
        queue_max: wanted.queue_max.unwrap_or(options.queue_max),
        threads: wanted.threads.or(options.threads),
        gpu_layers: wanted.gpu_layers.unwrap_or(options.gpu_layers),
        tuning: wanted.tuning.over(&options.tuning),
        chat_template: wanted.chat_template_path.as_ref().map(read).transpose()?,
        ..EngineOptions::new(
            options.engine_exe.clone(),
            options.engine_args.clone(),
            found.path.clone(),
        )
    })
}

fn offer(
    options: &Options,
    wanted: &ModelOptions,
    found: &Resolved,
    engine: &EngineOptions,
) -> ModelOffer {
    let mut abilities = found.gguf.abilities;
    if let Some(template) = &engine.chat_template {
        abilities.set(Abilities::REASONING, thinks(template));
        abilities |= Abilities::OWN_TEMPLATE;
    }
    ModelOffer {
        model: plain(&found.name, MODEL_BYTES_MAX, "unnamed"),
        revision: plain(&found.revision, REVISION_BYTES_MAX, "local"),
        quantisation: plain(&found.quantisation, QUANTISATION_BYTES_MAX, "unknown"),
        gguf_sha256: found.sha256,
        tokenizer_sha256: found.gguf.tokenizer_sha256,
        context_tokens: context_tokens(&found.gguf, engine.context_tokens.map(Into::into)),
        abilities,
        prices: options.price_floor().raise(wanted.prices.unwrap_or(options.prices)),
    }
}

/// What the chain takes as a name: graphic ASCII, not too long, not empty. Files of one's own call
/// themselves anything.
fn plain(name: &str, bytes_max: usize, nameless: &str) -> String {
    let graphic = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let plain: String = name.trim().chars().map(graphic).take(bytes_max).collect();
    if plain.is_empty() { nameless.to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_that_the_chain_takes() {
        for (name, expected) in [
            ("owner/Model-1.5B", "owner/Model-1.5B"),
            (" My model\n2 ", "My-model-2"),
            ("größer", "gr--er"),
            ("", "none"),
            ("  ", "none"),
            ("0123456789abcdef", "0123456789"),
        ] {
            assert_eq!(plain(name, 10.max(expected.len()), "none"), expected, "{name:?}");
        }
    }
}
