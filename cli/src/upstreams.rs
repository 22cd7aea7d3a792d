//! What the gateway of this home tells of its upstreams.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    doctor::Finding,
    settings::Settings,
    status::{ready_url, told},
};

const AWAY: &str = "unknown while the gateway is away";

/// Each upstream by its name, `ok` or what is wrong with it.
pub async fn states(settings: &Settings) -> BTreeMap<String, String> {
    let upstreams = &settings.gateway.upstream;
    if upstreams.is_empty() {
        return BTreeMap::new();
    }
    let ready = told(&ready_url(settings)).await.unwrap_or_default();
    match ready["upstreams"].as_object() {
        Some(states) => {
            let word = |state: &Value| state.as_str().unwrap_or_default().to_owned();
            states.iter().map(|(name, state)| (name.clone(), word(state))).collect()
        }
        None => upstreams.iter().map(|one| (one.url.clone(), AWAY.to_owned())).collect(),
    }
}

/// The same for whoever wants to know what to do about it.
pub async fn findings(settings: &Settings) -> Vec<Finding> {
    let finding = |(name, state): (String, String)| {
        if state == "ok" {
            return Finding::Well(format!("upstream {name} answers"));
        }
        let remedy = "is it running, and are its url and key right in config.toml?";
        Finding::Wrong(format!("upstream {name}: {state}"), remedy.into())
    };
    states(settings).await.into_iter().map(finding).collect()
}
