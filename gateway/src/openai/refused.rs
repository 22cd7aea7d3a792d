//! Parameters that no worker can honour yet. They are refused by name, never dropped silently.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::RequestError;

/// A parameter, and the values that ask for nothing; `null` always does.
type Neutral = (&'static str, &'static [&'static str]);

const REFUSED: &[Neutral] = &[
    ("tools", &["[]"]),
    ("tool_choice", &["\"none\"", "\"auto\""]),
    ("functions", &["[]"]),
    ("function_call", &["\"none\"", "\"auto\""]),
    ("logprobs", &["false"]),
    ("top_logprobs", &["0"]),
    ("modalities", &["[\"text\"]"]),
    ("audio", &[]),
    ("prediction", &[]),
    ("web_search_options", &[]),
    ("reasoning_effort", &["\"none\""]),
    ("verbosity", &["\"medium\""]),
    ("service_tier", &["\"auto\"", "\"default\""]),
    ("store", &["false"]),
    ("grammar", &["\"\""]),
    ("json_schema", &[]),
    ("repeat_penalty", &["1", "1.0"]),
    ("typical_p", &["1", "1.0"]),
    ("mirostat", &["0"]),
    ("samplers", &[]),
    ("chat_template_kwargs", &["{}"]),
];

/// # Errors
/// [`RequestError::Unsupported`] names the first parameter that asks for what is not offered.
pub fn check(body: &[u8]) -> Result<(), RequestError> {
    let fields: HashMap<std::borrow::Cow<'_, str>, &RawValue> =
        serde_json::from_slice(body).map_err(RequestError::json)?;
    for (name, neutral) in REFUSED {
        let Some(value) = fields.get(*name) else { continue };
        let text: String = value.get().split_whitespace().collect();
        if text != "null" && !neutral.contains(&text.as_str()) {
            return Err(RequestError::Unsupported { param: (*name).to_owned() });
        }
    }
    Ok(())
}
