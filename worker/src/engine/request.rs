//! What is asked of the engine for one call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EngineError, ModelFacts};
use crate::chat::ChatMessage;

/// One generation: a chat and how to answer it. Not `Debug`: prompts don't belong in logs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Generate {
    pub messages: Vec<ChatMessage>,
    pub sampling: Sampling,
    /// The answer ends before the first of these; no part of one is ever shown.
    pub stop: Vec<String>,
    /// `None`: up to the end of the context.
    pub max_tokens: Option<u64>,
    /// Tokens of answer that may be produced before the first [`super::Generation::allow`];
    /// `u64::MAX` for all.
    pub allowed_tokens: u64,
}

/// How tokens are chosen. `None` is llama.cpp's own default, so that answers equal llama-server's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy: always the likeliest token.
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// 0: no limit.
    pub top_k: Option<u32>,
    pub min_p: Option<f32>,
    /// `None`: another one each call.
    pub seed: Option<u32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    /// Added to a token's logit before anything else.
    pub logit_bias: BTreeMap<u32, f32>,
}

/// As OpenAI's limit of 4 with room for templates' own.
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 1_024;

impl Generate {
    /// Refuses what no model can honour, by the parameter's name.
    pub(super) fn check(&self, facts: &ModelFacts) -> Result<(), EngineError> {
        let invalid =
            |param, detail: &str| Err(EngineError::Invalid { param, detail: detail.to_owned() });
        if self.messages.is_empty() {
            return invalid("messages", "must not be empty");
        }
        if self.max_tokens == Some(0) {
            return invalid("max_tokens", "must be at least 1");
        }
        if self.stop.len() > STOPS_MAX {
            return invalid("stop", "has too many strings");
        }
        if self.stop.iter().any(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
            return invalid("stop", "must be strings of 1 to 1024 bytes");
        }
        if self.sampling.logit_bias.keys().any(|&token| token >= facts.vocabulary_tokens) {
            return invalid("logit_bias", "names a token that the model doesn't have");
        }
        self.sampling.check()
    }
}

impl Sampling {
    fn check(&self) -> Result<(), EngineError> {
        in_range("temperature", self.temperature, 0.0, 100.0)?;
        in_range("top_p", self.top_p, 0.0, 1.0)?;
        in_range("min_p", self.min_p, 0.0, 1.0)?;
        in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        self.logit_bias
            .values()
            .try_for_each(|&bias| in_range("logit_bias", Some(bias), -100.0, 100.0))
    }
}

fn in_range(
    param: &'static str,
    value: Option<f32>,
    least: f32,
    most: f32,
) -> Result<(), EngineError> {
    match value {
        // NaN is in no range.
        Some(value) if !(least..=most).contains(&value) => {
            Err(EngineError::Invalid { param, detail: format!("must be from {least} to {most}") })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Generate)) -> Option<&'static str> {
        let facts = ModelFacts {
            name: None,
            context_tokens: 64,
            vocabulary_tokens: 100,
            has_chat_template: true,
        };
        let mut request = Generate {
            messages: vec![ChatMessage { role: "user".into(), content: "hi".into() }],
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: None,
            allowed_tokens: u64::MAX,
        };
        change(&mut request);
        match request.check(&facts) {
            Ok(()) => None,
            Err(EngineError::Invalid { param, .. }) => Some(param),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        assert_eq!(check(|_| ()), None);
        assert_eq!(check(|r| r.messages.clear()), Some("messages"));
        assert_eq!(check(|r| r.max_tokens = Some(0)), Some("max_tokens"));
        assert_eq!(check(|r| r.stop = vec![String::new()]), Some("stop"));
        assert_eq!(check(|r| r.stop = vec!["x".into(); 17]), Some("stop"));
        assert_eq!(check(|r| r.sampling.temperature = Some(f32::NAN)), Some("temperature"));
        assert_eq!(check(|r| r.sampling.temperature = Some(-0.1)), Some("temperature"));
        assert_eq!(check(|r| r.sampling.top_p = Some(1.5)), Some("top_p"));
        assert_eq!(check(|r| r.sampling.min_p = Some(-1.0)), Some("min_p"));
        assert_eq!(check(|r| r.sampling.presence_penalty = Some(3.0)), Some("presence_penalty"));
        assert_eq!(check(|r| r.sampling.frequency_penalty = Some(-3.0)), Some("frequency_penalty"));
        assert_eq!(check(|r| r.sampling.logit_bias = [(100, 1.0)].into()), Some("logit_bias"));
        assert_eq!(check(|r| r.sampling.logit_bias = [(99, 101.0)].into()), Some("logit_bias"));
        assert_eq!(check(|r| r.sampling.logit_bias = [(99, 100.0)].into()), None);
    }
}
