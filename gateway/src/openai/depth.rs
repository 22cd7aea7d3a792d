//! How deep JSON may nest that goes into a call. It lies deeper there than in the request that brought it, and a worker that
//! can't read a call refuses it whole.

use chainference_protocol::{Chat, ResponseFormat};
use serde_json::Value;

use super::read::RequestError;
use crate::limits::JSON_DEPTH_MAX;

/// Names the parameter that nests too deep.
pub(super) fn check_depth(chat: &Chat) -> Result<(), RequestError> {
    let of_tools = chat.tools.iter().filter_map(|tool| tool.parameters.as_ref());
    let of_format = match &chat.response_format {
        ResponseFormat::JsonSchema(schema) => Some(schema),
        ResponseFormat::Text | ResponseFormat::JsonObject => None,
    };
    let of_tools = of_tools.map(|schema| ("tools", schema));
    let of_format = of_format.into_iter().map(|schema| ("response_format", schema));
    let variables = chat.template_variables.values();
    let variables = variables.map(|value| ("chat_template_kwargs", value));
    match of_tools
        .chain(of_format)
        .chain(variables)
        .find(|(_, value)| !is_within(value, JSON_DEPTH_MAX))
    {
        None => Ok(()),
        Some((param, _)) => {
            let reason = format!("it nests deeper than {JSON_DEPTH_MAX} levels.");
            Err(RequestError::value(param, reason))
        }
    }
}

fn is_within(value: &Value, levels: usize) -> bool {
    let inner = |value: &Value| is_within(value, levels - 1);
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(inner),
        Value::Object(fields) => levels > 0 && fields.values().all(inner),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::Tool;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::from(1), |inner, level| match level % 2 {
            0 => serde_json::json!({"a": inner}),
            _ => serde_json::json!([inner]),
        })
    }

    #[test]
    fn what_nests_too_deep_is_named() {
        for (levels, is_taken) in [(0, true), (JSON_DEPTH_MAX, true), (JSON_DEPTH_MAX + 1, false)] {
            let value = nested(levels);
            let tool = Tool {
                name: "f".into(),
                description: None,
                parameters: Some(value.clone()),
                strict: false,
            };
            let variables = [("a".to_owned(), value.clone())].into_iter().collect();
            for (param, chat) in [
                ("tools", Chat { tools: vec![tool], ..Chat::default() }),
                ("chat_template_kwargs", Chat { template_variables: variables, ..Chat::default() }),
                (
                    "response_format",
                    Chat { response_format: ResponseFormat::JsonSchema(value), ..Chat::default() },
                ),
            ] {
                let checked = check_depth(&chat);
                assert_eq!(checked.is_ok(), is_taken, "{param}, {levels}");
                if let Err(RequestError::Value { param: named, .. }) = checked {
                    assert_eq!(named, param);
                }
            }
        }
    }
}
