//! Tools and forms: what a grammar forces, as OpenAI's own clients take it.

use chainference_e2e::{
    client::{Sdk, chat, post, sdk},
    market::Market,
};
use serde_json::{Value, json};

const ASK: &str = "What is the weather in Paris?";

/// A function of one argument with few values, so that even a small model's call is short. Strict, since OpenAI's
/// clients put only such calls together.
fn function(name: &str) -> Value {
    let city = json!({"type": "string", "enum": ["Paris", "Rome", "Lima"]});
    json!({"type": "function", "function": {
        "name": name, "description": "Tells it of a city.", "strict": true,
        "parameters": {"type": "object", "properties": {"city": city}, "required": ["city"],
            "additionalProperties": false}}})
}

fn tools() -> Value {
    json!([function("get_weather"), function("get_time")])
}

fn named(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

/// Checks that an answer is one call of one of these functions, and returns its name and arguments.
fn check_call(answer: &Value, allowed: &[&str]) -> (String, Value) {
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
    let calls = choice["message"]["tool_calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 1, "{answer}");
    let (call, function) = (&calls[0], &calls[0]["function"]);
    assert_eq!(call["type"], "function", "{answer}");
    assert!(call["id"].as_str().is_some_and(|id| !id.is_empty()), "{answer}");
    let name = function["name"].as_str().expect("a name");
    assert!(allowed.contains(&name), "{answer}");
    let arguments = function["arguments"].as_str().expect("arguments");
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    assert!(["Paris", "Rome", "Lima"].contains(&arguments["city"].as_str().expect("a city")));
    let content = choice["message"]["content"].as_str().unwrap_or_default();
    assert_eq!(content, "", "a forced call has no prose before it: {answer}");
    (name.to_owned(), arguments)
}

#[test]
fn tools_are_called_whole_and_streamed() {
    let market = Market::new();
    let both: &[&str] = &["get_weather", "get_time"];
    for (choice, allowed) in [(json!("required"), both), (named("get_time"), &["get_time"])] {
        let more = json!({"tools": tools(), "tool_choice": choice, "parallel_tool_calls": false,
            "max_tokens": 100});
        let mut seen = Vec::new();
        for client in [Sdk::Python, Sdk::Node] {
            let whole = sdk(&market, client, "chat", &chat(ASK, more.clone()));
            seen.push(check_call(&whole, allowed));
            let streamed = sdk(&market, client, "chat_stream", &chat(ASK, more.clone()));
            seen.push(check_call(&streamed, allowed));
            let events = streamed["events"].to_string();
            assert!(events.contains("tool_calls.function.arguments.delta"), "{streamed}");
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "temperature 0 makes one call: {seen:?}");
    }
    let none = chat(ASK, json!({"tools": tools(), "tool_choice": "none", "max_tokens": 20}));
    let answer = sdk(&market, Sdk::Python, "chat", &none);
    assert_eq!(answer["choices"][0]["message"]["tool_calls"], Value::Null, "{answer}");
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|c| !c.is_empty()));
}

#[test]
fn a_tools_answer_goes_back_to_the_model() {
    let market = Market::new();
    let call = json!({"id": "call_1", "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}});
    let body = chat(
        ASK,
        json!({"max_tokens": 30, "tools": tools(), "tool_choice": "none", "messages": [
            {"role": "user", "content": ASK},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees and dry"},
        ]}),
    );
    let answer = sdk(&market, Sdk::Node, "chat", &body);
    let told = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    assert!(!told.is_empty(), "{answer}");
    // What the tool said is part of the prompt, and is paid as such.
    let mut shorter = body.clone();
    shorter["messages"][2]["content"] = json!("dry");
    let shorter = sdk(&market, Sdk::Node, "chat", &shorter);
    let prompt = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().expect("a count");
    assert!(prompt(&answer) > prompt(&shorter), "{answer} {shorter}");
}

#[test]
fn parsed_answers_fit_their_schema() {
    let market = Market::new();
    let ask = "Name the capital of France and how many people live there, as JSON.";
    for client in [Sdk::Python, Sdk::Node] {
        let answer = sdk(&market, client, "parse", &chat(ask, json!({"max_tokens": 200})));
        assert!(answer["parsed"]["name"].is_string(), "{client:?}: {answer}");
        assert!(answer["parsed"]["inhabitants"].is_i64(), "{client:?}: {answer}");
        assert_eq!(answer["finish_reason"], "stop", "{client:?}: {answer}");
    }
    // Keys come in the schema's order, not the alphabet's.
    let schema = json!({"type": "object", "required": ["zeta", "alpha"], "properties":
        {"zeta": {"type": "boolean"}, "alpha": {"type": "boolean"}}, "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
    let body = chat("true or false?", json!({"response_format": format, "max_tokens": 60}));
    let answer = post(&market, &market.key(), &body.to_string()).body;
    let content = answer["choices"][0]["message"]["content"].as_str().expect("content");
    let keys: Vec<_> = ["zeta", "alpha"].map(|key| content.find(key).expect("the key")).to_vec();
    assert!(keys.is_sorted(), "{content}");
}

#[test]
fn a_grammar_binds_the_answer() {
    let market = Market::new();
    let body = chat(ASK, json!({"grammar": "root ::= \"sun\" | \"rain\"", "max_tokens": 20}));
    let answer = post(&market, &market.key(), &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let choice = &answer.body["choices"][0];
    let content = choice["message"]["content"].as_str().expect("content");
    assert!(["sun", "rain"].contains(&content), "{}", answer.body);
    assert_eq!(choice["finish_reason"], "stop", "{}", answer.body);
    let broken = chat(ASK, json!({"grammar": "root ::= ("}));
    let refused = post(&market, &market.key(), &broken.to_string());
    assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("grammar")));
}
