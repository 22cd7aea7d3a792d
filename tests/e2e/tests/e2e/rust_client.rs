//! async-openai, whose types are stricter than those of clients that read whatever comes.

use chainference_e2e::{
    MODEL,
    client::{QUESTION, Sdk, chat, sdk, sdk_command},
    market::Market,
};
use serde_json::{Value, json};

fn ask(market: &Market, what: &str, body: &Value) -> Value {
    let seen = sdk(market, Sdk::Rust, what, body);
    assert!(seen["error"].is_null(), "{what}: {seen}");
    seen
}

#[test]
fn async_openai_chats_streams_and_lists_models() {
    let market = Market::new();
    let body = chat(QUESTION, json!({}));
    let whole = ask(&market, "chat", &body);
    let choice = &whole["choices"][0];
    assert!(
        choice["message"]["content"].as_str().is_some_and(|it| it.contains("Paris")),
        "{whole}"
    );
    assert_eq!((&choice["finish_reason"], &whole["model"]), (&json!("stop"), &json!(MODEL)));

    let body = chat(QUESTION, json!({"stream_options": {"include_usage": true}}));
    let streamed = ask(&market, "chat_stream", &body);
    assert_eq!(streamed["content"], choice["message"]["content"]);
    assert_eq!(streamed["usage"]["total_tokens"], whole["usage"]["total_tokens"], "{streamed}");
    assert_eq!(streamed["finish_reason"], "stop");
    assert!(streamed["chunks"].as_u64() >= Some(4), "{streamed}");

    let models = ask(&market, "models", &json!({}));
    assert_eq!(models["data"][0]["id"], MODEL, "{models}");
}

#[test]
fn async_openai_calls_tools_and_gets_responses() {
    let market = Market::new();
    let city = json!({"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Lima"]}},
        "required": ["city"], "additionalProperties": false});
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": city}});
    let more = json!({"tools": [tool], "tool_choice": "required", "max_tokens": 60});
    let called = ask(&market, "chat", &chat("How is the weather in Rome?", more));
    let call = &called["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "get_weather", "{called}");
    let arguments = call["arguments"].as_str().expect("arguments");
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    assert!(["Rome", "Lima"].contains(&arguments["city"].as_str().unwrap_or_default()), "{called}");

    let body = json!({"model": MODEL, "input": QUESTION, "temperature": 0.0, "store": false});
    let whole = ask(&market, "respond", &body);
    assert_eq!(whole["status"], "completed", "{whole}");
    let text = &whole["output"][0]["content"][0]["text"];
    assert!(text.as_str().is_some_and(|text| text.contains("Paris")), "{whole}");
    let streamed = ask(&market, "respond_stream", &body);
    let events = streamed["events"].as_array().expect("events");
    let last = events.last().expect("an end");
    assert_eq!(last["type"], "response.completed", "{last}");
    assert_eq!(&last["response"]["output"][0]["content"][0]["text"], text);
}

#[test]
fn async_openai_tells_what_is_wrong() {
    let market = Market::new();
    let body = chat(QUESTION, json!({"model": "no/such-model"}));
    for what in ["chat", "chat_stream"] {
        let error = &sdk(&market, Sdk::Rust, what, &body)["error"];
        assert_eq!(
            (&error["status"], &error["code"]),
            (&json!(404), &json!("model_not_found")),
            "{error}"
        );
        assert!(
            error["message"].as_str().is_some_and(|it| it.contains("no/such-model")),
            "{error}"
        );
    }
    let input = json!({"model": MODEL, "input": "a"});
    let error = &sdk(&market, Sdk::Rust, "embed", &input)["error"];
    assert_eq!(
        (&error["status"], &error["code"]),
        (&json!(400), &json!("unsupported_by_model")),
        "{error}"
    );
    let mut stranger = sdk_command(&market, Sdk::Rust, "models", &json!({}));
    let output = stranger.env("OPENAI_API_KEY", "sk-cf-wrong").output().expect("the client runs");
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&seen["error"]["status"], &seen["error"]["code"]),
        (&json!(401), &json!("invalid_api_key"))
    );
}
