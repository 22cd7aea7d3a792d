//! A gateway without a market, and servers of its operator's own that do what servers do on bad days.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::any,
};
use chainference_chain::{Endpoints, Keypair, Signer};
use chainference_gateway::{
    GatewayError, KeyLimits, Ledger, NewKey, Options, UpstreamOptions, create_key, run,
};
use futures_util::{StreamExt, stream};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What a scripted server is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Well,
    /// An error of this status.
    Error(u16),
    /// Two pieces, then an error in OpenAI's form.
    ErrorInStream,
    /// Two pieces, then nothing but the end of the connection.
    BreaksOff,
    /// Two pieces, then nothing for ever.
    Stalls,
}

struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Script,
    /// What calls have come: path, key, body.
    calls: Mutex<Vec<(String, String, Value)>>,
    left: AtomicBool,
}

/// Set when its stream is dropped.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::SeqCst);
    }
}

impl Upstream {
    async fn start(script: Script) -> Self {
        let shared =
            Arc::new(Shared { script, calls: Mutex::default(), left: AtomicBool::default() });
        let router = Router::new().fallback(any(serve)).with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn options(&self) -> UpstreamOptions {
        UpstreamOptions { url: self.url(), ..UpstreamOptions::default() }
    }

    fn calls(&self) -> Vec<(String, String, Value)> {
        self.shared.calls.lock().unwrap().clone()
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    if path == "/v1/models" {
        return json!({"data": [{"id": "Own/Model", "max_model_len": 64}]})
            .to_string()
            .into_response();
    }
    let key = headers.get("authorization").map_or("", |key| key.to_str().unwrap()).to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let is_streamed = body["stream"] == true;
    shared.calls.lock().unwrap().push((path.clone(), key, body));
    if let Script::Error(status) = shared.script {
        let error = json!({"error": {"message": "no: it is cold", "param": "messages[0]"}});
        return (StatusCode::from_u16(status).unwrap(), error.to_string()).into_response();
    }
    if path.ends_with("/embeddings") {
        let data = json!([{"index": 0, "embedding": [0.5, -1.0]}]);
        return json!({"data": data, "usage": {"prompt_tokens": 3}}).to_string().into_response();
    }
    if is_streamed { streamed(shared) } else { whole(&path).into_response() }
}

const USAGE: &str = r#"{"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}"#;

fn whole(path: &str) -> String {
    let usage: Value = serde_json::from_str(USAGE).unwrap();
    let choice = if path.ends_with("/chat/completions") {
        json!({"index": 0, "finish_reason": "stop", "message": {"content": "Hello."}})
    } else {
        json!({"index": 0, "finish_reason": "length", "text": "Hello."})
    };
    json!({"choices": [choice], "usage": usage}).to_string()
}

fn streamed(shared: Arc<Shared>) -> Response {
    let said = |text: &str| {
        let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let mut pieces = vec![said("Hel"), said("lo.")];
    match shared.script {
        Script::ErrorInStream => pieces.push(format!("data: {}\n\n", json!({"error": "boom"}))),
        Script::BreaksOff | Script::Stalls => {}
        _ => {
            let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
            pieces.push(format!("data: {end}\n\n"));
            pieces.push(format!("data: {{\"choices\": [], \"usage\": {USAGE}}}\n\n"));
            pieces.push("data: [DONE]\n\n".to_owned());
        }
    }
    let stalls = shared.script == Script::Stalls;
    let leaving = Leaving(shared);
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
    let held = stream::once(async move {
        if stalls {
            std::future::pending::<()>().await;
        }
        drop(leaving);
        Ok(String::new())
    });
    Body::from_stream(pieces.chain(held)).into_response()
}

struct Gateway {
    base_url: String,
    api_key: String,
    http: Client,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), GatewayError>>,
    home: TempDir,
}

impl Gateway {
    async fn start(upstreams: Vec<UpstreamOptions>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nowhere =
            Endpoints { rpc_url: "http://127.0.0.1:1".into(), ws_url: "ws://127.0.0.1:1".into() };
        let path = |name: &str| home.path().join(name);
        // There is no key file: a gateway without a market needs none.
        let mut options = Options::new(
            nowhere,
            Keypair::new().pubkey(),
            path("gateway.json"),
            path("api-key"),
            path("gateway/ledger.sqlite"),
        );
        options.listen = listen;
        options.upstreams = upstreams;
        options.market = false;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(options, shutdown.clone()));
        let base_url = format!("http://{listen}");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        while http.get(format!("{base_url}/health")).send().await.is_err() {
            assert!(!running.is_finished(), "the gateway did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let api_key = fs::read_to_string(path("api-key")).unwrap().trim().to_owned();
        Self { base_url, api_key, http, shutdown, running, home }
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("{}{path}", self.base_url);
        self.http.post(url).bearer_auth(&self.api_key).body(body.to_string())
    }

    /// The status and the JSON that it answers with.
    async fn asked(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn got(&self, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.base_url)).bearer_auth(&self.api_key);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The text of a stream.
    async fn streamed(&self, path: &str, body: &Value) -> String {
        let response = self.post(path, body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        response.text().await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.running).await;
        ended.expect("the shutdown takes long").unwrap().unwrap();
    }
}

const CHAT: &str = "/v1/chat/completions";

fn chat(more: Value) -> Value {
    let mut body = json!({"model": "own/model", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn without_a_chain_every_endpoint_serves_what_upstreams_have() {
    let upstream = Upstream::start(Script::Well).await;
    let gateway = Gateway::start(vec![upstream.options()]).await;
    let name = upstream.address.to_string();
    let (status, ready) = gateway.got("/ready").await;
    let expected = json!({"ready": true, "ledger": "ok", "upstreams": {name.as_str(): "ok"}});
    assert_eq!((status, ready), (200, expected));
    let (_, models) = gateway.got("/v1/models").await;
    let model = &models["data"][0];
    assert_eq!((&model["id"], &model["context_length"]), (&json!("Own/Model"), &json!(64)));
    assert_eq!(model["upstreams"], json!([name]));
    assert_eq!(gateway.got("/v1/models/own/model").await.1["id"], "Own/Model");

    let response = gateway.post(CHAT, &chat(json!({}))).send().await.unwrap();
    let headers = response.headers().clone();
    assert_eq!(headers["x-chainference-worker"], format!("upstream {name}"));
    assert_eq!(headers["x-chainference-cost"], "0");
    assert!(!headers.contains_key("x-chainference-job"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello.");
    assert_eq!(
        (&answer["model"], &answer["usage"]["total_tokens"]),
        (&json!("Own/Model"), &json!(9))
    );

    let stream = json!({"stream": true, "stream_options": {"include_usage": true}});
    let text = gateway.streamed(CHAT, &chat(stream)).await;
    let parts = [
        "\"role\":\"assistant\"",
        "\"Hel\"",
        "\"lo.\"",
        "\"stop\"",
        "\"total_tokens\":9",
        "[DONE]",
    ];
    let places: Vec<_> = parts.iter().map(|part| text.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{text}");

    let body = json!({"model": "Own/Model", "prompt": "a"});
    let (_, completion) = gateway.asked("/v1/completions", &body).await;
    assert_eq!(completion["choices"][0]["text"], "Hello.");
    let body = json!({"model": "Own/Model", "input": "a"});
    let (_, vectors) = gateway.asked("/v1/embeddings", &body).await;
    assert_eq!(vectors["data"][0]["embedding"], json!([0.5, -1.0]));
    let (_, response) = gateway.asked("/v1/responses", &body).await;
    assert_eq!(response["output"][0]["content"][0]["text"], "Hello.");
    let message = chat(json!({"max_tokens": 5}));
    let (_, answer) = gateway.asked("/v1/messages", &message).await;
    assert_eq!(
        (&answer["content"][0]["text"], &answer["usage"]["output_tokens"]),
        (&json!("Hello."), &json!(2))
    );
    let (status, counted) = gateway.asked("/v1/messages/count_tokens", &message).await;
    assert!(status == 200 && counted["input_tokens"].as_u64() > Some(0), "{counted}");

    let unknown = chat(json!({"model": "none"}));
    let (status, error) = gateway.asked(CHAT, &unknown).await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("model_not_found")));
    let (status, error) = gateway.got("/v1/chainference/balance").await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("no_market")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_goes_on_as_it_was_sent_with_the_upstreams_own_key() {
    let upstream = Upstream::start(Script::Well).await;
    let dir = tempfile::tempdir().unwrap();
    let key_file = dir.path().join("key");
    fs::write(&key_file, "sk-theirs\n").unwrap();
    let options = UpstreamOptions {
        key_file: Some(key_file),
        models: vec!["named".into()],
        ..upstream.options()
    };
    let gateway = Gateway::start(vec![options]).await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}});
    let messages = json!([{"role": "user", "content": [image]}]);
    let body = json!({"messages": messages, "model": "NAMED", "n_predict": 5, "cache_prompt": false,
        "stream_options": null});
    let (status, answer) = gateway.asked(CHAT, &body).await;
    assert_eq!((status, &answer["model"]), (200, &json!("named")));
    let (path, key, sent) = upstream.calls().remove(0);
    assert_eq!((path.as_str(), key.as_str()), ("/v1/chat/completions", "Bearer sk-theirs"));
    let expected = json!({"model": "named", "stream": false, "messages": messages, "n_predict": 5,
        "cache_prompt": false});
    assert_eq!(sent, expected);
    gateway.stop().await;
}

#[tokio::test]
async fn one_that_fails_is_followed_by_the_next_unseen() {
    let away = UpstreamOptions {
        url: "http://127.0.0.1:1/v1".into(),
        models: vec!["Own/Model".into()],
        key_file: None,
    };
    let (broken, well) =
        (Upstream::start(Script::Error(500)).await, Upstream::start(Script::Well).await);
    let gateway = Gateway::start(vec![away, broken.options(), well.options()]).await;
    for stream in [false, true] {
        let response = gateway.post(CHAT, &chat(json!({"stream": stream}))).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let worker = response.headers()["x-chainference-worker"].to_str().unwrap().to_owned();
        assert_eq!(worker, format!("upstream {}", well.address));
    }
    assert_eq!(broken.calls().len(), 1, "who has failed is asked last for a while");
    let (status, ready) = gateway.got("/ready").await;
    assert_eq!(status, 200, "one is enough");
    assert_ne!(ready["upstreams"]["127.0.0.1:1"], "ok");
    let metrics = gateway.http.get(format!("{}/metrics", gateway.base_url)).send().await.unwrap();
    let text = metrics.text().await.unwrap();
    let line = format!(
        "chainference_gateway_upstream_failures_total{{upstream=\"{}\"}} 1",
        broken.address
    );
    assert!(text.contains(&line), "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_an_upstream_refuses_or_fails_at_is_told_in_openais_form() {
    for (script, status, code, says) in [
        (Script::Error(400), 400, Value::Null, "it is cold"),
        (Script::Error(401), 502, json!("upstream_failed"), "operator"),
        (Script::Error(429), 429, json!("upstream_busy"), "busy"),
        (Script::Error(500), 502, json!("upstream_failed"), "it is cold"),
        (Script::Error(503), 503, json!("upstream_unavailable"), "not ready"),
    ] {
        let upstream = Upstream::start(script).await;
        let gateway = Gateway::start(vec![upstream.options()]).await;
        for stream in [false, true] {
            let (found, body) = gateway.asked(CHAT, &chat(json!({"stream": stream}))).await;
            let error = body["error"].as_object().unwrap();
            assert_eq!((found, &error["code"]), (status, &code), "{script:?}");
            assert!(error["message"].as_str().unwrap().contains(says), "{error:?}");
            assert!(error.contains_key("param") && error.contains_key("type"));
        }
        if script == Script::Error(500) {
            let wrong = chat(json!({"messages": [{"role": "user", "content": 1}]}));
            let (status, body) = gateway.asked(CHAT, &wrong).await;
            assert_eq!((status, &body["error"]["param"]), (400, &json!("messages[0].content")));
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_named_until_it_is_back() {
    let upstream = Upstream::start(Script::Well).await;
    let gateway = Gateway::start(vec![upstream.options()]).await;
    assert_eq!(gateway.asked(CHAT, &chat(json!({}))).await.0, 200);
    let (address, options) = (upstream.address, upstream.options());
    upstream.task.abort();
    drop(upstream.task.await);
    // Its kept connection may still be served; a new one is not.
    let unheard = Gateway::start(vec![options.clone()]).await;
    let (status, body) = unheard.asked(CHAT, &chat(json!({}))).await;
    assert_eq!(status, 503, "what it serves is not known yet: {body}");
    unheard.stop().await;
    let fresh =
        Gateway::start(vec![UpstreamOptions { models: vec!["own/model".into()], ..options }]).await;
    let (status, body) = fresh.asked(CHAT, &chat(json!({}))).await;
    assert_eq!((status, &body["error"]["code"]), (503, &json!("upstream_unavailable")));
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(&address.to_string()), "{message}");
    assert_eq!(fresh.got("/ready").await.0, 503);
    let listener = TcpListener::bind(address).await.unwrap();
    let shared = Arc::new(Shared {
        script: Script::Well,
        calls: Mutex::default(),
        left: AtomicBool::default(),
    });
    let router = Router::new().fallback(any(serve)).with_state(shared);
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    assert_eq!(fresh.asked(CHAT, &chat(json!({}))).await.0, 200, "it is tried all the same");
    while fresh.got("/ready").await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    task.abort();
    fresh.stop().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_and_no_mark() {
    for script in [Script::ErrorInStream, Script::BreaksOff] {
        let upstream = Upstream::start(script).await;
        let gateway = Gateway::start(vec![upstream.options()]).await;
        let text = gateway.streamed(CHAT, &chat(json!({"stream": true}))).await;
        assert!(text.contains("\"lo.\"") && text.contains("data: {\"error\":"), "{text}");
        assert!(!text.contains("[DONE]") && text.contains(&upstream.address.to_string()), "{text}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_upstreams_call_with_it() {
    let upstream = Upstream::start(Script::Stalls).await;
    let gateway = Gateway::start(vec![upstream.options()]).await;
    let response = gateway.post(CHAT, &chat(json!({"stream": true}))).send().await.unwrap();
    let mut pieces = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("lo.") {
        text.push_str(&String::from_utf8_lossy(&pieces.next().await.unwrap().unwrap()));
    }
    assert!(!upstream.shared.left.load(Ordering::SeqCst));
    drop(pieces);
    let gone = async {
        while !upstream.shared.left.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it is still served");
    gateway.stop().await;
}

#[tokio::test]
async fn keys_are_held_to_their_models_and_tokens_here_too() {
    let upstream = Upstream::start(Script::Well).await;
    let gateway = Gateway::start(vec![upstream.options()]).await;
    let ledger = Ledger::open(&gateway.home.path().join("gateway/ledger.sqlite")).await.unwrap();
    let limits = KeyLimits { tokens_per_min: Some(100), ..KeyLimits::default() };
    let new = |name: &str, models: &[&str], limits: &KeyLimits| NewKey {
        name: name.into(),
        models: models.iter().map(|&model| model.to_owned()).collect(),
        limits: limits.clone(),
        ..NewKey::default()
    };
    let (_, other) =
        create_key(&ledger, &new("other", &["x/*"], &KeyLimits::default()), 1).await.unwrap();
    let (_, slow) = create_key(&ledger, &new("slow", &["own/*"], &limits), 1).await.unwrap();
    let post = |key: &str, body: Value| {
        let request = gateway.http.post(format!("{}{CHAT}", gateway.base_url)).bearer_auth(key);
        request.body(body.to_string()).send()
    };
    let refused = post(&other, chat(json!({}))).await.unwrap();
    assert_eq!(refused.status().as_u16(), 403);
    let models = gateway.http.get(format!("{}/v1/models", gateway.base_url)).bearer_auth(&other);
    let models: Value = models.send().await.unwrap().json().await.unwrap();
    assert_eq!(models["data"], json!([]));

    // What was taken for the call is given back but for the nine tokens that it used.
    for _ in 0..3 {
        let served = post(&slow, chat(json!({"max_tokens": 10}))).await.unwrap();
        assert_eq!(served.status().as_u16(), 200);
        served.bytes().await.unwrap();
    }
    let last = post(&slow, chat(json!({"max_tokens": 60}))).await.unwrap();
    assert_eq!(last.status().as_u16(), 429);
    assert_eq!(last.headers()["x-ratelimit-limit-tokens"], "100");
    gateway.shutdown.cancel();
    gateway.running.await.unwrap().unwrap();
    // What was served is written down at the end, if not before.
    let spend = ledger.spend(None, 0).await.unwrap();
    let [own] = &spend[..] else { panic!("{spend:?}") };
    assert_eq!((own.key_name.as_deref(), own.model.as_str()), (Some("slow"), "Own/Model"));
    assert_eq!((own.calls, own.tokens_in, own.tokens_out, own.cost_lamports), (3, 21, 6, 0));
}
