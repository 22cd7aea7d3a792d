//! What the gateway answers, against the published schemas.

use chainference_e2e::{
    MODEL,
    client::{QUESTION, chat, curl, post_to, stream_of},
    market::{Market, Place},
    schemas::Answers,
};
use serde_json::{Value, json};

fn whole(place: &Place, path: &str, body: &Value) -> Value {
    post_to(place, path, &place.key(), &body.to_string()).body
}

fn got(place: &Place, path: &str) -> Value {
    let url = format!("{}{path}", place.base_url());
    let text = curl(&["-s", &url, "-H", &format!("authorization: Bearer {}", place.key())]);
    serde_json::from_str(&text).expect("JSON")
}

fn city() -> Value {
    let city = json!({"type": "string", "enum": ["Paris", "Rome"]});
    json!({"type": "object", "properties": {"city": city}, "required": ["city"],
        "additionalProperties": false})
}

/// The body once more, streamed.
fn streamed(body: &Value, more: Value) -> Value {
    let mut body = body.clone();
    body["stream"] = json!(true);
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[test]
fn chats_and_completions_fit_openais_schemas() {
    let market = Market::new();
    let mut answers = Answers::default();
    let function = json!({"name": "get_weather", "parameters": city()});
    let usage = json!({"stream_options": {"include_usage": true}});
    for more in [
        json!({"max_tokens": 20, "logprobs": true, "top_logprobs": 2, "n": 2}),
        json!({"tools": [{"type": "function", "function": function}], "tool_choice": "required"}),
    ] {
        let body = chat(QUESTION, more);
        answers.openai("CreateChatCompletionResponse", whole(&market, "/chat/completions", &body));
        let chunks = stream_of(&market, "/chat/completions", &streamed(&body, usage.clone()));
        assert!(chunks.len() > 3, "{chunks:?}");
        for chunk in chunks {
            answers.openai("CreateChatCompletionStreamResponse", chunk);
        }
    }
    // The schema has no form for this endpoint's chunks: their `finish_reason` is null before the end.
    let body = json!({"model": MODEL, "prompt": "One, two,", "logprobs": 1});
    answers.openai("CreateCompletionResponse", whole(&market, "/completions", &body));
    answers.openai("ListModelsResponse", got(&market, "/models"));
    answers.openai("Model", got(&market, &format!("/models/{MODEL}")));
    answers.check();
}

#[test]
fn responses_fit_openais_schemas() {
    let market = Market::new();
    let mut answers = Answers::default();
    let function = json!({"type": "function", "name": "get_weather", "parameters": city()});
    for more in [
        json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
        json!({"max_output_tokens": 2, "instructions": "Be brief.", "user": "u"}),
        json!({"tools": [function], "tool_choice": "required"}),
        json!({"text": {"format": {"type": "json_schema", "name": "s", "schema": city()}}}),
    ] {
        let mut body = json!({"model": MODEL, "input": QUESTION, "temperature": 0});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        answers.openai("Response", whole(&market, "/responses", &body));
        let events = stream_of(&market, "/responses", &streamed(&body, json!({})));
        assert!(events.len() > 6, "{events:?}");
        for event in events {
            answers.openai("ResponseStreamEvent", event);
        }
    }
    answers.check();
}

#[test]
fn messages_fit_anthropics_schemas() {
    let market = Market::new();
    let mut answers = Answers::default();
    let tool = json!({"name": "get_weather", "input_schema": city()});
    for more in [
        json!({"stop_sequences": ["Paris"], "system": "Be brief."}),
        json!({"tools": [tool], "tool_choice": {"type": "any"}}),
    ] {
        let mut body = json!({"model": MODEL, "max_tokens": 60, "temperature": 0,
            "messages": [{"role": "user", "content": QUESTION}]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        answers.anthropic("Message", whole(&market, "/messages", &body));
        let counted = whole(&market, "/messages/count_tokens", &body);
        answers.anthropic("CountMessageTokensResponse", counted);
        for event in stream_of(&market, "/messages", &streamed(&body, json!({}))) {
            answers.anthropic("MessageStreamEvent", event);
        }
    }
    let unknown = json!({"model": "no/such", "max_tokens": 1,
        "messages": [{"role": "user", "content": "a"}]});
    answers.anthropic("ErrorResponse", whole(&market, "/messages", &unknown));
    answers.check();
}

#[test]
fn errors_fit_openais_schema() {
    let market = Market::new();
    let mut answers = Answers::default();
    for (path, body) in [
        ("/chat/completions", json!({})),
        ("/chat/completions", chat("a", json!({"model": "no/such"}))),
        ("/completions", json!({"model": MODEL, "prompt": "a", "best_of": 3})),
        ("/responses", json!({"model": MODEL, "input": "a", "store": true})),
        ("/embeddings", json!({"model": MODEL, "input": "a"})),
        ("/nothing", json!({})),
    ] {
        let answer = whole(&market, path, &body);
        assert!(answer["error"]["message"].is_string(), "{path}: {answer}");
        answers.openai("ErrorResponse", answer);
    }
    answers.check();
}
