//! Completions: text as it is, in OpenAI's older shape.

use chainference_e2e::{
    MODEL,
    client::{Sdk, post_to, sdk},
    market::Market,
};
use serde_json::{Value, json};

const PROMPT: &str = "The capital of France is";

fn body(more: Value) -> Value {
    let mut body = json!({"model": MODEL, "prompt": PROMPT, "temperature": 0});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
    body
}

fn complete(market: &Market, more: Value) -> Value {
    let answer = post_to(market, "/completions", &market.key(), &body(more).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[test]
fn official_clients_complete_whole_and_streamed() {
    let market = Market::new();
    let mut texts = Vec::new();
    for client in [Sdk::Python, Sdk::Node] {
        let whole = sdk(&market, client, "complete", &body(json!({})));
        assert_eq!(
            (&whole["object"], &whole["model"]),
            (&json!("text_completion"), &json!(MODEL)),
            "{whole}"
        );
        assert_eq!(whole["choices"][0]["finish_reason"], "length", "{whole}");
        assert_eq!(whole["usage"]["completion_tokens"], 16, "the default: {whole}");
        let streamed = sdk(&market, client, "complete_stream", &body(json!({})));
        assert_eq!(streamed["reasons"], json!(["length"]), "{streamed}");
        assert_eq!(streamed["usage"]["completion_tokens"], 16, "{streamed}");
        texts.extend([whole["choices"][0]["text"].clone(), streamed["texts"][0].clone()]);
    }
    assert!(texts[0].as_str().is_some_and(|text| text.contains("Paris")), "{texts:?}");
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[test]
fn completions_take_every_form_of_a_prompt() {
    let market = Market::new();
    let one = complete(&market, json!({"max_tokens": 4}));
    let two = json!({"prompt": [PROMPT, "Two and two are"], "n": 2, "max_tokens": 4});
    let two = complete(&market, two);
    let choices = two["choices"].as_array().expect("choices");
    let indexes: Vec<_> = choices.iter().map(|choice| choice["index"].clone()).collect();
    assert_eq!(indexes, [json!(0), json!(1), json!(2), json!(3)], "{two}");
    assert_eq!(choices[0]["text"], one["choices"][0]["text"], "prompt 0 has answers 0 and 1");
    assert_eq!(choices[0]["text"], choices[1]["text"], "temperature 0");
    assert_ne!(choices[1]["text"], choices[2]["text"], "prompt 1 has answers 2 and 3");
    let streamed = sdk(
        &market,
        Sdk::Python,
        "complete_stream",
        &body(json!({"prompt": [PROMPT, "a"], "max_tokens": 4})),
    );
    assert_eq!(streamed["texts"].as_array().map(Vec::len), Some(2), "{streamed}");

    let tokens = complete(&market, json!({"prompt": [504, 505], "max_tokens": 2}));
    assert_eq!(tokens["usage"]["prompt_tokens"], 2, "{tokens}");
    let several = complete(&market, json!({"prompt": [[504, 505], [506]], "max_tokens": 2}));
    assert_eq!(several["choices"].as_array().map(Vec::len), Some(2), "{several}");
    assert_eq!(several["usage"]["prompt_tokens"], 3, "{several}");
    let unknown = body(json!({"prompt": [4_000_000_000_u32]}));
    let refused = post_to(&market, "/completions", &market.key(), &unknown.to_string());
    assert_eq!(
        (refused.status, &refused.body["error"]["param"]),
        (400, &json!("prompt")),
        "{}",
        refused.body
    );
}

#[test]
fn an_echo_has_the_prompts_own_logprobs() {
    let market = Market::new();
    let answer = complete(&market, json!({"echo": true, "logprobs": 2, "max_tokens": 3}));
    let choice = &answer["choices"][0];
    let text = choice["text"].as_str().expect("text");
    assert!(text.starts_with(PROMPT) && text.len() > PROMPT.len(), "{text}");
    assert_eq!(answer["usage"]["completion_tokens"], 3, "an echo is not paid: {answer}");
    let list = |name: &str| choice["logprobs"][name].as_array().expect("a list").clone();
    let (tokens, logprobs, top, offsets) =
        (list("tokens"), list("token_logprobs"), list("top_logprobs"), list("text_offset"));
    let prompt_tokens = answer["usage"]["prompt_tokens"].as_u64().expect("a count");
    assert_eq!(tokens.len() as u64, prompt_tokens + 3, "{choice}");
    assert_eq!(
        (logprobs[0].clone(), top[0].clone()),
        (Value::Null, Value::Null),
        "nothing stands before it"
    );
    for at in 1..tokens.len() {
        assert!(logprobs[at].as_f64().is_some_and(|one| one <= 0.0), "{choice}");
        let alternatives = top[at].as_object().expect("alternatives").len();
        assert!((2..=3).contains(&alternatives), "two, and the chosen one: {choice}");
        let offset = usize::try_from(offsets[at].as_u64().expect("an offset")).expect("small");
        assert!(text[offset..].starts_with(tokens[at].as_str().expect("a token")), "{choice}");
    }
    let echoed =
        sdk(&market, Sdk::Node, "complete_stream", &body(json!({"echo": true, "max_tokens": 3})));
    assert_eq!(echoed["texts"][0], text, "{echoed}");
}

#[test]
fn a_suffix_is_refused_where_the_model_has_no_infill() {
    let market = Market::new();
    let asked = body(json!({"suffix": " is in France."}));
    let refused = post_to(&market, "/completions", &market.key(), &asked.to_string());
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(refused.body["error"]["param"], "suffix", "{}", refused.body);
}
