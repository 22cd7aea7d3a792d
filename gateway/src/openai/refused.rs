//! Parameters that no worker can honour. They are refused by name, never dropped silently.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

use super::read::RequestError;

/// A parameter that is refused.
pub(super) struct Refused {
    pub name: &'static str,
    /// Values that ask for nothing; `null` always does.
    neutral: &'static [&'static str],
    reason: &'static str,
}

const fn refused(
    name: &'static str,
    neutral: &'static [&'static str],
    reason: &'static str,
) -> Refused {
    Refused { name, neutral, reason }
}

const NO_SOUND: &str = "models here neither hear nor speak.";
pub(super) const NO_WORKER: &str = "no worker in this market offers it.";
const NOT_STORED: &str = "nothing is stored.";
const OF_THE_SERVER: &str = "how a worker computes is its own choice.";
const OWN_ORDER: &str = "the samplers' order is llama.cpp's.";
const USE_MAX_TOKENS: &str = "use 'max_tokens'.";
const USE_N: &str = "use 'n'.";
const USE_REPEAT_PENALTY: &str = "use 'repeat_penalty'.";
const USE_STOP: &str = "use 'stop'.";
const USE_TOOLS: &str = "use 'tools' and 'tool_choice'.";
const USE_FORMAT: &str = "use 'response_format' or 'grammar'.";

/// Of chat completions.
pub(super) const CHAT: &[&[Refused]] = &[
    &[
        refused("functions", &["[]"], USE_TOOLS),
        refused("function_call", &["\"none\"", "\"auto\""], USE_TOOLS),
        refused("modalities", &["[\"text\"]"], NO_SOUND),
        refused("audio", &[], NO_SOUND),
        refused("prediction", &[], NO_WORKER),
        refused("web_search_options", &[], NO_WORKER),
        refused("verbosity", &["\"medium\""], NO_WORKER),
        refused("service_tier", &["\"auto\"", "\"default\""], NO_WORKER),
        refused("store", &["false"], NOT_STORED),
        refused("prompt_cache_retention", &["\"in_memory\"", "\"in-memory\""], NO_WORKER),
        // llama.cpp's
        refused("add_generation_prompt", &["true"], NO_WORKER),
        refused("continue_final_message", &["false"], NO_WORKER),
        refused("parse_tool_calls", &["true"], NO_WORKER),
        refused("reasoning_format", &["\"auto\"", "\"deepseek\""], "reasoning is always apart."),
        refused("reasoning_budget_tokens", &["-1"], "use 'max_tokens' or 'reasoning_effort'."),
        refused("thinking_budget_tokens", &["-1"], "use 'max_tokens' or 'reasoning_effort'."),
        refused("reasoning_budget_message", &["\"\""], NO_WORKER),
        refused("chat_template", &[], "the model's own template is applied."),
        refused("documents", &["[]"], "put them into the messages."),
    ],
    DECODING,
];

/// Of completions.
pub(super) const COMPLETION: &[&[Refused]] = &[
    &[
        refused("input_extra", &["[]"], NO_WORKER),
        refused("n_indent", &["0"], NO_WORKER),
        refused("prompt_logprobs", &["0"], "use 'echo' with 'logprobs'."),
        refused("response_format", &["{\"type\":\"text\"}"], "use 'grammar', or chat completions."),
        refused("json_schema", &[], "use 'grammar', or chat completions."),
    ],
    DECODING,
];

/// Of responses.
pub(super) const RESPONSE: &[&[Refused]] = &[
    &[
        refused("background", &["false"], "a response is made while its client waits."),
        refused("conversation", &[], "send the conversation as 'input'."),
        refused("prompt", &[], "no prompts are kept here: send 'instructions' and 'input'."),
        refused("context_management", &["[]"], "a conversation is read whole."),
        refused("moderation", &[], NO_WORKER),
        refused("max_tool_calls", &[], "there are no built-in tools; calls are the client's."),
        refused("truncation", &["\"disabled\""], "a conversation is read whole."),
        refused("service_tier", &["\"auto\"", "\"default\""], NO_WORKER),
        refused("prompt_cache_retention", &["\"in_memory\"", "\"in-memory\""], NO_WORKER),
        refused("messages", &[], "use 'input'."),
        refused("response_format", &[], "use 'text.format'."),
        refused("reasoning_effort", &[], "use 'reasoning.effort'."),
        refused("max_completion_tokens", &[], "use 'max_output_tokens'."),
        refused("functions", &["[]"], USE_TOOLS),
        refused("chat_template", &[], "the model's own template is applied."),
    ],
    DECODING,
];

/// Of messages.
pub(super) const MESSAGE: &[&[Refused]] = &[
    &[
        refused("container", &[], "there are no tools here but the client's own."),
        refused("mcp_servers", &["[]"], "there are no tools here but the client's own."),
        refused("context_management", &["{}"], "a conversation is read whole."),
        refused("diagnostics", &["{}"], NO_WORKER),
        refused("inference_geo", &["\"global\""], "the market chooses the worker."),
        refused("output_format", &[], "use 'output_config.format'."),
        refused("service_tier", &["\"auto\"", "\"standard_only\""], NO_WORKER),
        refused("speed", &["\"standard\""], NO_WORKER),
        refused("response_format", &[], "use 'output_config.format'."),
        refused("reasoning_effort", &[], "use 'output_config.effort'."),
        refused("chat_template", &[], "the model's own template is applied."),
    ],
    DECODING,
];

/// Of embeddings.
pub(super) const EMBEDDING: &[&[Refused]] = &[&[
    refused("embd_normalize", &["2"], "vectors have the length 1."),
    refused("truncate_prompt_tokens", &[], NO_WORKER),
]];

/// Of both: llama.cpp's and vLLM's own.
const DECODING: &[Refused] = &[
    refused("adaptive_target", &["-1", "-1.0"], NO_WORKER),
    refused("samplers", &[], OWN_ORDER),
    refused("min_keep", &["0"], NO_WORKER),
    refused("n_predict", &["-1"], USE_MAX_TOKENS),
    refused("n_cmpl", &["1"], USE_N),
    refused("n_probs", &["0"], "use 'logprobs'."),
    refused("post_sampling_probs", &["false"], "'logprobs' are those before any sampler."),
    refused("n_keep", &["0"], "a context is never shifted."),
    refused("n_discard", &["0"], "a context is never shifted."),
    refused("t_max_predict_ms", &["-1", "0"], USE_MAX_TOKENS),
    refused("response_fields", &["[]"], NO_WORKER),
    refused("return_tokens", &["false"], "'logprobs' have each token's bytes."),
    refused("return_progress", &["false"], NO_WORKER),
    refused("timings_per_token", &["false"], NO_WORKER),
    refused("lora", &["[]"], NO_WORKER),
    refused("cache_prompt", &["true"], OF_THE_SERVER),
    refused("id_slot", &["-1"], OF_THE_SERVER),
    refused("min_tokens", &["0"], "use 'ignore_eos'."),
    refused("stop_token_ids", &["[]"], USE_STOP),
    refused("include_stop_str_in_output", &["false"], "a stop text is never part of an answer."),
    refused("skip_special_tokens", &["true"], "special tokens are never shown."),
    refused("repetition_penalty", &["1", "1.0"], USE_REPEAT_PENALTY),
    refused("length_penalty", &["1", "1.0"], NO_WORKER),
    refused("use_beam_search", &["false"], NO_WORKER),
    refused("guided_json", &[], USE_FORMAT),
    refused("guided_regex", &[], USE_FORMAT),
    refused("guided_choice", &[], USE_FORMAT),
    refused("guided_grammar", &[], USE_FORMAT),
    refused("structured_outputs", &[], USE_FORMAT),
];

/// # Errors
/// [`RequestError::Unsupported`] names the first parameter that asks for what is not offered.
pub(super) fn check(groups: &[&[Refused]], body: &[u8]) -> Result<(), RequestError> {
    let fields: HashMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(body).map_err(RequestError::json)?;
    for Refused { name, neutral, reason } in groups.iter().copied().flatten() {
        let Some(value) = fields.get(*name) else { continue };
        let text: String = value.get().split_whitespace().collect();
        if text != "null" && !neutral.contains(&text.as_str()) {
            return Err(RequestError::unsupported(*name, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Each is refused by its own name, and passes with `null` and with what asks for nothing.
    pub fn check_all(
        groups: &[&[Refused]],
        parse: impl Fn(&str, &str) -> Result<(), RequestError>,
    ) {
        for Refused { name, neutral, .. } in groups.iter().copied().flatten() {
            match parse(name, "[\"something\"]") {
                Err(RequestError::Unsupported { param, .. }) => assert_eq!(param, *name),
                other => panic!("{name}: {other:?}"),
            }
            for value in neutral.iter().chain([&"null"]) {
                parse(name, value).unwrap_or_else(|error| panic!("{name}: {value}: {error}"));
            }
        }
    }

    #[test]
    fn of_embeddings_too() {
        check_all(EMBEDDING, |name, value| {
            let body = format!("{{\"model\": \"m\", \"input\": \"a\", \"{name}\": {value}}}");
            super::super::parse_embedding(body.as_bytes()).map(|_| ())
        });
    }
}
