//! The HTTP surface of a running gateway whose chain is away: every bad request is answered, and
//! nothing hangs.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chainference_chain::{Commitment, Endpoints, Keypair, Signer};
use chainference_gateway::{
    GatewayError, JwksSource, JwtOptions, KeyLimits, Ledger, NewKey, Options, create_key, run,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const BODY_BYTES_MAX: usize = 4_096;

struct Gateway {
    base_url: String,
    api_key: String,
    http: Client,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), GatewayError>>,
    home: TempDir,
}

impl Gateway {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: fn(&mut Options)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let listen = free_address();
        let shutdown = CancellationToken::new();
        let mut options = options(home.path(), listen);
        change(&mut options);
        let running = tokio::spawn(run(options, shutdown.clone()));
        let base_url = format!("http://{listen}");
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        while http.get(format!("{base_url}/health")).send().await.is_err() {
            assert!(!running.is_finished(), "the gateway did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let api_key = fs::read_to_string(home.path().join("api-key")).unwrap().trim().to_owned();
        Self { base_url, api_key, http, shutdown, running, home }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.api_key)
    }

    async fn chat(&self, body: impl Into<reqwest::Body>) -> Response {
        self.post("/v1/chat/completions", body).await
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request(Method::POST, path);
        request.header("content-type", "application/json").body(body).send().await.unwrap()
    }

    /// Makes a key beside the running gateway, as the command line does.
    async fn key(&self, new: NewKey) -> (Ledger, String, String) {
        let ledger = Ledger::open(&self.home.path().join("gateway/ledger.sqlite")).await.unwrap();
        let (key, secret) = create_key(&ledger, &new, 1).await.unwrap();
        (ledger, key.id, secret)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.running).await;
        ended.expect("the shutdown takes long").unwrap().unwrap();
    }
}

fn options(home: &Path, listen: SocketAddr) -> Options {
    let key = Keypair::new();
    let key_file = home.join("gateway.json");
    fs::write(&key_file, serde_json::to_string(&key.to_bytes().to_vec()).unwrap()).unwrap();
    // Nothing listens on port 1.
    let nowhere =
        Endpoints { rpc_url: "http://127.0.0.1:1".into(), ws_url: "ws://127.0.0.1:1".into() };
    let ledger = home.join("gateway/ledger.sqlite");
    let mut options = Options::new(nowhere, key.pubkey(), key_file, home.join("api-key"), ledger);
    options.listen = listen;
    options.commitment = Commitment::Processed;
    options.body_bytes_max = BODY_BYTES_MAX;
    options
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Checks an error object: its status, its code, and that it has all four keys.
async fn check(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status().as_u16(), status, "{code}");
    assert!(response.headers().contains_key("x-request-id"), "{code}");
    assert!(response.headers().contains_key("openai-processing-ms"), "{code}");
    let body: Value = response.json().await.unwrap();
    let error = body["error"].as_object().unwrap();
    for key in ["message", "type", "param", "code"] {
        assert!(error.contains_key(key), "{code}: {key} is missing");
    }
    assert_eq!(error["code"], code);
    body["error"].clone()
}

#[tokio::test]
async fn every_bad_request_gets_an_openai_error() {
    let gateway = Gateway::start().await;
    let post = Method::POST;
    check(gateway.request(Method::GET, "/v2").send().await.unwrap(), 404, "unknown_url").await;
    let wrong = gateway.request(Method::GET, "/v1/chat/completions").send().await.unwrap();
    check(wrong, 405, "method_not_allowed").await;

    let chat = format!("{}/v1/chat/completions", gateway.base_url);
    let keyless = gateway.http.request(post.clone(), &chat).body("{}").send().await.unwrap();
    check(keyless, 401, "missing_api_key").await;
    let foreign = gateway.http.request(post, &chat).bearer_auth("sk-cf-x").send().await.unwrap();
    check(foreign, 401, "invalid_api_key").await;

    check(gateway.chat("{").await, 400, "invalid_json").await;
    check(gateway.chat(vec![b' '; BODY_BYTES_MAX + 1]).await, 413, "request_too_large").await;
    let typed = json!({"model": "m", "messages": [{"role": "user", "content": 1}]}).to_string();
    let error = check(gateway.chat(typed).await, 400, "invalid_type").await;
    assert_eq!(error["param"], "messages[0].content");
    let stored = json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
        "store": true});
    let error = check(gateway.chat(stored.to_string()).await, 400, "unsupported_parameter").await;
    assert_eq!(error["param"], "store");
    gateway.stop().await;
}

#[tokio::test]
async fn completions_and_embeddings_name_what_is_wrong() {
    let gateway = Gateway::start().await;
    for (path, body, code, param) in [
        ("/v1/completions", json!({"model": "m"}), "missing_required_parameter", "prompt"),
        ("/v1/completions", json!({"model": "m", "prompt": 1}), "invalid_type", "prompt"),
        (
            "/v1/completions",
            json!({"model": "m", "prompt": "a", "best_of": 2}),
            "unsupported_parameter",
            "best_of",
        ),
        ("/v1/embeddings", json!({"model": "m"}), "missing_required_parameter", "input"),
        ("/v1/embeddings", json!({"model": "m", "input": ["a", ""]}), "invalid_value", "input[1]"),
        (
            "/v1/embeddings",
            json!({"model": "m", "input": [[1, {}]]}),
            "invalid_type",
            "input[0][1]",
        ),
    ] {
        let error = check(gateway.post(path, body.to_string()).await, 400, code).await;
        assert_eq!(error["param"], param, "{path} {body}");
    }
    for path in ["/v1/completions", "/v1/embeddings"] {
        check(gateway.post(path, "{").await, 400, "invalid_json").await;
        let large = gateway.post(path, vec![b' '; BODY_BYTES_MAX + 1]).await;
        check(large, 413, "request_too_large").await;
        let got = gateway.request(Method::GET, path).send().await.unwrap();
        check(got, 405, "method_not_allowed").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_chain_calls_are_refused_at_once_and_say_why() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
            "stream": stream});
        let response = gateway.chat(body.to_string()).await;
        assert!(response.headers().contains_key("retry-after"));
        check(response, 503, "chain_unavailable").await;
    }
    for (path, body) in [
        ("/v1/completions", json!({"model": "m", "prompt": "a"})),
        ("/v1/embeddings", json!({"model": "m", "input": "a"})),
    ] {
        let response = gateway.post(path, body.to_string()).await;
        check(response, 503, "chain_unavailable").await;
    }
    for path in ["/v1/models", "/v1/models/a/b", "/v1/chainference/balance"] {
        let response = gateway.request(Method::GET, path).send().await.unwrap();
        check(response, 503, "chain_unavailable").await;
    }
    let ready = gateway.http.get(format!("{}/ready", gateway.base_url)).send().await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
    let parts: Value = ready.json().await.unwrap();
    assert_eq!((&parts["ready"], &parts["ledger"]), (&json!(false), &json!("ok")));
    assert_ne!(parts["chain"], "ok");

    let jobs = gateway.request(Method::GET, "/v1/chainference/jobs").send().await.unwrap();
    assert_eq!(jobs.json::<Value>().await.unwrap()["data"], json!([]));
    let metrics = gateway.http.get(format!("{}/metrics", gateway.base_url)).send().await.unwrap();
    let text = metrics.text().await.unwrap();
    assert!(text.contains("chainference_gateway_calls_total{status=\"failed\"}"), "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_keeps_the_id_that_its_client_gave_it() {
    let gateway = Gateway::start().await;
    let given =
        |id: &'static str| gateway.request(Method::GET, "/health").header("x-request-id", id);
    let plain = given("mine-1").send().await.unwrap();
    assert_eq!(plain.headers()["x-request-id"], "mine-1");
    let odd = given("not an id").send().await.unwrap();
    assert!(odd.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_start_says_why() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = options(home.path(), taken.local_addr().unwrap());
    let error = run(options.clone(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, GatewayError::Listen { .. }), "{error}");

    fs::write(&options.gateway_key_file, "[1, 2]").unwrap();
    let error = run(options.clone(), CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, GatewayError::GatewayKey { .. }), "{error}");
    fs::write(&options.api_key_file, "\n").unwrap();
    let error = run(options, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, GatewayError::ApiKey(_)), "{error}");
}

#[tokio::test]
async fn a_key_made_beside_the_gateway_opens_it_at_once_and_a_revoked_one_no_more() {
    let gateway = Gateway::start().await;
    let (ledger, id, secret) = gateway.key(NewKey { name: "a".into(), ..NewKey::default() }).await;
    let spend = format!("{}/v1/chainference/spend", gateway.base_url);
    let asked = || gateway.http.get(&spend).bearer_auth(&secret).send();
    let told: Value = asked().await.unwrap().json().await.unwrap();
    assert_eq!((&told["key_id"], &told["data"]), (&json!(id), &json!([])));
    let jobs = format!("{}/v1/chainference/jobs", gateway.base_url);
    let jobs = gateway.http.get(jobs).bearer_auth(&secret).send().await.unwrap();
    assert_eq!(jobs.json::<Value>().await.unwrap()["data"], json!([]), "it made no call yet");
    assert!(ledger.revoke_key(&id, 2).await.unwrap());
    let error = check(asked().await.unwrap(), 401, "invalid_api_key").await;
    assert!(error["message"].as_str().unwrap().contains("revoked"));
    for path in ["spend?days=0", "spend?days=x", "jobs?limit=0", "jobs?limit=1001"] {
        let asked = gateway.request(Method::GET, &format!("/v1/chainference/{path}"));
        check(asked.send().await.unwrap(), 400, "invalid_value").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn jobs_that_are_not_known_are_not_found_and_verdicts_name_what_is_wrong() {
    let gateway = Gateway::start().await;
    let get = |path: &str| gateway.request(Method::GET, &format!("/v1/chainference/{path}")).send();
    check(get("jobs/J").await.unwrap(), 404, "job_not_found").await;
    check(get("receipts?job=J").await.unwrap(), 404, "job_not_found").await;
    let error = check(get("receipts").await.unwrap(), 400, "missing_required_parameter").await;
    assert_eq!(error["param"], "job");
    for (path, body, status, code, param) in [
        ("feedback", json!({"job": "J", "verdict": "ok"}), 404, "job_not_found", "job"),
        ("feedback", json!({"job": "J", "verdict": "x"}), 400, "invalid_value", "verdict"),
        ("feedback", json!({"job": 1, "verdict": "ok"}), 400, "invalid_type", "job"),
        ("compare", json!({"jobs": ["J"], "preferred": "J"}), 400, "invalid_value", "jobs"),
        ("compare", json!({"jobs": ["J", "K"], "preferred": "K"}), 404, "job_not_found", "jobs"),
    ] {
        let answer = gateway.post(&format!("/v1/chainference/{path}"), body.to_string()).await;
        assert_eq!(check(answer, status, code).await["param"], param, "{path} {body}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_token_of_the_trusted_issuer_may_do_what_the_key_that_it_names_may() {
    let gateway = Gateway::start_with(|options| {
        options.jwt = Some(JwtOptions {
            jwks: JwksSource::File(options.api_key_file.with_file_name("jwks.json")),
            issuer: "https://issuer.example".into(),
            audience: "chainference".into(),
            key_claim: "chainference_key".into(),
        });
    })
    .await;
    let signer = Signing::new();
    let spend = format!("{}/v1/chainference/spend", gateway.base_url);
    let ask = |name: &str| gateway.http.get(&spend).bearer_auth(signer.token(name)).send();
    fs::write(gateway.home.path().join("jwks.json"), signer.jwks().to_string()).unwrap();
    check(ask("alice").await.unwrap(), 401, "invalid_api_key").await;
    let new = NewKey { name: "alice".into(), ..NewKey::default() };
    let (ledger, id, _) = gateway.key(new).await;
    for name in ["alice", &id] {
        let told: Value = ask(name).await.unwrap().json().await.unwrap();
        assert_eq!(told["key_id"], id);
    }
    check(ask("default").await.unwrap(), 401, "invalid_api_key").await;
    assert!(ledger.revoke_key(&id, 2).await.unwrap());
    check(ask(&id).await.unwrap(), 401, "invalid_api_key").await;
    let own = gateway.request(Method::GET, "/v1/chainference/spend").send().await.unwrap();
    assert_eq!(own.status().as_u16(), 200, "keys go on as before");
    gateway.stop().await;
}

/// An issuer of tokens.
struct Signing(EcdsaKeyPair);

impl Signing {
    fn new() -> Self {
        let (rng, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap())
    }

    fn jwks(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y}]})
    }

    fn token(&self, key: &str) -> String {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        let claims = json!({"iss": "https://issuer.example", "aud": ["chainference"],
            "exp": since.as_secs() + 60, "chainference_key": key});
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "k"});
        let part = |value: Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64.encode(signature))
    }
}

#[tokio::test]
async fn a_key_is_held_to_its_requests_a_minute_and_told_so_on_every_answer() {
    let gateway = Gateway::start().await;
    let limits = KeyLimits { requests_per_min: Some(2), ..KeyLimits::default() };
    let new = NewKey { name: "slow".into(), limits, ..NewKey::default() };
    let (_, _, secret) = gateway.key(new).await;
    let chat = format!("{}/v1/chat/completions", gateway.base_url);
    let post = || gateway.http.post(&chat).bearer_auth(&secret).body("{").send();
    for left in ["1", "0"] {
        let response = post().await.unwrap();
        assert_eq!(response.headers()["x-ratelimit-limit-requests"], "2");
        assert_eq!(response.headers()["x-ratelimit-remaining-requests"], left);
        check(response, 400, "invalid_json").await;
    }
    let response = post().await.unwrap();
    let wait = response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert!(response.headers()["x-ratelimit-reset-requests"].to_str().unwrap().ends_with('s'));
    check(response, 429, "rate_limit_exceeded").await;
    // Looking is free, and other keys have their own rates.
    let models = format!("{}/v1/models", gateway.base_url);
    let looked = gateway.http.get(models).bearer_auth(&secret).send().await.unwrap();
    check(looked, 503, "chain_unavailable").await;
    let other = gateway.chat("{").await;
    assert!(!other.headers().contains_key("x-ratelimit-limit-requests"));
    check(other, 400, "invalid_json").await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_frees_what_cost_nothing_and_refuses_a_bad_name() {
    let gateway = Gateway::start().await;
    let post = |name: &str, body: Value| {
        let request = gateway.request(Method::POST, "/v1/chat/completions");
        request.header("idempotency-key", name).body(body.to_string()).send()
    };
    let body = |text| json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    for text in ["a", "a", "b"] {
        // Nothing was paid while the chain is away, so that the key stands for nothing yet.
        check(post("once", body(text)).await.unwrap(), 503, "chain_unavailable").await;
    }
    let long = "x".repeat(256);
    check(post(&long, body("a")).await.unwrap(), 400, "invalid_idempotency_key").await;
    let large = json!({"text": "x".repeat(BODY_BYTES_MAX)});
    check(post("large", large).await.unwrap(), 413, "request_too_large").await;
    gateway.stop().await;
}

#[tokio::test]
async fn hundreds_of_sockets_that_trickle_their_headers_disturb_nobody() {
    let gateway = Gateway::start_with(|options| options.connections_max = 64).await;
    let address = gateway.base_url.trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        slow.push(socket);
    }
    for _ in 0..10 {
        let health = gateway.http.get(format!("{}/health", gateway.base_url)).send().await.unwrap();
        assert_eq!(health.status().as_u16(), 200);
        check(gateway.chat("{").await, 400, "invalid_json").await;
    }
    // The first came too long ago: it had to make room.
    let mut rest = Vec::new();
    let ended = slow[0].read_to_end(&mut rest).await;
    assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
    drop(slow);
    gateway.stop().await;
}

#[tokio::test]
async fn responses_and_messages_name_what_is_wrong_each_in_its_form() {
    let gateway = Gateway::start().await;
    let body = json!({"model": "m", "input": "a", "previous_response_id": "resp_1"}).to_string();
    let error =
        check(gateway.post("/v1/responses", body).await, 400, "unsupported_parameter").await;
    assert_eq!(error["param"], "previous_response_id");
    let unknown = gateway.request(Method::GET, "/v1/responses/resp_1").send().await.unwrap();
    check(unknown, 404, "response_not_found").await;

    let message = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]});
    let url = format!("{}/v1/messages", gateway.base_url);
    let with = |key: &str| gateway.http.post(&url).header("x-api-key", key);
    for (request, status, kind) in [
        (with(&gateway.api_key).body(message.to_string()), 400, "invalid_request_error"),
        (with("sk-cf-x").body("{}"), 401, "authentication_error"),
        (gateway.http.get(&url).bearer_auth(&gateway.api_key), 405, "invalid_request_error"),
        (with(&gateway.api_key).body(vec![b' '; BODY_BYTES_MAX + 1]), 413, "request_too_large"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{kind}");
        let id = response.headers()["request-id"].to_str().unwrap().to_owned();
        assert_eq!(id, response.headers()["x-request-id"].to_str().unwrap());
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
        assert_eq!(body["request_id"], id);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_description_is_open_to_anyone() {
    let gateway = Gateway::start().await;
    let url = format!("{}/openapi.json", gateway.base_url);
    let document: Value = gateway.http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["info"]["title"], "Chainference gateway");
    assert!(document["paths"]["/v1/responses"]["post"]["requestBody"].is_object());
    gateway.stop().await;
}
