//! What clients see: answers, streams, usage, models, and errors that say what is wrong.

use chainference_e2e::{
    MODEL,
    client::{QUESTION, Sdk, chat, curl, post, post_to, sdk},
    market::Market,
};
use serde_json::{Value, json};

fn check_answer(sdk_used: Sdk, answer: &Value) {
    assert!(
        answer["content"].as_str().is_some_and(|text| text.contains("Paris")),
        "{sdk_used:?}: {answer}"
    );
    assert_eq!(answer["role"], "assistant", "{sdk_used:?}");
    assert_eq!(answer["finish_reason"], "stop", "{sdk_used:?}");
    let usage = &answer["usage"];
    let count =
        |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{sdk_used:?}: {answer}"));
    assert!(count("prompt_tokens") > 10 && count("completion_tokens") > 2, "{usage}");
    assert_eq!(count("prompt_tokens") + count("completion_tokens"), count("total_tokens"));
}

#[test]
fn official_clients_get_answers_whole_and_streamed() {
    let market = Market::new();
    let body = chat(QUESTION, json!({}));
    let mut contents = Vec::new();
    for client in [Sdk::Python, Sdk::Node] {
        let whole = sdk(&market, client, "plain", &body);
        check_answer(client, &whole);
        assert_eq!(whole["object"], "chat.completion");
        assert_eq!(whole["model"], MODEL);

        let streamed = sdk(&market, client, "stream", &body);
        check_answer(client, &streamed);
        assert_eq!(streamed["object"], "chat.completion.chunk");
        assert!(
            streamed["chunks"].as_u64().is_some_and(|chunks| chunks >= 4),
            "streamed in one piece: {streamed}"
        );
        assert_eq!(streamed["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
        contents.extend([whole["content"].clone(), streamed["content"].clone()]);

        let models = sdk(&market, client, "models", &json!({}));
        assert_eq!(models["ids"], json!([MODEL]));
    }
    contents.dedup();
    assert_eq!(contents.len(), 1, "temperature 0 gives one answer: {contents:?}");
}

#[test]
fn a_model_says_what_it_can_be_asked_for_and_is_asked_for_nothing_else() {
    let market = Market::new();
    let url = format!("{}/models/{MODEL}", market.base_url());
    let key = format!("authorization: Bearer {}", market.key());
    let model: Value = serde_json::from_str(&curl(&["-s", &url, "-H", &key])).expect("a model");
    let abilities = model["abilities"].as_array().expect("abilities");
    for ability in ["chat", "tools", "structured", "completions", "logprobs"] {
        assert!(abilities.contains(&json!(ability)), "{ability}: {model}");
    }
    let thinking = chat(QUESTION, json!({"reasoning_effort": "high"}));
    let input = json!({"model": MODEL, "input": "a"});
    for (path, body, param) in
        [("/chat/completions", thinking, "reasoning_effort"), ("/embeddings", input, "model")]
    {
        let answer = post_to(&market, path, &market.key(), &body.to_string());
        assert_eq!(answer.status, 400, "{}", answer.body);
        let error = &answer.body["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!("unsupported_by_model"), &json!(param)),
            "{error}"
        );
    }
    assert_eq!(market.jobs().len(), 0, "what can't be honoured is no job");
}

#[test]
fn limits_and_stops_end_an_answer_where_they_should() {
    let market = Market::new();
    let key = market.key();
    let few = post(
        &market,
        &key,
        &chat("Count from one to fifty in words.", json!({"max_tokens": 7})).to_string(),
    );
    assert_eq!(
        (few.status, &few.body["choices"][0]["finish_reason"]),
        (200, &json!("length")),
        "{}",
        few.body
    );
    assert_eq!(few.body["usage"]["completion_tokens"], 7);

    let stop = post(&market, &key, &chat(QUESTION, json!({"stop": [" France"]})).to_string());
    assert_eq!(
        (stop.status, &stop.body["choices"][0]["finish_reason"]),
        (200, &json!("stop")),
        "{}",
        stop.body
    );
    let content = stop.body["choices"][0]["message"]["content"].as_str().expect("text");
    assert!(!content.contains("France"), "{content}");
}

/// What is wrong, the status it must have, and a word that the message must contain.
struct Mistake {
    body: String,
    status: u16,
    code: Value,
    says: &'static str,
}

fn mistakes() -> Vec<Mistake> {
    let mistake = |body: String, status, code, says| Mistake { body, status, code, says };
    vec![
        mistake("{\"model\": ".into(), 400, Value::Null, "JSON"),
        mistake("[]".into(), 400, Value::Null, ""),
        mistake(
            chat(QUESTION, json!({"model": "no/such-model"})).to_string(),
            404,
            json!("model_not_found"),
            "no/such-model",
        ),
        mistake(
            chat(QUESTION, json!({"temperature": "hot"})).to_string(),
            400,
            Value::Null,
            "temperature",
        ),
        mistake(
            chat(QUESTION, json!({"temperature": 3})).to_string(),
            400,
            Value::Null,
            "temperature",
        ),
        mistake(chat(QUESTION, json!({"messages": []})).to_string(), 400, Value::Null, "messages"),
        mistake(
            chat(QUESTION, json!({"store": true})).to_string(),
            400,
            json!("unsupported_parameter"),
            "store",
        ),
        mistake(
            chat(
                QUESTION,
                json!({"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]}),
            )
            .to_string(),
            400,
            json!("invalid_value"),
            "messages[0].content[0]",
        ),
    ]
}

#[test]
fn mistakes_are_told_as_openai_tells_them_and_cost_nothing() {
    let market = Market::new();
    let key = market.key();
    for wrong in mistakes() {
        let answer = post(&market, &key, &wrong.body);
        let error = &answer.body["error"];
        let shown: String = wrong.body.chars().take(120).collect();
        assert_eq!(answer.status, wrong.status, "{shown}: {}", answer.body);
        for name in ["message", "type", "param", "code"] {
            assert!(error.get(name).is_some(), "{shown}: no {name} in {error}");
        }
        assert!(
            error["message"].as_str().is_some_and(|message| message.contains(wrong.says)),
            "{shown}: {error}"
        );
        if !wrong.code.is_null() {
            assert_eq!(error["code"], wrong.code, "{shown}");
        }
    }
    for (bad_key, code) in [("sk-cf-wrong", "invalid_api_key"), ("", "missing_api_key")] {
        let answer = post(&market, bad_key, &chat(QUESTION, json!({})).to_string());
        assert_eq!(answer.status, 401, "{}", answer.body);
        assert_eq!(answer.body["error"]["code"], code);
    }
    assert_eq!(market.jobs().len(), 0, "a refused call is no job");

    let caught =
        sdk(&market, Sdk::Python, "plain", &chat(QUESTION, json!({"model": "no/such-model"})));
    assert_eq!(
        (&caught["error"]["class"], &caught["error"]["status"]),
        (&json!("NotFoundError"), &json!(404)),
        "{caught}"
    );
    let url = format!("{}/nonsense", market.base_url());
    let unknown = curl(&[
        "-s",
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        &url,
        "-H",
        &format!("authorization: Bearer {key}"),
    ]);
    assert_eq!(unknown, "404");
}

#[test]
fn prompt_beyond_the_context_is_refused_and_not_paid() {
    let market = Market::new();
    let long = chat(&"word ".repeat(20_000), json!({})).to_string();
    let answer = post(&market, &market.key(), &long);
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(answer.body["error"]["code"], "context_length_exceeded");
    // Only the worker can count its tokens, so there was a job; nothing was vouched on it.
    assert_eq!(market.await_job("settled", 30)["paid"], 0);
}
