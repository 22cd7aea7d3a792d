//! A node of the chain that misbehaves as it is told: everything it is asked goes to a real one, and some of
//! it is lost, late, twice, or denied on the way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// How a node misbehaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Nothing is answered at all.
    pub away: bool,
    /// One in so many requests is lost on its way there, one in so many answers on its way back; 0: none.
    pub drop_one_in: u32,
    /// Each request waits for up to so long.
    pub delay_max: Duration,
    /// Each transaction is sent twice.
    pub duplicate: bool,
    /// So long after a signature was first asked for, it is not found, though it has landed.
    pub forget_for: Duration,
}

/// A running proxy; it ends when it is dropped.
pub struct RpcProxy {
    url: String,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    faults: Mutex<Faults>,
    random: Mutex<StdRng>,
    asked_first: Mutex<HashMap<String, Instant>>,
    seen: Mutex<HashMap<String, usize>>,
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Lost;

impl RpcProxy {
    /// In front of the node at that URL, without any fault at first. `seed` decides what is lost.
    pub fn start(upstream: &str, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client: reqwest::Client::new(),
            faults: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            asked_first: Mutex::default(),
            seen: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                bound.send(listener.local_addr().expect("bound")).expect("somebody waits");
                tokio::select! { () = serve(listener, serving) => {}, _ = stopped => {} }
            });
        });
        let url = format!("http://{}", address.recv().expect("it listens"));
        Self { url, shared, _stop: stop }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on.
    pub fn set(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// How often a method has been asked for.
    pub fn seen(&self, method: &str) -> usize {
        lock(&self.shared.seen).get(method).copied().unwrap_or(0)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.expect("accepting goes on");
        tokio::spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.answer(request).await.map_err(|Lost| std::io::Error::other("lost")) }
    });
    // An error is a connection that was cut, which is what this is for.
    let server = auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
        let faults = *lock(&self.faults);
        let body = request.into_body().collect().await.map_err(|_| Lost)?.to_bytes();
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let method = asked["method"].as_str().unwrap_or_default().to_owned();
        *lock(&self.seen).entry(method.clone()).or_default() += 1;
        if faults.away || self.is_lost(faults) {
            return Err(Lost);
        }
        tokio::time::sleep(self.up_to(faults.delay_max)).await;
        if faults.duplicate && method == "sendTransaction" {
            self.forward(body.clone()).await?;
        }
        let mut answer = self.forward(body).await?;
        if method == "getSignatureStatuses" {
            self.forget(faults, &asked, &mut answer);
        }
        if self.is_lost(faults) {
            return Err(Lost);
        }
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(Full::from(answer.to_string())).expect("a response"))
    }

    async fn forward(&self, body: Bytes) -> Result<Value, Lost> {
        let request = self.client.post(&self.upstream).header("content-type", "application/json");
        let answer = request.body(body).send().await.map_err(|_| Lost)?;
        answer.json().await.map_err(|_| Lost)
    }

    /// Takes the statuses out of those signatures that are to be forgotten still.
    fn forget(&self, faults: Faults, asked: &Value, answer: &mut Value) {
        let signatures = asked["params"][0].as_array().cloned().unwrap_or_default();
        let Some(statuses) = answer["result"]["value"].as_array_mut() else { return };
        let mut first = lock(&self.asked_first);
        for (signature, status) in signatures.iter().zip(statuses) {
            let signature = signature.as_str().unwrap_or_default().to_owned();
            let since = first.entry(signature).or_insert_with(Instant::now);
            if since.elapsed() < faults.forget_for {
                *status = Value::Null;
            }
        }
    }

    fn is_lost(&self, faults: Faults) -> bool {
        faults.drop_one_in > 0 && lock(&self.random).random_ratio(1, faults.drop_one_in)
    }

    fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(lock(&self.random).random())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
