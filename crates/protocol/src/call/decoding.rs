//! How an answer is made out of a model's probabilities, and when it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as, skip_serializing_none};

/// Everything about an answer that is not its prompt.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    #[serde(default)]
    pub sampling: Sampling,
    /// Texts that end the answer; they are not part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The most tokens to produce, in each answer; `None` is whatever fits the context.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Answers to each prompt, at least one. The prompt is computed, and paid, once.
    #[serde(default = "one")]
    pub n: u32,
    /// Log-probabilities of each token, with so many alternatives beside; `None`: none at all.
    #[serde(default)]
    pub logprobs: Option<u32>,
    /// A grammar in llama.cpp's GBNF that the answer must follow.
    #[serde(default)]
    pub grammar: Option<String>,
    /// Goes on where the model would end, up to `max_tokens`.
    #[serde(default)]
    pub ignore_eos: bool,
}

fn one() -> u32 {
    1
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: None,
            n: 1,
            logprobs: None,
            grammar: None,
            ignore_eos: false,
        }
    }
}

/// How the next token is chosen. `None` is llama.cpp's default.
#[serde_as]
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// 0 is greedy: always the likeliest token.
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// 0 or less: no limit.
    pub top_k: Option<i32>,
    pub min_p: Option<f32>,
    pub typical_p: Option<f32>,
    pub top_n_sigma: Option<f32>,
    pub xtc_probability: Option<f32>,
    pub xtc_threshold: Option<f32>,
    /// Temperatures from `temperature - range` to `temperature + range`, by entropy.
    pub dynatemp_range: Option<f32>,
    pub dynatemp_exponent: Option<f32>,
    /// The same seed gives the same answer.
    pub seed: Option<u32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub repeat_penalty: Option<f32>,
    /// Tokens that penalties look back at; -1: the whole context.
    pub repeat_last_n: Option<i32>,
    pub dry_multiplier: Option<f32>,
    pub dry_base: Option<f32>,
    pub dry_allowed_length: Option<i32>,
    pub dry_penalty_last_n: Option<i32>,
    pub dry_sequence_breakers: Option<Vec<String>>,
    /// 0, 1 or 2: off, or the algorithm's version.
    pub mirostat: Option<u32>,
    pub mirostat_tau: Option<f32>,
    pub mirostat_eta: Option<f32>,
    /// Token id → bias, added to a token's logit before anything else.
    // serde can't read a number from a JSON key inside a tagged enum, which a task is.
    #[serde_as(as = "BTreeMap<DisplayFromStr, _>")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logit_bias: BTreeMap<u32, f32>,
}
