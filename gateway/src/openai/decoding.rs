//! What chat completions and completions share: how an answer is made, and how it is sent.

use std::collections::{BTreeMap, HashMap};

use chainference_protocol::{Decoding, Sampling};
use serde::Deserialize;
use utoipa::ToSchema;

use super::read::{RequestError, TextOr};
use crate::limits;

/// OpenAI's parameters, and llama.cpp's beside them, by their own names.
#[derive(Deserialize, ToSchema)]
#[serde(default)]
#[derive(Default)]
pub(super) struct DecodingRequest {
    pub stream: Option<bool>,
    #[schema(value_type = Option<Object>)]
    pub stream_options: Option<StreamOptions>,
    pub n: Option<u32>,
    pub max_tokens: Option<u32>,
    #[schema(value_type = Option<serde_json::Value>)]
    pub stop: Option<TextOr<Vec<String>>>,
    pub seed: Option<i64>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub logit_bias: Option<HashMap<String, f32>>,
    /// Accepted and not passed on: a worker has no business with a client's users.
    #[serde(rename = "user")]
    _user: Option<String>,
    pub top_k: Option<i32>,
    pub min_p: Option<f32>,
    pub typical_p: Option<f32>,
    pub top_n_sigma: Option<f32>,
    pub xtc_probability: Option<f32>,
    pub xtc_threshold: Option<f32>,
    pub dynatemp_range: Option<f32>,
    pub dynatemp_exponent: Option<f32>,
    pub repeat_penalty: Option<f32>,
    pub repeat_last_n: Option<i32>,
    pub dry_multiplier: Option<f32>,
    pub dry_base: Option<f32>,
    pub dry_allowed_length: Option<i32>,
    pub dry_penalty_last_n: Option<i32>,
    pub dry_sequence_breakers: Option<Vec<String>>,
    pub mirostat: Option<u32>,
    pub mirostat_tau: Option<f32>,
    pub mirostat_eta: Option<f32>,
    pub grammar: Option<String>,
    pub ignore_eos: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
    #[serde(default)]
    include_obfuscation: Option<bool>,
}

impl DecodingRequest {
    /// How the answers to `prompts` prompts are to be made. Log-probabilities and the chat's own
    /// bound of tokens are for the caller to add.
    pub fn decoding(self, prompts: usize) -> Result<Decoding, RequestError> {
        self.check_ranges()?;
        let n = self.n.unwrap_or(1);
        check_answers(n, prompts)?;
        Ok(Decoding {
            n,
            max_tokens: self.max_tokens,
            ignore_eos: self.ignore_eos.unwrap_or(false),
            sampling: Sampling {
                temperature: self.temperature,
                top_p: self.top_p,
                top_k: self.top_k,
                min_p: self.min_p,
                typical_p: self.typical_p,
                top_n_sigma: self.top_n_sigma,
                xtc_probability: self.xtc_probability,
                xtc_threshold: self.xtc_threshold,
                dynatemp_range: self.dynatemp_range,
                dynatemp_exponent: self.dynatemp_exponent,
                seed: self.seed.map(worker_seed),
                presence_penalty: self.presence_penalty,
                frequency_penalty: self.frequency_penalty,
                repeat_penalty: self.repeat_penalty,
                repeat_last_n: self.repeat_last_n,
                dry_multiplier: self.dry_multiplier,
                dry_base: self.dry_base,
                dry_allowed_length: self.dry_allowed_length,
                dry_penalty_last_n: self.dry_penalty_last_n,
                dry_sequence_breakers: breakers(self.dry_sequence_breakers)?,
                mirostat: self.mirostat,
                mirostat_tau: self.mirostat_tau,
                mirostat_eta: self.mirostat_eta,
                logit_bias: logit_bias(self.logit_bias.unwrap_or_default())?,
            },
            stop: stop(self.stop)?,
            grammar: self.grammar.filter(|grammar| !grammar.is_empty()),
            logprobs: None,
        })
    }

    /// Whether the answer is streamed, and whether its stream ends with the usage.
    pub fn streaming(&self) -> Result<(bool, bool), RequestError> {
        let stream = self.stream.unwrap_or(false);
        let Some(options) = &self.stream_options else { return Ok((stream, false)) };
        if !stream {
            return Err(RequestError::value("stream_options", "it goes with 'stream': true only."));
        }
        if options.include_obfuscation == Some(true) {
            let param = "stream_options.include_obfuscation";
            return Err(RequestError::unsupported(param, "streams are not padded."));
        }
        Ok((stream, options.include_usage.unwrap_or(false)))
    }

    fn check_ranges(&self) -> Result<(), RequestError> {
        const MOST: f32 = 100.0;
        for (param, value, low, high) in [
            ("temperature", self.temperature, 0.0, 2.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("top_n_sigma", self.top_n_sigma, -1.0, MOST),
            ("xtc_probability", self.xtc_probability, 0.0, 1.0),
            ("xtc_threshold", self.xtc_threshold, 0.0, 1.0),
            ("dynatemp_range", self.dynatemp_range, 0.0, 2.0),
            ("dynatemp_exponent", self.dynatemp_exponent, 0.0, MOST),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0),
            // Logits are divided by it.
            ("repeat_penalty", self.repeat_penalty, 0.01, MOST),
            ("dry_multiplier", self.dry_multiplier, 0.0, MOST),
            ("dry_base", self.dry_base, 0.0, MOST),
            ("mirostat_tau", self.mirostat_tau, 0.0, MOST),
            ("mirostat_eta", self.mirostat_eta, 0.0, 1.0),
        ] {
            in_range(param, value, low, high)?;
        }
        for (param, value, low, high) in [
            ("repeat_last_n", self.repeat_last_n, -1, i32::MAX),
            ("dry_allowed_length", self.dry_allowed_length, 0, i32::MAX),
            ("dry_penalty_last_n", self.dry_penalty_last_n, -1, i32::MAX),
        ] {
            in_range(param, value, low, high)?;
        }
        in_range("mirostat", self.mirostat, 0, 2)
    }
}

pub(super) fn in_range<T: PartialOrd + std::fmt::Display>(
    param: &str,
    value: Option<T>,
    low: T,
    high: T,
) -> Result<(), RequestError> {
    match value {
        Some(value) if !(low <= value && value <= high) => {
            Err(RequestError::value(param, format!("{value} is not between {low} and {high}.")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_model(model: &str) -> Result<(), RequestError> {
    let wrong = || RequestError::value("model", "it must not be empty.");
    if model.is_empty() { Err(wrong()) } else { Ok(()) }
}

/// Each answer to each prompt may be as long as the bound; so their number has one too.
fn check_answers(n: u32, prompts: usize) -> Result<(), RequestError> {
    if n == 0 {
        return Err(RequestError::value("n", "it must be at least 1."));
    }
    let most = limits::ANSWERS_MAX;
    let answers = u32::try_from(prompts).ok().and_then(|prompts| prompts.checked_mul(n));
    if answers.is_none_or(|answers| answers > most) {
        let reason = if prompts > 1 {
            format!("one call has at most {most} answers, and {prompts} prompts need {n} each.")
        } else {
            format!("one call has at most {most} answers.")
        };
        return Err(RequestError::value("n", reason));
    }
    Ok(())
}

fn stop(stop: Option<TextOr<Vec<String>>>) -> Result<Vec<String>, RequestError> {
    let sequences = match stop {
        None => Vec::new(),
        Some(TextOr::Text(one)) => vec![one],
        Some(TextOr::Other(several)) => several,
    };
    if sequences.len() > limits::STOP_SEQUENCES_MAX {
        let most = limits::STOP_SEQUENCES_MAX;
        return Err(RequestError::value("stop", format!("at most {most} sequences are possible.")));
    }
    if sequences.iter().any(String::is_empty) {
        return Err(RequestError::value("stop", "a sequence must not be empty."));
    }
    Ok(sequences)
}

fn breakers(breakers: Option<Vec<String>>) -> Result<Option<Vec<String>>, RequestError> {
    match &breakers {
        Some(some) if some.is_empty() => {
            Err(RequestError::value("dry_sequence_breakers", "it must not be empty."))
        }
        _ => Ok(breakers),
    }
}

fn logit_bias(biases: HashMap<String, f32>) -> Result<BTreeMap<u32, f32>, RequestError> {
    let mut checked = BTreeMap::new();
    for (token, bias) in biases {
        let param = || format!("logit_bias.{token}");
        let id =
            token.parse().map_err(|_| RequestError::value(param(), "the key is no token id."))?;
        in_range(&param(), Some(bias), -100.0, 100.0)?;
        checked.insert(id, bias);
    }
    Ok(checked)
}

/// Models take 32 bits, of which the highest value means "any": every seed maps to another one.
fn worker_seed(seed: i64) -> u32 {
    let folded = seed.rem_euclid(i64::from(u32::MAX));
    u32::try_from(folded).unwrap_or_default()
}
