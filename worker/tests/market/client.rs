//! A client as the gateway is one, without its conveniences.

use std::time::Duration;

use chainference_chain::accounts::{Filters, Offer, PublishArgs};
use chainference_chain::{
    Chain, JobTerms, Keypair, Pubkey, Quote, QuoteRequest, SignedTransaction, Signer, address,
    instruction,
};
use chainference_market::Totals;
use chainference_protocol::{
    Address, CallRequest, Chat, Decoding, Delta, Envelope, ErrorCode, FinishReason, Frame,
    FrameOpener, Message, Sampling, SessionKey, SignedVoucher, Task, WireErrorBody, WorkerPublic,
    seal_call,
};
use reqwest::Response;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A refusal: HTTP status and code.
pub type Refused = (u16, ErrorCode);

pub struct Client {
    chain: Chain,
    wallet: Keypair,
    pub vault: Pubkey,
    url: String,
    http: reqwest::Client,
    offer: (Pubkey, Offer),
}

#[derive(Clone)]
pub struct Job {
    pub terms: JobTerms,
    pub session: SessionKey,
}

impl Job {
    pub fn wire(&self) -> Address {
        Address(self.terms.job().to_bytes())
    }
}

pub struct Ask {
    pub model: String,
    pub prompt: String,
    pub max_tokens: u32,
}

impl Ask {
    pub fn new(prompt: &str, max_tokens: u32) -> Self {
        let model = String::new(); // the offer's
        Self { model, prompt: prompt.into(), max_tokens }
    }

    pub fn short() -> Self {
        Self::new("Which city is the capital of France?", 64)
    }
}

pub fn session_key() -> SessionKey {
    SessionKey::from_seed(*Keypair::new().secret_bytes())
}

impl Client {
    pub fn new(chain: Chain, wallet: Keypair, url: String, offer: (Pubkey, Offer)) -> Self {
        let vault = address::vault(&wallet.pubkey());
        Self { chain, wallet, vault, url, http: reqwest::Client::new(), offer }
    }

    pub async fn terms(&self, stake: u64) -> JobTerms {
        self.terms_for(stake, session_key().public()).await
    }

    async fn terms_for(&self, stake: u64, session_key: Address) -> JobTerms {
        let (address, offer) = &self.offer;
        let worker = self.chain.worker(&offer.worker).await.unwrap().unwrap();
        let clock = self.chain.clock().await.unwrap();
        let blockhash = self.chain.blockhash().await.unwrap();
        JobTerms {
            vault: self.vault,
            authority: self.wallet.pubkey(),
            worker: offer.worker,
            operator: worker.operator,
            offer: *address,
            model_hash: offer.model_hash,
            session_key: Pubkey::new_from_array(session_key.0),
            open_slot: clock.slot,
            stake,
            max_price_in_per_mtok: offer.price_in_per_mtok,
            max_price_out_per_mtok: offer.price_out_per_mtok,
            max_charge_min: offer.charge_min,
            serve_until_unix_s: clock.unix_s + 600,
            blockhash: blockhash.hash,
            last_valid_block_height: blockhash.last_valid_block_height,
        }
    }

    pub async fn quote(&self, terms: &JobTerms) -> Result<Quote, Refused> {
        self.ask_quote(&QuoteRequest::sign(terms.clone(), &self.wallet)).await
    }

    /// Asks for a quote with any signature or none.
    pub async fn ask_quote(&self, request: &QuoteRequest) -> Result<Quote, Refused> {
        Ok(self.post("/v1/quotes", request).await?.json().await.unwrap())
    }

    /// A job, published and locked.
    pub async fn open_job(&self, stake: u64) -> Job {
        let session = session_key();
        let terms = self.terms_for(stake, session.public()).await;
        let quote = self.quote(&terms).await.unwrap();
        let signed = terms.complete(&quote, &self.wallet).unwrap();
        self.chain.submit(&signed).await.unwrap();
        Job { terms, session }
    }

    /// A job for any worker that likes it, changed by `change`.
    pub async fn publish(&self, stake: u64, change: impl FnOnce(&mut PublishArgs)) -> Job {
        let session = session_key();
        let terms = self.terms_for(stake, session.public()).await;
        let mut args = PublishArgs {
            session_key: terms.session_key,
            open_slot: terms.open_slot,
            model_hash: terms.model_hash,
            stake,
            max_price_in_per_mtok: terms.max_price_in_per_mtok,
            max_price_out_per_mtok: terms.max_price_out_per_mtok,
            max_charge_min: terms.max_charge_min,
            serve_until_unix_s: terms.serve_until_unix_s,
            filters: Filters::default(),
            allowed: Vec::new(),
        };
        change(&mut args);
        let publish = instruction::publish(&self.wallet.pubkey(), &self.vault, args);
        let blockhash = self.chain.blockhash().await.unwrap();
        let signed = SignedTransaction::sign(&[publish], &self.wallet, &[], &blockhash).unwrap();
        self.chain.submit(&signed).await.unwrap();
        Job { terms, session }
    }

    pub async fn call(&self, job: &Job, call: u32, ask: Ask) -> Result<Answer, Refused> {
        let model = if ask.model.is_empty() { self.offer.1.model().to_owned() } else { ask.model };
        let decoding = Decoding {
            sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
            max_tokens: Some(ask.max_tokens),
            ..Decoding::default()
        };
        let messages = vec![Message::text("user", ask.prompt)];
        let task = Task::Chat(Chat { messages, decoding, ..Chat::default() });
        self.send(job, call, CallRequest { model, task }).await
    }

    pub async fn ask(&self, job: &Job, call: u32, task: Task) -> Result<Answer, Refused> {
        let model = self.offer.1.model().to_owned();
        self.send(job, call, CallRequest { model, task }).await
    }

    /// Asks until the worker isn't busy.
    pub async fn eventually_served(&self, job: &Job, task: Task) -> Said {
        for call in 100.. {
            match self.ask(job, call, task.clone()).await {
                Ok(mut answer) => return answer.vouching(self).await,
                Err(refused) => assert_eq!(refused, (429, ErrorCode::Busy)),
            }
            assert!(call < 110, "the worker stays busy");
        }
        unreachable!()
    }

    #[expect(clippy::disallowed_methods, reason = "a test's seals may be as random as they like")]
    async fn send(&self, job: &Job, call: u32, request: CallRequest) -> Result<Answer, Refused> {
        let worker = self.chain_key();
        let envelope = Envelope::to(&worker, &mut rand::rng()).unwrap();
        let (sealed, opener) =
            seal_call(envelope, &job.session, job.wire(), call, &request).unwrap();
        let response = self.post("/v1/calls", &sealed).await?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Answer { response, opener, text: String::new(), job: job.clone() })
    }

    /// The public half of the key that the test's worker uses.
    fn chain_key(&self) -> WorkerPublic {
        chainference_protocol::WorkerSecret::from_bytes(&[0x17; 32]).unwrap().public()
    }

    pub async fn vouch(&self, job: &Job, totals: Totals, last: bool) -> Result<(), Refused> {
        self.post_voucher(&job.session.vouch(job.wire(), totals, last)).await
    }

    pub async fn post_voucher(&self, voucher: &SignedVoucher) -> Result<(), Refused> {
        self.post("/v1/vouchers", voucher).await.map(|_| ())
    }

    /// Asks until the answer holds `text`.
    pub async fn eventually(&self, path: &str, text: &str) {
        let url = format!("{}{path}", self.url);
        let mut body = String::new();
        for _ in 0..100 {
            body = self.http.get(&url).send().await.unwrap().text().await.unwrap();
            if body.contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never said {text}: {body}");
    }

    /// A socket that has sent this and sends no more.
    pub async fn trickle(&self, bytes: &str) -> TcpStream {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(bytes.as_bytes()).await.unwrap();
        socket
    }

    pub async fn post_text(&self, path: &str, body: &str) -> u16 {
        let request = self.http.post(format!("{}{path}", self.url)).body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response, Refused> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        // A worker that died says nothing.
        let response = request.send().await.map_err(|_| (0, ErrorCode::Internal))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap();
        let body: WireErrorBody = serde_json::from_str(&text).expect("errors are JSON");
        Err((status.as_u16(), body.error.code))
    }
}

/// A call's stream of frames.
pub struct Answer {
    response: Response,
    opener: FrameOpener,
    text: String,
    job: Job,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

/// What came so far.
#[derive(Default, Debug)]
pub struct Said {
    pub text: String,
    pub tokens: u64,
    /// The job's, as the receipts and deltas say.
    pub totals: Totals,
    pub vouchers_wanted: u32,
    pub finish: Option<FinishReason>,
    /// Bytes of each.
    pub vectors: Vec<usize>,
}

impl Said {
    pub fn add(&mut self, frame: Frame) {
        match frame {
            Frame::Accepted { receipt, .. } => self.totals = receipt.totals(),
            Frame::Delta(Delta { tokens, text, .. }) => {
                self.tokens += tokens.len() as u64;
                self.totals.tokens_out += tokens.len() as u64;
                self.text.push_str(&text);
            }
            Frame::VoucherWanted { receipt } => {
                self.vouchers_wanted += 1;
                self.totals = receipt.totals();
            }
            Frame::Finish { reason, .. } => self.finish = Some(reason),
            Frame::End { receipt, .. } => self.totals = receipt.totals(),
            Frame::Embedding { index, vector } => {
                assert_eq!(index as usize, self.vectors.len(), "in order");
                self.vectors.push(vector.len());
            }
            Frame::Error { code, message } => panic!("{code:?}: {message}"),
        }
    }
}

impl Answer {
    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.strip_prefix("data: ").map(str::to_owned);
                self.text = rest.to_owned();
                match data {
                    Some(data) => return Some(self.opener.open(&data).unwrap()),
                    None => continue, // a comment
                }
            }
            let chunk = self.response.chunk().await.ok()??; // a broken stream has no end frame
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Everything, and nothing is vouched.
    pub async fn unpaid(&mut self) -> Said {
        let mut said = Said::default();
        while let Some(frame) = self.next().await {
            said.add(frame);
        }
        said
    }

    /// Everything and the last voucher; `None` if the worker dies on the way.
    pub async fn try_to_the_end(&mut self, client: &Client) -> Option<Totals> {
        let mut said = Said::default();
        while let Some(frame) = self.next().await {
            said.add(frame);
            client.vouch(&self.job, said.totals, false).await.ok()?;
        }
        said.finish?;
        client.vouch(&self.job, said.totals, true).await.ok()?;
        Some(said.totals)
    }

    /// Everything, vouching for all that came with each frame.
    pub async fn vouching(&mut self, client: &Client) -> Said {
        let mut said = Said::default();
        while let Some(frame) = self.next().await {
            said.add(frame);
            client.vouch(&self.job, said.totals, false).await.unwrap();
        }
        said
    }

    /// Everything that is still to come; nothing is vouched.
    pub async fn rest(&mut self) -> Said {
        let mut said = Said::default();
        while let Some(frame) = self.next().await {
            said.add(frame);
        }
        said
    }

    /// What comes until nothing does for so long; nothing is vouched.
    pub async fn until_silent(&mut self, silence: Duration) -> Said {
        let mut said = Said::default();
        while let Ok(frame) = tokio::time::timeout(silence, self.next()).await {
            said.add(frame.expect("the answer goes on"));
        }
        said
    }
}
