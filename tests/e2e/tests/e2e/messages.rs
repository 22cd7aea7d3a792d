//! Messages, as Anthropic's own client takes them.

use chainference_e2e::{
    MODEL,
    client::{QUESTION, Sdk, curl, sdk},
    market::{Market, Place},
};
use serde_json::{Value, json};

/// A message of one turn; `more` is laid over it.
fn ask(text: &str, more: Value) -> Value {
    let mut body = json!({"model": MODEL, "temperature": 0, "max_tokens": 60,
        "messages": [{"role": "user", "content": text}]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn send(place: &Place, what: &str, body: &Value) -> Value {
    sdk(place, Sdk::Anthropic, what, body)
}

fn text(answer: &Value) -> &str {
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn anthropics_client_gets_messages_whole_and_streamed() {
    let market = Market::new();
    let body = ask(QUESTION, json!({"system": "Be brief."}));
    let whole = send(&market, "message", &body);
    assert!(text(&whole).contains("Paris"), "{whole}");
    assert_eq!((&whole["stop_reason"], &whole["role"]), (&json!("end_turn"), &json!("assistant")));
    let usage = &whole["usage"];
    let sum = ["input_tokens", "cache_read_input_tokens"].map(|name| usage[name].as_u64());
    let billed: u64 = sum.into_iter().flatten().sum();

    let streamed = send(&market, "message_stream", &body);
    assert_eq!((text(&streamed), &streamed["texts"]), (text(&whole), &whole["content"][0]["text"]));
    let raw: Vec<&str> =
        streamed["raw"].as_array().expect("events").iter().filter_map(Value::as_str).collect();
    assert_eq!(raw[..2], ["message_start", "content_block_start"], "{raw:?}");
    assert_eq!(raw[raw.len() - 2..], ["message_delta", "message_stop"], "{raw:?}");
    assert_eq!(streamed["usage"]["output_tokens"], usage["output_tokens"], "{streamed}");

    let mut counted = body.clone();
    for field in ["max_tokens", "temperature"] {
        counted.as_object_mut().expect("an object").remove(field);
    }
    let counted = send(&market, "count", &counted);
    assert_eq!(counted["input_tokens"].as_u64(), Some(billed), "{counted} {usage}");
    assert_eq!(counted["chainference"]["input_tokens"], "exact", "{counted}");
}

#[test]
fn a_message_names_the_sequence_that_stopped_it() {
    let market = Market::new();
    let more = json!({"stop_sequences": ["nowhere", "Paris"]});
    for what in ["message", "message_stream"] {
        let answer = send(&market, what, &ask(QUESTION, more.clone()));
        assert_eq!(answer["stop_reason"], "stop_sequence", "{answer}");
        assert_eq!(answer["stop_sequence"], "Paris", "{answer}");
    }
    let cut = send(&market, "message", &ask(QUESTION, json!({"max_tokens": 2})));
    assert_eq!(cut["stop_reason"], "max_tokens", "{cut}");
}

#[test]
fn messages_call_tools() {
    let market = Market::new();
    let city = json!({"type": "string", "enum": ["Paris", "Rome", "Lima"]});
    let tool = json!({"name": "get_weather", "description": "Tells it of a city.", "input_schema":
        {"type": "object", "properties": {"city": city}, "required": ["city"],
            "additionalProperties": false}});
    let ask_weather = "What is the weather in Paris?";
    let more = json!({"tools": [tool], "tool_choice": {"type": "tool", "name": "get_weather",
        "disable_parallel_tool_use": true}});
    let body = ask(ask_weather, more.clone());
    let whole = send(&market, "message", &body);
    assert_eq!(whole["stop_reason"], "tool_use", "{whole}");
    let call = whole["content"][0].clone();
    assert_eq!((&call["type"], &call["name"]), (&json!("tool_use"), &json!("get_weather")));
    assert!(call["input"]["city"].is_string(), "{whole}");
    let streamed = send(&market, "message_stream", &body);
    assert_eq!(streamed["content"][0]["input"], call["input"], "{streamed}");

    let result = json!([{"type": "tool_result", "tool_use_id": call["id"],
        "content": "18 degrees and dry"}]);
    let next = json!({"tools": more["tools"], "tool_choice": {"type": "none"}, "messages": [
        {"role": "user", "content": ask_weather},
        {"role": "assistant", "content": whole["content"]},
        {"role": "user", "content": result},
    ]});
    let answer = send(&market, "message", &ask("", next));
    assert!(!text(&answer).is_empty(), "{answer}");
}

#[test]
fn errors_of_messages_have_anthropics_form() {
    let market = Market::new();
    let unknown = send(&market, "message", &ask("a", json!({"model": "no/such"})));
    let error = &unknown["error"];
    assert_eq!((&error["class"], &error["status"]), (&json!("NotFoundError"), &json!(404)));
    assert_eq!(error["body"]["error"]["type"], "not_found_error", "{unknown}");
    assert!(error["request_id"].is_string(), "{unknown}");
    assert_eq!(error["body"]["request_id"], error["request_id"], "{unknown}");
    let url = format!("{}/messages", market.base_url());
    for (key, kind) in
        [("x-api-key: wrong", "authentication_error"), ("x-other: 1", "authentication_error")]
    {
        let answer: Value =
            serde_json::from_str(&curl(&["-s", "-X", "POST", &url, "-H", key])).expect("JSON");
        assert_eq!((&answer["type"], &answer["error"]["type"]), (&json!("error"), &json!(kind)));
    }
}
