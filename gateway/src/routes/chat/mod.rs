//! `POST /v1/chat/completions`

mod error;
mod stream;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::{
    clock::now_unix_s,
    limits,
    openai::{ChatCall, Facts, Settlement, Usage, completion, parse_chat},
    settlement::{Answer, Ended, Event, Started},
    state::App,
};
use error::ChatError;
use stream::{Sse, SseEvent};

const COST: HeaderName = HeaderName::from_static("x-chainference-cost");
const JOB: HeaderName = HeaderName::from_static("x-chainference-job");
const WORKER: HeaderName = HeaderName::from_static("x-chainference-worker");
const OVERHEAD_MS: HeaderName = HeaderName::from_static("x-chainference-overhead-ms");

pub async fn create(State(app): State<App>, request: Request) -> Result<Response, ChatError> {
    let body = read(request.into_body(), app.body_bytes_max).await?;
    let ChatCall { request, stream, include_usage } = parse_chat(&body)?;
    drop(body);
    let id = format!("chatcmpl-{:032x}", rand::random::<u128>());
    let facts =
        Facts { id: id.clone(), created_unix_s: now_unix_s(), model: request.model.clone() };
    let answer = app.settlement.call(id, request, stream);
    if stream { streamed(answer, facts, include_usage).await } else { whole(answer, facts).await }
}

/// The request's body, within its bounds of size and time.
async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ChatError> {
    let collected = timeout(limits::BODY_DEADLINE, Limited::new(body, bytes_max).collect()).await;
    match collected.map_err(|_| ChatError::BodyLate)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ChatError::BodyTooLarge { bytes_max }),
        Err(_) => Err(ChatError::BodyBroken),
    }
}

/// Waits for the whole answer.
async fn whole(mut answer: Answer, mut facts: Facts) -> Result<Response, ChatError> {
    let mut text = String::new();
    let mut told = None;
    loop {
        match answer.next().await {
            Some(Event::Started(started)) => {
                facts.model.clone_from(&started.model);
                told = Some(started);
            }
            Some(Event::Text { text: piece, .. }) => text.push_str(&piece),
            Some(Event::Ended(ended)) => {
                let started = told.ok_or(ChatError::Lost)?;
                let usage = usage(&started, &ended);
                let answer = completion(&facts, &text, ended.finish_reason, &usage);
                let mut response = super::json(answer);
                tell(response.headers_mut(), &started);
                response.headers_mut().insert(COST, HeaderValue::from(ended.cost.0));
                return Ok(response);
            }
            Some(Event::Failed(failure)) => return Err(failure.into()),
            None => return Err(ChatError::Lost),
        }
    }
}

/// Answers as the tokens come. What fails before the first one still gets its own status, unless
/// the client has waited for so long that it needs a sign of life.
async fn streamed(
    mut answer: Answer,
    facts: Facts,
    include_usage: bool,
) -> Result<Response, ChatError> {
    let mut sse = Sse::new(facts, include_usage);
    let mut headers = HeaderMap::new();
    match timeout(limits::STREAM_STARTS_AFTER, answer.next()).await {
        Ok(Some(Event::Failed(failure))) => return Err(failure.into()),
        Ok(Some(event)) => {
            if let Event::Started(started) = &event {
                tell(&mut headers, started);
            }
            sse.take(SseEvent::Call(event));
        }
        Ok(None) => return Err(ChatError::Lost),
        Err(_) => sse.take(SseEvent::Silence),
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok((headers, Body::from_stream(sse.follow(answer))).into_response())
}

fn usage(started: &Started, ended: &Ended) -> Usage {
    let settlement = Settlement {
        job: started.job.clone(),
        worker: started.worker.clone(),
        cost_lamports: ended.cost.0,
        overhead_ms: milliseconds(started),
    };
    Usage::new(ended.totals.tokens_in, ended.totals.tokens_out, settlement)
}

fn tell(headers: &mut HeaderMap, started: &Started) {
    for (name, value) in [(JOB, &started.job), (WORKER, &started.worker)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(OVERHEAD_MS, HeaderValue::from(milliseconds(started)));
}

fn milliseconds(started: &Started) -> u64 {
    u64::try_from(started.overhead.as_millis()).unwrap_or(u64::MAX)
}
