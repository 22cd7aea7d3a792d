use chainference_protocol::{FinishReason, ResponseFormat};
use serde_json::{Value, json};

use super::engine::{ask, chat, refused};

/// A grammar lets a model end, but doesn't make it: what it babbles on is cut, and must be JSON up to there.
#[test]
fn any_object_is_an_object() {
    let answer = ask(chat("Describe a cat as JSON, in few words.", |chat| {
        chat.response_format = ResponseFormat::JsonObject;
        chat.decoding.max_tokens = Some(400);
    }));
    assert!(answer.text.trim_start().starts_with('{'), "{}", answer.text);
    match answer.reason {
        Some(FinishReason::Length) => {
            let error = serde_json::from_str::<Value>(&answer.text).unwrap_err();
            assert!(error.is_eof(), "{error}: {}", answer.text);
        }
        reason => {
            assert_eq!(reason, Some(FinishReason::Stop));
            assert!(answer.json().is_object(), "{}", answer.text);
        }
    }
}

/// Whether a value fits, as far as the schemas below go.
fn fits(value: &Value, schema: &Value) -> bool {
    if let Some(options) = schema["anyOf"].as_array() {
        return options.iter().any(|option| fits(value, option));
    }
    if let Some(options) = schema["enum"].as_array() {
        return options.contains(value);
    }
    match schema["type"].as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_i64().is_some_and(|number| {
            let bound = |key: &str, or: i64| schema[key].as_i64().unwrap_or(or);
            (bound("minimum", i64::MIN)..=bound("maximum", i64::MAX)).contains(&number)
        }),
        Some("string") => value.as_str().is_some_and(|text| {
            text.chars().count() as u64 <= schema["maxLength"].as_u64().unwrap_or(u64::MAX)
        }),
        Some("array") => value.as_array().is_some_and(|items| {
            let bound = |key: &str, or: u64| schema[key].as_u64().unwrap_or(or);
            let lengths = bound("minItems", 0)..=bound("maxItems", u64::MAX);
            lengths.contains(&(items.len() as u64))
                && items.iter().all(|item| fits(item, &schema["items"]))
        }),
        Some("object") => value.as_object().is_some_and(|object| {
            let properties = schema["properties"].as_object().expect("described");
            let required = schema["required"].as_array().expect("named");
            required.iter().all(|name| object.contains_key(name.as_str().expect("a name")))
                && object.iter().all(|(name, value)| {
                    properties.get(name).is_some_and(|schema| fits(value, schema))
                })
        }),
        _ => panic!("no such type in these tests"),
    }
}

#[test]
fn a_schema_is_kept_to_the_letter() {
    for schema in [
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "maxLength": 12 },
                "legs": { "type": "integer", "minimum": 0, "maximum": 8 },
                "tame": { "type": "boolean" },
            },
            "required": ["name", "legs", "tame"],
            "additionalProperties": false,
        }),
        json!({
            "type": "array",
            "items": { "enum": ["red", "green", "blue"] },
            "minItems": 2,
            "maxItems": 3,
        }),
        json!({
            "type": "object",
            "properties": {
                "owner": { "anyOf": [{ "type": "null" }, { "type": "string", "maxLength": 9 }] },
                "cats": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 2,
                    "items": {
                        "type": "object",
                        "properties": { "age": { "type": "integer", "minimum": 1, "maximum": 20 } },
                        "required": ["age"],
                        "additionalProperties": false,
                    },
                },
            },
            "required": ["owner", "cats"],
            "additionalProperties": false,
        }),
    ] {
        for seed in [1, 2] {
            let answer = ask(chat("Tell me about your cats, as JSON.", |chat| {
                chat.response_format = ResponseFormat::JsonSchema(schema.clone());
                chat.decoding.max_tokens = Some(400);
                chat.decoding.sampling.temperature = Some(1.0);
                chat.decoding.sampling.seed = Some(seed);
            }));
            assert_eq!(answer.reason, Some(FinishReason::Stop), "{}", answer.text);
            assert!(fits(&answer.json(), &schema), "{} for {schema}", answer.text);
        }
    }
}

#[test]
fn a_schema_that_cannot_be_kept_is_refused_by_name() {
    let error = refused(chat("Hi", |chat| {
        let schema = json!({ "type": "number", "minimum": 0.5 });
        chat.response_format = ResponseFormat::JsonSchema(schema);
    }));
    assert!(error.starts_with("response_format") && error.contains("minimum"), "{error}");
}

#[test]
fn a_grammar_is_followed_and_a_broken_one_refused() {
    let grammar = r#"root ::= ("yes" | "no") ", " [0-9]{3}"#;
    let answer = ask(chat("Is the sea blue?", |chat| {
        chat.decoding.grammar = Some(grammar.into());
        chat.decoding.max_tokens = Some(20);
    }));
    let (word, number) = answer.text.split_once(", ").expect("two parts");
    assert!(["yes", "no"].contains(&word), "{word}");
    assert!(number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
    assert_eq!(answer.reason, Some(FinishReason::Stop));
    for broken in ["root ::= (", "start ::= \"x\"", "root ::= missing"] {
        let error = refused(chat("Hi", |chat| chat.decoding.grammar = Some(broken.into())));
        assert!(error.starts_with("grammar"), "{error}");
    }
}
