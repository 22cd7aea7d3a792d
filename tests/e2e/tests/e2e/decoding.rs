//! How answers are made: several of them, their log-probabilities, and samplers that do what they are named for.

use chainference_e2e::{
    client::{QUESTION, Sdk, chat, post, sdk},
    market::Market,
};
use serde_json::{Value, json};

fn ask(market: &Market, more: Value) -> Value {
    let answer = post(market, &market.key(), &chat(QUESTION, more).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// Has many good answers.
fn open_question(more: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "Tell me a story."}]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
    body
}

fn content(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().expect("content").to_owned()
}

#[test]
fn several_answers_come_from_one_call() {
    let market = Market::new();
    let one = ask(&market, json!({"max_tokens": 12}));
    // Each ends with its sentence: Python's accumulator takes an answer that was cut for an error.
    let more = json!({"n": 3, "temperature": 1.5, "seed": 1, "stop": ["."], "max_tokens": 200});
    let body = chat(QUESTION, more);
    for (client, what) in
        [(Sdk::Python, "chat"), (Sdk::Python, "chat_stream"), (Sdk::Node, "chat_stream")]
    {
        let several = sdk(&market, client, what, &body);
        let choices = several["choices"].as_array().unwrap_or_else(|| panic!("{several}"));
        let indexes: Vec<_> = choices.iter().map(|choice| choice["index"].clone()).collect();
        assert_eq!(indexes, [json!(0), json!(1), json!(2)], "{client:?} {what}");
        for choice in choices {
            assert!(choice["finish_reason"].is_string(), "{several}");
            assert_eq!(choice["message"]["role"], "assistant", "{several}");
        }
        let texts: Vec<_> =
            choices.iter().map(|choice| choice["message"]["content"].to_string()).collect();
        assert!(texts.iter().any(|text| *text != texts[0]), "each has its own chance: {texts:?}");
        let usage = &several["usage"];
        assert_eq!(
            usage["prompt_tokens"], one["usage"]["prompt_tokens"],
            "the prompt is paid once"
        );
        let tokens = usage["completion_tokens"].as_u64().expect("a count");
        assert!((3..=600).contains(&tokens), "{usage}");
    }
}

#[test]
fn logprobs_have_openais_shape() {
    let market = Market::new();
    let whole = ask(&market, json!({"logprobs": true, "top_logprobs": 3, "max_tokens": 20}));
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().expect("a list").clone();
    let text: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token["bytes"].as_array().expect("bytes"))
        .map(|byte| u8::try_from(byte.as_u64().expect("a byte")).expect("a byte"))
        .collect();
    assert!(String::from_utf8(text).expect("text").starts_with(&content(&whole)), "{whole}");
    for token in &tokens {
        let top = token["top_logprobs"].as_array().expect("alternatives");
        assert_eq!(top.len(), 3, "{token}");
        assert_eq!(
            (&top[0]["token"], &top[0]["logprob"]),
            (&token["token"], &token["logprob"]),
            "greedy"
        );
        let logprobs: Vec<_> =
            top.iter().map(|one| one["logprob"].as_f64().expect("a number")).collect();
        assert!(logprobs.is_sorted_by(|a, b| a >= b) && logprobs[0] <= 0.0, "{token}");
    }
    let body = chat(QUESTION, json!({"logprobs": true, "top_logprobs": 3, "max_tokens": 20}));
    for client in [Sdk::Python, Sdk::Node] {
        let streamed = sdk(&market, client, "chat_stream", &body);
        let seen = streamed["choices"][0]["logprobs"]["content"].as_array().expect("a list");
        let names =
            |tokens: &[Value]| tokens.iter().map(|one| one["token"].clone()).collect::<Vec<_>>();
        assert_eq!(names(seen), names(&tokens), "{client:?}: the same in pieces");
    }
    let unasked = ask(&market, json!({"max_tokens": 3}));
    let choice = unasked["choices"][0].as_object().expect("a choice");
    assert_eq!(choice.get("logprobs"), Some(&Value::Null), "present and null");
}

#[test]
fn a_seed_repeats_an_answer() {
    let market = Market::new();
    let with = |seed: i64| {
        let more = json!({"temperature": 1.5, "seed": seed, "max_tokens": 24});
        content(&ask(&market, open_question(more)))
    };
    // From now on the prompt is there already: computed in other steps it differs in its last digits.
    with(0);
    let (first, again, other, negative) = (with(7), with(7), with(8), with(-7));
    assert_eq!(first, again);
    assert!(first != other && other != negative, "{first} / {other} / {negative}");
}

#[test]
fn samplers_do_what_they_are_named_for() {
    let market = Market::new();
    // With a seed the prompt is read anew: taken over from an earlier call it differs in its last digits.
    let greedy = json!({"seed": 3, "max_tokens": 16});
    let greedy = content(&ask(&market, open_question(greedy)));
    // Whatever leaves only the likeliest token makes a hot answer greedy.
    for sampler in [json!({"top_k": 1}), json!({"top_p": 0.0}), json!({"min_p": 1.0})] {
        let mut more = json!({"temperature": 2, "seed": 3, "max_tokens": 16});
        more.as_object_mut().expect("an object").extend(sampler.as_object().expect("one").clone());
        assert_eq!(content(&ask(&market, open_question(more))), greedy, "{sampler}");
    }
    let hot = json!({"temperature": 2, "seed": 3, "max_tokens": 16});
    let hot = content(&ask(&market, open_question(hot)));
    assert_ne!(hot, greedy);

    let forced = json!({"logit_bias": {"504": 100}, "logprobs": true, "max_tokens": 4});
    let forced = ask(&market, forced);
    let tokens = forced["choices"][0]["logprobs"]["content"].as_array().expect("a list").clone();
    assert!(
        tokens.len() == 4 && tokens.iter().all(|one| one["token"] == tokens[0]["token"]),
        "{forced}"
    );

    // A token that came before becomes less likely each time: there are more different ones.
    let different = |more: Value| {
        let mut body = json!({"logprobs": true, "max_tokens": 60, "messages":
            [{"role": "user", "content": "Say the word yes a hundred times: yes yes yes yes"}]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        let answer = ask(&market, body);
        let tokens = answer["choices"][0]["logprobs"]["content"].as_array().expect("a list");
        let mut names: Vec<String> = tokens.iter().map(|one| one["token"].to_string()).collect();
        names.sort();
        names.dedup();
        names.len()
    };
    let plain = different(json!({"ignore_eos": true}));
    for penalty in [json!({"frequency_penalty": 2.0}), json!({"presence_penalty": 2.0})] {
        let mut more = penalty.clone();
        more["ignore_eos"] = json!(true);
        let penalised = different(more);
        assert!(penalised > plain, "{penalty}: {penalised} > {plain}");
    }
}

#[test]
fn a_model_goes_on_where_it_would_end() {
    let market = Market::new();
    let answer = ask(&market, json!({"ignore_eos": true, "max_tokens": 40}));
    assert_eq!(answer["choices"][0]["finish_reason"], "length", "{answer}");
    assert_eq!(answer["usage"]["completion_tokens"], 40, "{answer}");
}
