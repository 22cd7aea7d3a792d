//! A worker's answer as it may send it, read as a call's relay reads it; and what a request must be fit for.

use std::{mem::discriminant, time::Duration};

use chainference_chain::Pubkey;
use chainference_market::{Lamports, Prices, ReceiptKind, Totals};
use chainference_protocol::{
    Address, CallRequest, Delta, Envelope, Frame, FrameSealer, SessionKey, SignedReceipt, Task,
    WorkerSecret, open_call, seal_call,
};
use futures_util::{FutureExt, stream};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{Body, Response};

use super::{meter::Meter, pieces::Pieces, receipts::Receipts, stake, worker::Frames};
use crate::{
    limits,
    openai::{
        Answers, Events, Facts, Form, Settlement, StreamEvent, Tokens, Usage, parse_chat,
        parse_completion, parse_message, parse_response,
    },
    routing::needs,
};

const CONTEXT_TOKENS: u32 = 4_096;
const PRICES: Prices =
    Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 };
const JOB: Address = Address([7; 32]);

/// What holds for a request that was taken: a worker can read it, it has a bound and a price, and it fits into memory.
pub fn check_request(request: &CallRequest) {
    let sent = serde_json::to_vec(request).expect("it has been read");
    let read = serde_json::from_slice::<CallRequest>(&sent);
    let read = read.expect("a worker reads it");
    assert_eq!(discriminant(&read.task), discriminant(&request.task));
    let task = &request.task;
    let most = stake::bounds(task, CONTEXT_TOKENS);
    let answers = u64::from(limits::ANSWERS_MAX);
    assert!(most.tokens_out <= answers * u64::from(CONTEXT_TOKENS), "{most:?}");
    assert!(stake::stake(&PRICES, most).is_ok(), "it has a price");
    assert!(!needs(task).is_empty());
    let _ = Pieces::new(task, CONTEXT_TOKENS);
}

/// An answer: the first byte chooses a request and how chunks are cut; then a line each, a frame's JSON, which is
/// sealed, or anything else, which is sent as it is.
pub fn answers(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let (request, form) = asked(choice % 5);
    let mut rng = StdRng::seed_from_u64(1);
    let worker = WorkerSecret::from_bytes(&[6; 32]).expect("any bytes are a key");
    let key = SessionKey::from_seed([5; 32]);
    let envelope = Envelope::to(&worker.public(), &mut rng).expect("a good key");
    let (sealed, opener) = seal_call(envelope, &key, JOB, 0, &request).expect("a good key");
    let (_, sealer) = open_call(&worker, &sealed).expect("it is for this worker");
    let body = sent(rest, sealer);
    let chunks: Vec<reqwest::Result<Vec<u8>>> =
        body.chunks(1 + usize::from(choice / 5) * 7).map(|chunk| Ok(chunk.to_vec())).collect();
    let body = Body::wrap_stream(stream::iter(chunks));
    let frames = Frames::new(Response::from(axum::http::Response::new(body)), opener);
    Reading::new(&request.task, &form).all(frames);
}

/// The bytes that a worker sends for these lines.
fn sent(lines: &[u8], mut sealer: FrameSealer) -> Vec<u8> {
    let mut body = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Frame>(line) {
            Ok(frame) => {
                let sealed = sealer.seal(&frame).expect("a frame");
                body.extend_from_slice(format!("data: {sealed}\n\n").as_bytes());
            }
            Err(_) => body.extend_from_slice(&[line, b"\n"].concat()),
        }
    }
    body
}

fn asked(choice: u8) -> (CallRequest, Form) {
    let call = match choice {
        0 => parse_chat(br#"{"model":"m","n":2,"max_tokens":40,"messages":[{"role":"user","content":"a"}]}"#),
        1 => parse_chat(
            br#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"logprobs":true,
            "top_logprobs":2,"messages":[{"role":"user","content":"a"}]}"#,
        ),
        2 => parse_completion(br#"{"model":"m","prompt":["a","b"],"echo":true,"logprobs":1}"#),
        3 => parse_response(br#"{"model":"m","input":"a"}"#, None),
        _ => parse_message(
            br#"{"model":"m","max_tokens":40,"stop_sequences":["x"],"messages":[{"role":"user","content":"a"}]}"#,
        ),
    };
    let call = call.expect("a good request");
    (call.request, call.form)
}

/// What the relay, and then the answer's form, make of frames.
struct Reading<'a> {
    form: &'a Form,
    bounds: Totals,
    meter: Meter,
    pieces: Pieces,
    receipts: Receipts,
    events: Box<dyn Events>,
    whole: Answers,
}

impl<'a> Reading<'a> {
    fn new(task: &Task, form: &'a Form) -> Self {
        let bounds = stake::bounds(task, CONTEXT_TOKENS);
        Self {
            form,
            bounds,
            meter: Meter::new(bounds),
            pieces: Pieces::new(task, CONTEXT_TOKENS),
            receipts: Receipts::new(JOB, 0, Pubkey::default(), true),
            events: form.events(facts()),
            whole: Answers::new(form.answers),
        }
    }

    fn all(mut self, mut frames: Frames) {
        let begun = self.events.begin(3);
        check_events(&begun);
        loop {
            // Everything is there: whoever waits would wait for ever.
            let next = frames.next().now_or_never().expect("all has come");
            let Ok(frame) = next else { break };
            let before = frames.digest_before();
            match self.take(frame, before) {
                Some(false) => {}
                Some(true) => return self.end(),
                None => break,
            }
            let totals = self.meter.due(Duration::ZERO).unwrap_or_default();
            assert!(self.bounds.covers(totals), "no voucher is beyond what the stake covers");
        }
        assert!(self.bounds.covers(self.meter.owed()));
        let error = crate::openai::ApiError::internal("it broke off");
        check_events(&[self.events.fail(&error)]);
    }

    /// `Some` unless the frame is refused: whether it was the last.
    fn take(&mut self, frame: Frame, before: [u8; 32]) -> Option<bool> {
        match frame {
            Frame::Accepted { tokens_in, receipt } => {
                self.meter.accepted(tokens_in).ok()?;
                self.heard(ReceiptKind::Accepted, &receipt, before)?;
            }
            Frame::VoucherWanted { receipt } => {
                self.heard(ReceiptKind::VoucherWanted, &receipt, before)?;
            }
            Frame::Delta(delta) => self.delta(delta)?,
            Frame::Finish { choice, reason, stop, .. } => {
                self.pieces.finished(choice).ok()?;
                self.whole.finish(choice, reason, stop.clone());
                check_events(&self.events.finish(choice, reason, stop));
            }
            Frame::Embedding { index, vector } => self.pieces.embedding(index, &vector).ok()?,
            Frame::End { receipt, .. } => {
                self.heard(ReceiptKind::End, &receipt, before)?;
                self.pieces.all().ok()?;
                return Some(true);
            }
            Frame::Error { .. } => return None,
        }
        Some(false)
    }

    fn delta(&mut self, delta: Delta) -> Option<()> {
        self.meter.received(delta.tokens.len() as u64).ok()?;
        self.pieces.delta(&delta).ok()?;
        self.meter.delivered(self.meter.received_totals().ok()?.tokens_out);
        self.whole.take(delta.clone());
        check_events(&self.events.delta(delta));
        Some(())
    }

    fn heard(
        &mut self,
        kind: ReceiptKind,
        receipt: &SignedReceipt,
        before: [u8; 32],
    ) -> Option<()> {
        let received = self.meter.received_totals().ok()?;
        self.receipts.heard(kind, *receipt, before, received);
        assert!(self.receipts.check().is_some(), "nobody has signed");
        Some(())
    }

    fn end(mut self) {
        let tokens = Tokens { prompt: 3, completion: 4, ..Tokens::default() };
        let (job, worker) = ("J".to_owned(), "W".to_owned());
        let Lamports(cost_lamports) = PRICES.cost(self.meter.owed()).expect("a price");
        let paid = Settlement { job, worker, cost_lamports, overhead_ms: 1 };
        let usage = Usage::new(tokens, paid);
        check_events(&self.events.end(&usage));
        let whole = self.form.whole(&facts(), &self.whole, &usage);
        assert!(serde_json::from_str::<serde_json::Value>(&whole).is_ok(), "{whole}");
    }
}

fn facts() -> Facts {
    Facts { id: "chatcmpl-1".into(), created_unix_s: 7, model: "a/b".into() }
}

/// Each is one line of JSON.
fn check_events(events: &[StreamEvent]) {
    for event in events {
        assert!(!event.data.contains(['\n', '\r']), "{event:?}");
        let json = serde_json::from_str::<serde_json::Value>(&event.data);
        assert!(event.is_mark() || json.is_ok(), "{event:?}");
    }
}
