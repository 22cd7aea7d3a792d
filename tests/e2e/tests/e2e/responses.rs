//! Responses, as OpenAI's own clients take them.

use chainference_e2e::{
    MODEL,
    client::{QUESTION, Sdk, post_to, sdk},
    market::{Market, Place},
};
use serde_json::{Value, json};

/// A response to that input; `more` is laid over it.
fn ask(input: impl Into<Value>, more: Value) -> Value {
    let mut body = json!({"model": MODEL, "temperature": 0, "input": input.into()});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn function(name: &str) -> Value {
    let city = json!({"type": "string", "enum": ["Paris", "Rome", "Lima"]});
    json!({"type": "function", "name": name, "description": "Tells it of a city.", "strict": true,
        "parameters": {"type": "object", "properties": {"city": city}, "required": ["city"],
            "additionalProperties": false}})
}

/// What a response says.
fn text(response: &Value) -> String {
    let text = &response["output"][0]["content"][0]["text"];
    text.as_str().unwrap_or_else(|| panic!("{response}")).to_owned()
}

#[test]
fn official_clients_get_responses_whole_and_streamed() {
    let market = Market::new();
    for client in [Sdk::Python, Sdk::Node] {
        let body = ask(QUESTION, json!({"metadata": {"k": "v"}}));
        let whole = sdk(&market, client, "respond", &body);
        assert_eq!(whole["status"], "completed", "{client:?}: {whole}");
        assert!(text(&whole).contains("Paris"), "{client:?}: {whole}");
        assert_eq!(whole["metadata"], json!({"k": "v"}), "{client:?}: {whole}");
        assert!(whole["usage"]["input_tokens"].as_u64() > Some(0), "{client:?}: {whole}");

        let streamed = sdk(&market, client, "respond_stream", &body);
        assert_eq!(text(&streamed), text(&whole), "{client:?}: {streamed}");
        assert_eq!(streamed["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
        let kinds: Vec<&str> =
            streamed["kinds"].as_array().expect("kinds").iter().filter_map(Value::as_str).collect();
        assert_eq!(kinds[..2], ["response.created", "response.in_progress"], "{client:?}");
        assert_eq!(kinds.last(), Some(&"response.completed"), "{client:?}");
        assert!(kinds.contains(&"response.output_text.delta"), "{client:?}: {kinds:?}");
        let numbers = streamed["numbers"].as_array().expect("numbers");
        assert!(numbers.iter().enumerate().all(|(at, number)| *number == at), "{numbers:?}");
    }
    let cut = sdk(&market, Sdk::Python, "respond", &ask(QUESTION, json!({"max_output_tokens": 2})));
    assert_eq!(cut["status"], "incomplete", "{cut}");
    assert_eq!(cut["incomplete_details"]["reason"], "max_output_tokens", "{cut}");
    let body =
        ask("Name the capital of France and how many people live there, as JSON.", json!({}));
    let parsed = sdk(&market, Sdk::Python, "respond_parse", &body);
    assert!(parsed["parsed"]["name"].is_string(), "{parsed}");
}

#[test]
fn responses_call_functions() {
    let market = Market::new();
    let ask_weather = "What is the weather in Paris?";
    let more = json!({"tools": [function("get_weather"), function("get_time")],
        "tool_choice": {"type": "function", "name": "get_time"}, "parallel_tool_calls": false});
    for client in [Sdk::Python, Sdk::Node] {
        let body = ask(ask_weather, more.clone());
        let whole = sdk(&market, client, "respond", &body);
        let call = whole["output"][0].clone();
        assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("get_time")));
        let streamed = sdk(&market, client, "respond_stream", &body);
        assert_eq!(streamed["output"][0]["arguments"], call["arguments"], "{client:?}: {streamed}");

        // The call and its output go back, and the model answers.
        let said = json!([
            {"role": "user", "content": ask_weather},
            {"type": "function_call", "call_id": call["call_id"], "name": call["name"],
                "arguments": call["arguments"]},
            {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"},
        ]);
        let next = ask(
            said,
            json!({"tools": more["tools"], "tool_choice": "none",
            "max_output_tokens": 20}),
        );
        let answer = sdk(&market, client, "respond", &next);
        assert!(!text(&answer).is_empty(), "{client:?}: {answer}");
    }
}

#[test]
fn a_response_goes_on_from_a_stored_one() {
    let market = Place::new().with(&["--store-responses", "true"]).start();
    let first = sdk(&market, Sdk::Python, "respond", &ask("My name is Ada.", json!({})));
    assert_eq!(first["store"], true, "{first}");
    let more = json!({"previous_response_id": first["id"], "max_output_tokens": 20});
    let next = sdk(&market, Sdk::Node, "respond", &ask("What is my name?", more));
    assert_eq!(next["previous_response_id"], first["id"], "{next}");
    let input = |response: &Value| response["usage"]["input_tokens"].as_u64().expect("a count");
    assert!(input(&next) > input(&first), "the first is part of the second's prompt: {next}");

    let elsewhere = Market::new();
    let body = ask("a", json!({"previous_response_id": first["id"]})).to_string();
    let refused = post_to(&elsewhere, "/responses", &elsewhere.key(), &body);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(refused.body["error"]["param"], "previous_response_id", "{}", refused.body);
    assert_eq!(refused.body["error"]["code"], "unsupported_parameter", "{}", refused.body);
}
