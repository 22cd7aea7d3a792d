use chainference_protocol::Prompt;
use serde_json::{Value, json};

use super::*;

fn parse(extra: &Value) -> Result<Call, RequestError> {
    let mut body = json!({"model": "m", "prompt": "once"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    parse_completion(body.to_string().as_bytes())
}

fn completion(extra: Value) -> Completion {
    match parse(&extra).unwrap_or_else(|error| panic!("{extra}: {error}")).request.task {
        Task::Complete(completion) => completion,
        _ => panic!("a completion"),
    }
}

#[test]
fn common_parameters_reach_the_worker() {
    let extra = json!({"prompt": ["a", "b"], "max_tokens": 5, "n": 2, "best_of": 2, "logprobs": 3,
        "echo": true, "stream": true, "stream_options": {"include_usage": true},
        "temperature": 0.5, "top_k": 4, "stop": ["x", "y"], "user": "u", "new_field": 1});
    let call = parse(&extra).unwrap();
    assert!(call.stream && call.form.include_usage);
    assert_eq!((call.form.style, call.form.answers), (Style::Completion, 4));
    assert_eq!(call.form.logprobs, Some(3));
    let completion = completion(extra);
    assert!(completion.echo && completion.prompts.len() == 2);
    let decoding = completion.decoding;
    assert_eq!((decoding.max_tokens, decoding.n, decoding.logprobs), (Some(5), 2, Some(3)));
    assert_eq!(decoding.stop, ["x", "y"]);
    assert_eq!((decoding.sampling.temperature, decoding.sampling.top_k), (Some(0.5), Some(4)));
}

#[test]
fn an_answer_has_16_tokens_unless_more_are_asked_for() {
    let plain = completion(json!({}));
    assert_eq!(plain.decoding.max_tokens, Some(16));
    assert_eq!((plain.echo, plain.suffix, plain.decoding.logprobs), (false, None, None));
    assert!(plain.prompts == [Prompt::Text("once".into())]);
    let scored = completion(json!({"max_tokens": 0, "echo": true, "logprobs": 1}));
    assert_eq!(scored.decoding.max_tokens, Some(0), "the prompt's log-probabilities alone");
}

#[test]
fn a_suffix_and_tokens_reach_the_worker() {
    let infill = completion(json!({"prompt": [1, 2], "suffix": "end"}));
    assert_eq!(infill.suffix.as_deref(), Some("end"));
    assert!(infill.prompts == [Prompt::Tokens(vec![1, 2])]);
    assert_eq!(completion(json!({"suffix": ""})).suffix, None);
}

#[test]
fn wrong_values_name_their_path() {
    let many = vec!["a"; 65];
    for (extra, param) in [
        (json!({"model": ""}), "model"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": ["a", 1]}), "prompt"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"logprobs": 21}), "logprobs"),
        (json!({"n": 0}), "n"),
        (json!({"prompt": many, "n": 2}), "n"),
        (json!({"suffix": "a", "echo": true}), "echo"),
        (json!({"temperature": 3}), "temperature"),
        (json!({"stream_options": {}}), "stream_options"),
    ] {
        match parse(&extra) {
            Err(RequestError::Value { param: found, .. }) => assert_eq!(found, param, "{extra}"),
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn wrong_types_and_missing_fields_name_their_path() {
    for (extra, param) in [
        (json!({"prompt": 1}), "prompt"),
        (json!({"prompt": [[1, "a"]]}), "prompt[0][1]"),
        (json!({"echo": "yes"}), "echo"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"best_of": "2"}), "best_of"),
    ] {
        match parse(&extra) {
            Err(RequestError::Type { param: found, .. }) => assert_eq!(found, param, "{extra}"),
            other => panic!("{extra}: {other:?}"),
        }
    }
    for (body, missing) in [("{\"prompt\": \"a\"}", "model"), ("{\"model\": \"m\"}", "prompt")] {
        let error = parse_completion(body.as_bytes()).unwrap_err();
        assert_eq!(error, RequestError::missing(missing));
    }
}

#[test]
fn best_of_more_answers_than_are_told_is_refused() {
    for (extra, refused) in [
        (json!({"best_of": 1}), false),
        (json!({"best_of": 2, "n": 2}), false),
        (json!({"best_of": 2}), true),
        (json!({"best_of": 3, "n": 2}), true),
    ] {
        let wrong = matches!(parse(&extra), Err(RequestError::Unsupported { .. }));
        assert_eq!(wrong, refused, "{extra}");
    }
}

#[test]
fn each_refused_parameter_passes_where_it_asks_for_nothing() {
    refused::tests::check_all(refused::COMPLETION, |name, value| {
        let body = format!("{{\"model\": \"m\", \"prompt\": \"a\", \"{name}\": {value}}}");
        parse_completion(body.as_bytes()).map(|_| ())
    });
}
