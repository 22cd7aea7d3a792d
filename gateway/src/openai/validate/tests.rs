use serde_json::{Value, json};

use super::*;

fn chat(extra: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn parse(body: &Value) -> Result<ChatCall, RequestError> {
    parse_chat(body.to_string().as_bytes())
}

#[test]
fn common_parameters_reach_the_worker() {
    let call = parse(&chat(json!({
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "tool_calls": []},
        ],
        "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5,
        "max_tokens": 9, "max_completion_tokens": 7, "stop": "x", "seed": -1,
        "logit_bias": {"50": -100}, "top_k": 5, "n": 1, "response_format": {"type": "text"},
        "user": "u", "metadata": {"k": "v"}, "tools": [], "tool_choice": "auto",
        "logprobs": null, "some_new_field": {"deep": [1]},
    })))
    .unwrap();
    assert!(call.stream && call.include_usage);
    let Task::Chat(chat) = call.request.task else { panic!("a chat") };
    assert_eq!(chat.messages[0].role, "system");
    assert_eq!(chat.messages[1].content.as_ref().unwrap().text(), "ab");
    assert_eq!(chat.decoding.max_tokens, Some(7));
    assert_eq!(chat.decoding.stop, ["x"]);
    assert_eq!(chat.decoding.sampling.temperature, Some(0.5));
    assert_eq!(chat.decoding.sampling.seed, Some(u32::MAX - 1));
    assert_eq!(chat.decoding.sampling.logit_bias, BTreeMap::from([(50, -100.0)]));
}

#[test]
fn wrong_types_name_their_path() {
    for (extra, param) in [
        (json!({"model": 3}), "model"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
        (json!({"messages": [{"role": 1, "content": "a"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}),
            "messages[0].content[0].text",
        ),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stop": [1]}), "stop[0]"),
        (json!({"stop": 1}), "stop"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"stream_options": 1}), "stream_options"),
        (json!({"metadata": {"a": 1}}), "metadata.a"),
        (json!({"logit_bias": {"1": "a"}}), "logit_bias.1"),
    ] {
        match parse(&chat(extra.clone())) {
            Err(RequestError::Type { param: found, .. }) => assert_eq!(found, param, "{extra}"),
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn wrong_values_name_their_path() {
    for (extra, param) in [
        (json!({"model": ""}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "boss", "content": "a"}]}), "messages[0].role"),
        (json!({"temperature": 2.5}), "temperature"),
        (json!({"top_p": -0.5}), "top_p"),
        (json!({"presence_penalty": 3}), "presence_penalty"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"n": 0}), "n"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": ""}), "stop"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias.x"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias.1"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type"),
    ] {
        match parse(&chat(extra.clone())) {
            Err(RequestError::Value { param: found, .. }) => {
                assert_eq!(found, param, "{extra}");
            }
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn unsupported_parameters_are_refused_by_name() {
    let image = json!([{"type": "image_url", "image_url": {"url": "x"}}]);
    for (extra, param) in [
        (json!({"tools": [{"type": "function"}]}), "tools"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"n": 2}), "n"),
        (json!({"response_format": {"type": "json_object"}}), "response_format.type"),
        (json!({"grammar": "root ::= x"}), "grammar"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"messages": [{"role": "user", "content": image}]}), "messages[0].content[0].type"),
        (json!({"messages": [{"role": "tool", "content": "1"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}),
            "messages[0].tool_calls",
        ),
    ] {
        match parse(&chat(extra.clone())) {
            Err(RequestError::Unsupported { param: found }) => {
                assert_eq!(found, param, "{extra}");
            }
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn missing_fields_are_named() {
    for (body, param) in [
        (json!({"messages": []}), "model"),
        (json!({"model": "m"}), "messages"),
        (json!({"model": "m", "messages": [{"content": "a"}]}), "messages[0].role"),
        (json!({"model": "m", "messages": [{"role": "user"}]}), "messages[0].content"),
    ] {
        match parse(&body) {
            Err(RequestError::Missing { param: found }) => assert_eq!(found, param, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    for body in ["", "{", "{\"model\": \"m\",}", "\u{0}", "{} {}"] {
        let error = parse_chat(body.as_bytes()).unwrap_err();
        let wanted = matches!(error, RequestError::Json { .. } | RequestError::Missing { .. });
        assert!(wanted, "{body:?}: {error:?}");
    }
    assert!(matches!(parse_chat(b"[1]"), Err(RequestError::Type { .. })));
}
