//! Tokens counted again by the model's own tokenizer: honest workers never err, and who lies is found.

use std::path::PathBuf;

use chainference_e2e::{
    MODEL, cache,
    client::{QUESTION, chat, curl, post, post_to, stream_of},
    colleague::Colleague,
    eventually,
    market::{Market, Place},
    stranger::Stranger,
};
use serde_json::{Value, json};

use crate::liar::{self, Lie};

/// The metric's value for a verdict; 0 where there was none.
fn recounts(place: &Place, verdict: &str) -> u64 {
    let url = format!("http://127.0.0.1:{}/metrics", place.gateway);
    let name = format!("chainference_gateway_recounts_total{{verdict=\"{verdict}\"}} ");
    let metrics = curl(&["-s", &url]);
    let line = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
    line.map_or(0, |count| count.parse().expect("a number"))
}

/// The quickstart's model, wherever the market has put it.
fn model() -> PathBuf {
    let mut folders = vec![cache().join("models")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "SmolLM2-135M-Instruct.Q4_1.gguf")
            {
                return path;
            }
        }
    }
    panic!("the quickstart's model is in no folder");
}

/// Chats of every kind, each with what it has beside a plain one.
fn kinds() -> Vec<Value> {
    let city = json!({"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"], "additionalProperties": false});
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": city}});
    let schema = json!({"type": "json_schema", "json_schema": {"name": "city", "schema": city}});
    vec![
        json!({}),
        json!({"messages": [{"role": "system", "content": "Say it in 日本語 🎌."}, {"role": "user", "content": "Ça va, Łódź? \u{200b}👩‍👩‍👧 ﷽ \u{0301}"}], "max_tokens": 40}),
        json!({"temperature": 1.4, "n": 3, "max_tokens": 24}),
        json!({"stop": [" France", "never"]}),
        json!({"logit_bias": {"81": 100}, "max_tokens": 12}),
        json!({"ignore_eos": true, "max_tokens": 90}),
        json!({"logprobs": true, "top_logprobs": 2, "max_tokens": 8}),
        json!({"response_format": schema, "max_tokens": 60}),
        json!({"tools": [tool], "tool_choice": "required", "max_tokens": 60}),
        json!({"tools": [tool], "max_tokens": 30}),
        json!({"frequency_penalty": 2, "presence_penalty": 2, "max_tokens": 400}),
        json!({"max_tokens": 1}),
    ]
}

#[test]
fn an_honest_worker_counts_as_its_tokenizer_does_whatever_is_asked() {
    let market = Market::new();
    let key = market.key();
    let kinds = kinds();
    for kind in &kinds {
        let answer = post(&market, &key, &chat(QUESTION, kind.clone()).to_string());
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
        let body = chat(QUESTION, json!({"stream": true}));
        let mut streamed = body.clone();
        streamed
            .as_object_mut()
            .expect("an object")
            .extend(kind.as_object().cloned().expect("too"));
        assert!(!stream_of(&market, "/chat/completions", &streamed).is_empty(), "{kind}");
    }
    let texts = [
        json!({"prompt": "Monday, Tuesday,", "echo": true, "n": 2, "max_tokens": 8}),
        json!({"prompt": ["One,", "Zwölf 🎌"], "max_tokens": 8}),
        json!({"prompt": [17, 81, 216], "echo": true, "max_tokens": 5}),
    ];
    for more in &texts {
        let mut body = json!({"model": MODEL, "temperature": 0});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("too"));
        let answer = post_to(&market, "/completions", &key, &body.to_string());
        assert_eq!(answer.status, 200, "{more}: {}", answer.body);
    }
    let made = 2 * kinds.len() as u64 + texts.len() as u64;
    eventually("all are counted again", 20, || {
        (recounts(&market, "right") + recounts(&market, "unknown") == made).then_some(())
    });
    assert!(recounts(&market, "right") >= made - 2, "the tokenizer is there in time");
    assert_eq!(recounts(&market, "wrong"), 0, "{}", market.log("gateway.log"));
}

#[test]
fn a_worker_that_bills_letters_or_a_longer_prompt_is_found_and_left() {
    let market = Market::new();
    let file = model();
    let file = file.to_str().expect("a path of text");
    for (lie, says) in
        [(Lie::Letters, "tokens of answer 0 are"), (Lie::Prompt, "tokens of input are")]
    {
        let liar = liar::start(lie);
        let endpoint = format!("http://{}", liar.address());
        // Cheap, so that calls go there first.
        let cheap =
            ["--price-in-per-mtok", "1000", "--price-out-per-mtok", "1000", "--charge-min", "1"];
        let worker =
            Colleague::start(&market, &[&["--worker-endpoint", &endpoint], &cheap[..]].concat());
        liar.speaks_for(&worker.place);
        let stranger = Stranger::new(&market, Place::new());
        let gateway = stranger.start("strict", &["--tokenizer", file], &[]);
        gateway.await_ready(&stranger);
        let key = stranger.place.key();
        let answer = post(&stranger.place, &key, &chat(QUESTION, json!({})).to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        let paid = &answer.body["usage"]["chainference"];
        assert_eq!(paid["worker"], worker.worker.to_string(), "{paid}");
        eventually("it is found", 20, || (recounts(&stranger.place, "wrong") == 1).then_some(()));
        let job = paid["job"].as_str().expect("a job");
        let story = eventually("the story tells it", 20, || {
            let shown = stranger.place.run(&["jobs", "show", job]);
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            shown.contains(says).then_some(shown)
        });
        assert!(story.contains("by the model's tokenizer"), "{story}");

        let billed = answer.body["usage"]["completion_tokens"].as_u64().expect("a count");
        let story = stranger.place.json(&["jobs", "show", job, "--json"]);
        let owed = |name: &str| story["calls_made"][0][name].as_u64().expect("tokens");
        match lie {
            Lie::Letters => assert!(owed("tokens_out") < billed / 2, "{billed} of {story}"),
            Lie::Prompt => {
                let billed = answer.body["usage"]["prompt_tokens"].as_u64().expect("a count");
                assert!(owed("tokens_in") <= billed, "{story}");
            }
        }
        let again = post(&stranger.place, &key, &chat(QUESTION, json!({})).to_string());
        assert_ne!(again.body["usage"]["chainference"]["worker"], worker.worker.to_string());
        assert!(
            again.body["choices"][0]["message"]["content"]
                .as_str()
                .is_some_and(|it| it.contains("Paris"))
        );
        assert_eq!(recounts(&stranger.place, "right"), 1, "the honest one is not blamed");
    }
}
