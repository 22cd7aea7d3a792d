//! What is asked of the engine for one call.

use chainference_protocol::{Decoding, Embedding, Sampling, Task};
use serde::{Deserialize, Serialize};

use super::{EngineError, ModelFacts};

/// One call: what to do, for whom. Not `Debug`: prompts don't belong in logs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Generate {
    pub task: Task,
    /// Whose call this is: what was computed for one scope is reused within it only, since a cache
    /// shared between clients would tell one what another asked.
    pub scope: [u8; 32],
    /// Tokens of all answers together that may be produced before the first
    /// [`super::Generation::allow`]; `u64::MAX` for all.
    pub allowed_tokens: u64,
}

/// As OpenAI's limit of 4 with room for templates' own.
const STOPS_MAX: usize = 16;
const STOP_BYTES_MAX: usize = 1_024;
/// Answers to one call, over all its prompts.
const ANSWERS_MAX: usize = 128;
/// As OpenAI's limit.
const LOGPROBS_MAX: u32 = 20;
/// Texts to embed in one call; as OpenAI's.
const INPUTS_MAX: usize = 2_048;
const GRAMMAR_BYTES_MAX: usize = 64 << 10;
const DRY_BREAKERS_MAX: usize = 32;
const DRY_BREAKER_BYTES_MAX: usize = 64;

impl Generate {
    /// How many answers there will be.
    pub fn answers(&self) -> usize {
        match &self.task {
            Task::Chat(chat) => chat.decoding.n as usize,
            Task::Complete(completion) => {
                completion.prompts.len().saturating_mul(completion.decoding.n as usize)
            }
            Task::Embed(_) => 0,
        }
    }

    /// Refuses what no model can honour, by the parameter's name.
    pub(super) fn check(&self, facts: &ModelFacts) -> Result<(), EngineError> {
        match (&self.task, facts.embedding_width) {
            (Task::Embed(embedding), Some(width)) => return check_embedding(embedding, width),
            (Task::Embed(_), None) => return invalid("model", "this model makes no embeddings"),
            (_, Some(_)) => {
                return invalid("model", "this model makes embeddings and nothing else");
            }
            (_, None) => {}
        }
        match &self.task {
            Task::Chat(chat) if chat.messages.is_empty() => {
                return invalid("messages", "must not be empty");
            }
            Task::Chat(chat) => check_decoding(&chat.decoding, 1, facts)?,
            Task::Complete(completion) if completion.prompts.is_empty() => {
                return invalid("prompt", "must not be empty");
            }
            Task::Complete(completion) => {
                // Of an echo, the prompt alone may be what is wanted.
                let least = if completion.echo { 0 } else { 1 };
                check_decoding(&completion.decoding, least, facts)?;
            }
            Task::Embed(_) => {}
        }
        if self.answers() > ANSWERS_MAX {
            return invalid("n", "asks for more than 128 answers in one call");
        }
        Ok(())
    }
}

fn check_embedding(embedding: &Embedding, width: u32) -> Result<(), EngineError> {
    if embedding.inputs.is_empty() {
        return invalid("input", "must not be empty");
    }
    if embedding.inputs.len() > INPUTS_MAX {
        return invalid("input", "must be at most 2048 texts");
    }
    if embedding.dimensions.is_some_and(|dimensions| !(1..=width).contains(&dimensions)) {
        return invalid("dimensions", &format!("must be from 1 to {width}"));
    }
    Ok(())
}

fn check_decoding(
    decoding: &Decoding,
    max_tokens_least: u32,
    facts: &ModelFacts,
) -> Result<(), EngineError> {
    if decoding.n == 0 {
        return invalid("n", "must be at least 1");
    }
    if decoding.max_tokens.is_some_and(|max| max < max_tokens_least) {
        return invalid("max_tokens", "must be at least 1");
    }
    if decoding.stop.len() > STOPS_MAX {
        return invalid("stop", "has too many strings");
    }
    if decoding.stop.iter().any(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
        return invalid("stop", "must be strings of 1 to 1024 bytes");
    }
    if decoding.logprobs.is_some_and(|top| top > LOGPROBS_MAX) {
        return invalid("top_logprobs", "must be at most 20");
    }
    if decoding.grammar.as_ref().is_some_and(|text| text.len() > GRAMMAR_BYTES_MAX) {
        return invalid("grammar", "must be at most 64 KiB");
    }
    check_sampling(&decoding.sampling, facts)
}

fn check_sampling(sampling: &Sampling, facts: &ModelFacts) -> Result<(), EngineError> {
    for (param, value, least, most) in [
        ("temperature", sampling.temperature, 0.0, 100.0),
        ("top_p", sampling.top_p, 0.0, 1.0),
        ("min_p", sampling.min_p, 0.0, 1.0),
        ("typical_p", sampling.typical_p, 0.0, 1.0),
        ("top_n_sigma", sampling.top_n_sigma, -1.0, 1_000.0),
        ("xtc_probability", sampling.xtc_probability, 0.0, 1.0),
        ("xtc_threshold", sampling.xtc_threshold, 0.0, 1.0),
        ("dynatemp_range", sampling.dynatemp_range, 0.0, 100.0),
        ("dynatemp_exponent", sampling.dynatemp_exponent, 0.0, 100.0),
        ("presence_penalty", sampling.presence_penalty, -2.0, 2.0),
        ("frequency_penalty", sampling.frequency_penalty, -2.0, 2.0),
        ("repeat_penalty", sampling.repeat_penalty, 0.001, 100.0),
        ("dry_multiplier", sampling.dry_multiplier, 0.0, 100.0),
        ("dry_base", sampling.dry_base, 0.0, 100.0),
        ("mirostat_tau", sampling.mirostat_tau, 0.0, 100.0),
        ("mirostat_eta", sampling.mirostat_eta, 0.0, 1.0),
    ] {
        in_range(param, value, least, most)?;
    }
    if sampling.mirostat.is_some_and(|version| version > 2) {
        return invalid("mirostat", "must be 0, 1 or 2");
    }
    if sampling.repeat_last_n.is_some_and(|last| last < -1) {
        return invalid("repeat_last_n", "must be at least -1");
    }
    if sampling.dry_penalty_last_n.is_some_and(|last| last < -1) {
        return invalid("dry_penalty_last_n", "must be at least -1");
    }
    if sampling.dry_allowed_length.is_some_and(|length| length < 0) {
        return invalid("dry_allowed_length", "must be at least 0");
    }
    check_breakers(sampling.dry_sequence_breakers.as_deref().unwrap_or_default())?;
    if sampling.logit_bias.keys().any(|&token| token >= facts.vocabulary_tokens) {
        return invalid("logit_bias", "names a token that the model doesn't have");
    }
    sampling
        .logit_bias
        .values()
        .try_for_each(|&bias| in_range("logit_bias", Some(bias), -100.0, 100.0))
}

fn check_breakers(breakers: &[String]) -> Result<(), EngineError> {
    let fits =
        |text: &String| (1..=DRY_BREAKER_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
    if breakers.len() > DRY_BREAKERS_MAX || !breakers.iter().all(fits) {
        return invalid("dry_sequence_breakers", "must be at most 32 texts of 1 to 64 bytes");
    }
    Ok(())
}

fn invalid<T>(param: &'static str, detail: &str) -> Result<T, EngineError> {
    Err(EngineError::Invalid { param: param.to_owned(), detail: detail.to_owned() })
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
            invalid(param, &format!("must be from {least} to {most}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Chat, Completion, Message, Prompt};

    use super::*;

    fn check(task: Task) -> Option<String> {
        check_by(task, None)
    }

    fn check_by(task: Task, embedding_width: Option<u32>) -> Option<String> {
        let facts = ModelFacts {
            embedding_width,
            name: None,
            context_tokens: 64,
            vocabulary_tokens: 100,
            has_chat_template: true,
        };
        let request = Generate { task, scope: [0; 32], allowed_tokens: u64::MAX };
        match request.check(&facts) {
            Ok(()) => None,
            Err(EngineError::Invalid { param, .. }) => Some(param),
            Err(other) => panic!("{other}"),
        }
    }

    fn chat(decoding: Decoding) -> Task {
        Task::Chat(Chat {
            messages: vec![Message::text("user", "hi")],
            decoding,
            ..Chat::default()
        })
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let sampled = |change: fn(&mut Sampling)| {
            let mut decoding = Decoding::default();
            change(&mut decoding.sampling);
            check(chat(decoding))
        };
        let decoded = |change: fn(&mut Decoding)| {
            let mut decoding = Decoding::default();
            change(&mut decoding);
            check(chat(decoding))
        };
        for (refused, param) in [
            (check(Task::Chat(Chat::default())), "messages"),
            (decoded(|d| d.max_tokens = Some(0)), "max_tokens"),
            (decoded(|d| d.stop = vec![String::new()]), "stop"),
            (decoded(|d| d.stop = vec!["x".into(); 17]), "stop"),
            (decoded(|d| d.n = 0), "n"),
            (decoded(|d| d.n = 129), "n"),
            (decoded(|d| d.logprobs = Some(21)), "top_logprobs"),
            (decoded(|d| d.grammar = Some("x".repeat(70_000))), "grammar"),
            (sampled(|s| s.temperature = Some(f32::NAN)), "temperature"),
            (sampled(|s| s.temperature = Some(-0.1)), "temperature"),
            (sampled(|s| s.top_p = Some(1.5)), "top_p"),
            (sampled(|s| s.min_p = Some(-1.0)), "min_p"),
            (sampled(|s| s.typical_p = Some(2.0)), "typical_p"),
            (sampled(|s| s.presence_penalty = Some(3.0)), "presence_penalty"),
            (sampled(|s| s.frequency_penalty = Some(-3.0)), "frequency_penalty"),
            (sampled(|s| s.repeat_penalty = Some(0.0)), "repeat_penalty"),
            (sampled(|s| s.repeat_last_n = Some(-2)), "repeat_last_n"),
            (sampled(|s| s.mirostat = Some(3)), "mirostat"),
            (sampled(|s| s.dry_allowed_length = Some(-1)), "dry_allowed_length"),
            (
                sampled(|s| s.dry_sequence_breakers = Some(vec![String::new()])),
                "dry_sequence_breakers",
            ),
            (sampled(|s| s.logit_bias = [(100, 1.0)].into()), "logit_bias"),
            (sampled(|s| s.logit_bias = [(99, 101.0)].into()), "logit_bias"),
        ] {
            assert_eq!(refused.as_deref(), Some(param));
        }
        assert_eq!(decoded(|_| ()), None);
        assert_eq!(sampled(|s| s.logit_bias = [(99, 100.0)].into()), None);
    }

    #[test]
    fn answers_are_counted_over_all_prompts() {
        let completion = |prompts: usize, n| {
            Task::Complete(Completion {
                prompts: vec![Prompt::Text("x".into()); prompts],
                suffix: None,
                echo: false,
                decoding: Decoding { n, ..Decoding::default() },
            })
        };
        assert_eq!(check(completion(0, 1)).as_deref(), Some("prompt"));
        assert_eq!(check(completion(64, 2)), None);
        assert_eq!(check(completion(65, 2)).as_deref(), Some("n"));
    }

    #[test]
    fn embeddings_are_asked_of_models_that_make_them() {
        let embed = |inputs: usize, dimensions| {
            Task::Embed(Embedding { inputs: vec![Prompt::Text("x".into()); inputs], dimensions })
        };
        assert_eq!(check(embed(1, None)).as_deref(), Some("model"));
        assert_eq!(check_by(chat(Decoding::default()), Some(8)).as_deref(), Some("model"));
        for (inputs, dimensions, refused) in [
            (1, None, None),
            (2_048, Some(8), None),
            (0, None, Some("input")),
            (2_049, None, Some("input")),
            (1, Some(0), Some("dimensions")),
            (1, Some(9), Some("dimensions")),
        ] {
            assert_eq!(check_by(embed(inputs, dimensions), Some(8)).as_deref(), refused);
        }
    }
}
