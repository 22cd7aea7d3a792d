//! Stands where a worker says that it is, and answers its calls with what was never computed. All else is the
//! worker's own.

use std::{
    convert::Infallible,
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use chainference_chain::{Keypair, Signer};
use chainference_e2e::market::Place;
use chainference_market::{Receipt, ReceiptKind, Totals};
use chainference_protocol::{
    Delta, FinishReason, Frame, FrameSealer, SealedCall, Signature, SignedReceipt, WorkerSecret,
    open_call,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const TEXT: &str =
    "the capital of france is paris and paris is the capital of france as everybody knows";
/// Tokens of one letter each in the quickstart's model, where letters follow 17 special ones.
const FIRST_LETTER: u32 = 17;
const SPACE: u32 = 216;

#[derive(Clone, Copy, Debug)]
pub enum Lie {
    /// The answer is billed letter by letter.
    Letters,
    /// The prompt is billed as longer than it is.
    Prompt,
}

pub struct Liar {
    address: SocketAddr,
    worker: Arc<Mutex<Option<Worker>>>,
}

/// The worker behind it, and its keys.
#[derive(Clone)]
struct Worker {
    url: String,
    x25519: [u8; 32],
    operator: Arc<Keypair>,
}

/// Listens on a port of its own until the process ends.
pub fn start(lie: Lie) -> Liar {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let worker = Arc::new(Mutex::new(None));
    let liar = Liar { address, worker: worker.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    std::thread::spawn(move || runtime.block_on(serve(listener, lie, worker)));
    liar
}

impl Liar {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It is the worker of that home from now on.
    pub fn speaks_for(&self, place: &Place) {
        let keys = place.home().join("keys");
        let read = |name: &str| fs::read_to_string(keys.join(name)).expect("a key");
        let operator: Vec<u8> =
            serde_json::from_str(&read("worker-operator.json")).expect("a keypair");
        let secret = read("worker-x25519.key");
        let byte = |at: usize| u8::from_str_radix(&secret.trim()[2 * at..2 * at + 2], 16);
        *self.worker.lock().expect("whole") = Some(Worker {
            url: format!("http://127.0.0.1:{}", place.worker),
            x25519: std::array::from_fn(|at| byte(at).expect("hexadecimal")),
            operator: Arc::new(Keypair::try_from(operator.as_slice()).expect("a keypair")),
        });
    }
}

async fn serve(listener: std::net::TcpListener, lie: Lie, worker: Arc<Mutex<Option<Worker>>>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let http = reqwest::Client::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (worker, http) = (worker.clone(), http.clone());
        let answer = service_fn(move |request| answer(request, lie, worker.clone(), http.clone()));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(connection);
    }
}

async fn answer(
    request: Request<Incoming>,
    lie: Lie,
    worker: Arc<Mutex<Option<Worker>>>,
    http: reqwest::Client,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let worker = worker.lock().expect("whole").clone().expect("it speaks for a worker");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    if path == "/v1/calls" {
        let events = lies(&serde_json::from_slice(&body).expect("a call"), lie, &worker);
        let mut response = Response::new(Full::new(events));
        let kind = header::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Ok(response);
    }
    let sent = http
        .request(method, format!("{}{path}", worker.url))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body);
    let answered = sent.send().await.expect("the worker answers");
    let status = answered.status();
    let mut response = Response::new(Full::new(answered.bytes().await.expect("a body")));
    *response.status_mut() = status;
    Ok(response)
}

/// A whole answer, sealed and signed as the worker would.
fn lies(call: &SealedCall, lie: Lie, worker: &Worker) -> Bytes {
    let secret = WorkerSecret::from_bytes(&worker.x25519).expect("a key");
    let (_, sealer) = open_call(&secret, call).expect("it is for this worker");
    let letters: Vec<u32> = TEXT.bytes().map(token).collect();
    let (tokens_in, tokens) = match lie {
        Lie::Letters => (30, letters),
        // "the", by one token that is not it, would be found as well: of the answer all is true.
        Lie::Prompt => (400, letters[..3].to_vec()),
    };
    let text = TEXT[..tokens.len()].to_owned();
    let mut told = Told {
        sealer,
        call,
        worker,
        totals: Totals { tokens_in, tokens_out: 0 },
        events: String::new(),
    };
    let receipt = told.receipt(ReceiptKind::Accepted);
    told.tell(&Frame::Accepted { tokens_in, receipt });
    told.totals.tokens_out = tokens.len() as u64;
    told.tell(&Frame::Delta(Delta { tokens, text, ..Delta::default() }));
    let reason = FinishReason::Length;
    told.tell(&Frame::Finish { choice: 0, reason, tokens_reasoning: 0, stop: None });
    let receipt = told.receipt(ReceiptKind::End);
    told.tell(&Frame::End { tokens_cached: 0, receipt });
    told.events.into()
}

fn token(letter: u8) -> u32 {
    if letter == b' ' { SPACE } else { FIRST_LETTER + u32::from(letter - b'!') }
}

struct Told<'a> {
    sealer: FrameSealer,
    call: &'a SealedCall,
    worker: &'a Worker,
    totals: Totals,
    events: String,
}

impl Told<'_> {
    fn tell(&mut self, frame: &Frame) {
        self.events += &format!("data: {}\n\n", self.sealer.seal(frame).expect("sealed"));
    }

    fn receipt(&self, kind: ReceiptKind) -> SignedReceipt {
        let (totals, frames) = (self.totals, self.sealer.digest());
        let SealedCall { job, call, .. } = self.call;
        let bytes = Receipt { job: job.0, call: *call, kind, totals, frames }.to_bytes();
        let signature = Signature(self.worker.operator.sign_message(&bytes).into());
        let Totals { tokens_in, tokens_out } = totals;
        SignedReceipt { tokens_in, tokens_out, signature }
    }
}
