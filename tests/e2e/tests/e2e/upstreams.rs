//! A gateway without a chain in front of a server that speaks OpenAI's API: another gateway, with a market behind it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

use chainference_e2e::{
    MODEL,
    client::{QUESTION, Sdk, chat, curl, post, post_to, sdk, stream_of},
    eventually,
    market::{Market, Place},
    process,
    schemas::Answers,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A gateway of its own home whose only upstream is a market's gateway.
struct Front {
    place: Place,
    gateway: Child,
}

impl Front {
    fn of(market: &Market) -> Self {
        let place = Place::new();
        let key_file = place.home().join("upstream.key");
        fs::write(&key_file, market.key()).expect("a key file");
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("its mode");
        let settings = format!(
            "[gateway]\nlisten = \"127.0.0.1:{}\"\n[[gateway.upstream]]\nurl = \"{}\"\nkey_file = \"{}\"\n",
            place.gateway,
            market.base_url(),
            key_file.display()
        );
        fs::write(place.home().join("config.toml"), settings).expect("settings");
        let log = File::create(place.home().join("gateway.out")).expect("a file");
        let mut command = place.command(&["gateway"]);
        let gateway = command.stdout(Stdio::null()).stderr(log).spawn().expect("a gateway");
        let front = Self { place, gateway };
        eventually("it is ready", 30, || (front.ready()["ready"] == true).then_some(()));
        front
    }

    fn ready(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/ready", self.place.gateway);
        serde_json::from_str(&curl(&["-s", &url])).unwrap_or(Value::Null)
    }

    fn got(&self, path: &str) -> Value {
        let key = format!("authorization: Bearer {}", self.place.key());
        let url = format!("{}{path}", self.place.base_url());
        serde_json::from_str(&curl(&["-s", &url, "-H", &key])).expect("JSON")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = process::try_send(self.gateway.id(), Signal::SIGTERM);
        let _ = self.gateway.wait();
    }
}

/// The body once more, streamed with its usage.
fn streamed(body: &Value) -> Value {
    let mut body = body.clone();
    body["stream"] = json!(true);
    body
}

#[test]
fn official_clients_are_served_by_a_gateway_without_a_chain() {
    let market = Market::new();
    let front = Front::of(&market);
    let upstream = format!("127.0.0.1:{}", market.gateway);
    let expected = json!({"ready": true, "ledger": "ok", "upstreams": {upstream.as_str(): "ok"}});
    assert_eq!(front.ready(), expected, "nothing of a chain is asked for");

    let body = chat(QUESTION, json!({}));
    for client in [Sdk::Python, Sdk::Node] {
        for what in ["plain", "stream"] {
            let through = sdk(&front.place, client, what, &body);
            let straight = sdk(&market, client, what, &body);
            for same in ["content", "finish_reason", "role", "object"] {
                assert_eq!(through[same], straight[same], "{client:?} {what}: {through}");
            }
            let tokens = |answer: &Value| answer["usage"]["total_tokens"].clone();
            assert!(
                tokens(&through).is_u64() && tokens(&through) == tokens(&straight),
                "{through}"
            );
        }
        let models = sdk(&front.place, client, "models", &json!({}));
        assert_eq!(models["ids"], json!([MODEL]));
    }
    let message = json!({"model": MODEL, "max_tokens": 60, "temperature": 0,
        "messages": [{"role": "user", "content": QUESTION}]});
    for what in ["message", "message_stream"] {
        let answer = sdk(&front.place, Sdk::Anthropic, what, &message);
        let text = answer["content"][0]["text"].as_str().expect("a text");
        assert!(text.contains("Paris"), "{what}: {answer}");
    }
    assert_eq!(front.place.jobs(), Vec::<Value>::new(), "the market's own gateway has paid");
    assert!(!market.used_jobs().is_empty());
}

#[test]
fn a_home_with_upstreams_alone_is_looked_at_without_a_chain() {
    let market = Market::new();
    let front = Front::of(&market);
    let place = &front.place;
    let upstream = format!("127.0.0.1:{}", market.gateway);
    let status = place.json(&["status", "--json"]);
    assert_eq!((&status["ready"], &status["gateway"]), (&json!(true), &json!(true)), "{status}");
    assert_eq!(status["upstreams"], json!({upstream.as_str(): "ok"}));
    for of_a_market in ["chain", "worker", "rpc_url", "ws_url", "program_id"] {
        assert!(status[of_a_market].is_null(), "{of_a_market}: {status}");
    }
    let said = |command: &str, succeeds: bool| {
        let output = place.run(&[command]);
        assert_eq!(output.status.success(), succeeds, "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for command in ["status", "doctor"] {
        let said = said(command, true);
        assert!(said.contains(&upstream) && said.contains("upstreams alone"), "{said}");
        assert!(!said.contains('✗') && !said.contains("program"), "{said}");
    }
    let log = fs::read_to_string(place.home().join("gateway.out")).expect("a log");
    assert!(log.contains("the gateway is ready") && !log.contains("vault"), "{log}");

    drop(market);
    eventually("its end is noticed", 30, || (front.ready()["ready"] == false).then_some(()));
    assert!(said("doctor", false).contains(&format!("✗ upstream {upstream}")));
    assert!(said("status", true).contains(&format!("✗ upstream  {upstream}")));
}

#[test]
fn what_comes_through_an_upstream_fits_the_schemas() {
    let market = Market::new();
    let front = Front::of(&market);
    let place = &front.place;
    let whole =
        |path: &str, body: &Value| post_to(place, path, &place.key(), &body.to_string()).body;
    let mut answers = Answers::default();
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}},
        "required": ["city"], "additionalProperties": false});
    let function = json!({"name": "get_weather", "parameters": parameters});
    for more in [
        json!({"max_tokens": 20, "logprobs": true, "top_logprobs": 2, "n": 2}),
        json!({"tools": [{"type": "function", "function": function}], "tool_choice": "required"}),
    ] {
        let body = chat(QUESTION, more);
        answers.openai("CreateChatCompletionResponse", whole("/chat/completions", &body));
        let chunks = stream_of(place, "/chat/completions", &streamed(&body));
        assert!(chunks.len() > 3, "{chunks:?}");
        for chunk in chunks {
            answers.openai("CreateChatCompletionStreamResponse", chunk);
        }
    }
    let body = json!({"model": MODEL, "prompt": "One, two,", "logprobs": 1, "temperature": 0});
    let completion = whole("/completions", &body);
    let straight = post_to(&market, "/completions", &market.key(), &body.to_string()).body;
    let (through, straight) = (&completion["choices"][0], &straight["choices"][0]);
    for same in ["/text", "/finish_reason", "/logprobs/tokens", "/logprobs/text_offset"] {
        assert_eq!(through.pointer(same), straight.pointer(same), "{same}: {completion}");
    }
    answers.openai("CreateCompletionResponse", completion);
    answers.openai("ListModelsResponse", front.got("/models"));
    let body = json!({"model": MODEL, "input": QUESTION, "temperature": 0,
        "include": ["message.output_text.logprobs"], "top_logprobs": 2});
    answers.openai("Response", whole("/responses", &body));
    for event in stream_of(place, "/responses", &streamed(&body)) {
        answers.openai("ResponseStreamEvent", event);
    }
    let message = json!({"model": MODEL, "max_tokens": 20,
        "messages": [{"role": "user", "content": QUESTION}]});
    answers.anthropic("Message", whole("/messages", &message));
    for event in stream_of(place, "/messages", &streamed(&message)) {
        answers.anthropic("MessageStreamEvent", event);
    }
    let refused = post(place, &place.key(), &chat("a", json!({"store": true})).to_string());
    assert_eq!((refused.status, &refused.body["error"]["param"]), (400, &json!("store")));
    answers.openai("ErrorResponse", refused.body);
    answers.check();
}

#[test]
fn an_upstream_killed_in_a_stream_is_an_error_and_its_return_is_noticed() {
    let market = Market::new();
    let front = Front::of(&market);
    let more = json!({"max_tokens": 1_500, "ignore_eos": true, "stream": true});
    let story = chat("Tell me a long story about a lighthouse.", more).to_string();
    let mut reader = Command::new("curl")
        .args(["-sN", "--max-time", "120", "-d", &story])
        .args(["-H", &format!("authorization: Bearer {}", front.place.key())])
        .arg(format!("{}/chat/completions", front.place.base_url()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl");
    let mut lines = BufReader::new(reader.stdout.take().expect("its output")).lines();
    let is_piece = |line: &String| line.contains("\"content\"");
    assert_eq!(lines.by_ref().map_while(Result::ok).filter(is_piece).take(20).count(), 20);
    market.kill_part("gateway");
    let rest = lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
    reader.wait().expect("it ends");
    let error = rest.trim_end().lines().next_back().unwrap_or_default();
    assert!(error.starts_with("data: {\"error\"") && error.contains("upstream"), "{rest}");

    let body = chat(QUESTION, json!({})).to_string();
    let answer = eventually("the upstream is back", 60, || {
        Some(post(&front.place, &front.place.key(), &body)).filter(|answer| answer.status == 200)
    });
    assert_eq!(answer.body["choices"][0]["message"]["content"], "The capital of France is Paris.");
}
