//! What the endpoints that call a model share: a body in, an answer out, whole or streamed.

mod direct;
mod error;
mod socket;
mod stream;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::{
    access::Caller,
    clock::now_unix_s,
    limits,
    openai::{Answers, Call, Facts, Form, Names, Settlement, Shape, Tokens, Usage},
    settlement::{Answer, Ended, Event, Started},
    state::App,
};
pub use direct::{begin_embedding, check_heard};
pub use error::RouteError;
pub use socket::serve as serve_socket;
use stream::{Heard, Rendering, hear};

const COST: HeaderName = HeaderName::from_static("x-chainference-cost");
const JOB: HeaderName = HeaderName::from_static("x-chainference-job");
const WORKER: HeaderName = HeaderName::from_static("x-chainference-worker");
const CHOICE: HeaderName = HeaderName::from_static("x-chainference-choice");
const OVERHEAD_MS: HeaderName = HeaderName::from_static("x-chainference-overhead-ms");

/// The request's body, within its bounds of size and time.
pub async fn read(app: &App, body: Body) -> Result<Bytes, RouteError> {
    let bytes_max = app.body_bytes_max;
    let collected = timeout(limits::BODY_DEADLINE, Limited::new(body, bytes_max).collect()).await;
    match collected.map_err(|_| RouteError::BodyLate)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(RouteError::BodyTooLarge { bytes_max }),
        Err(_) => Err(RouteError::BodyBroken),
    }
}

/// A fresh id for a call: the prefix says of which endpoint.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}{:032x}", rand::random::<u128>())
}

/// A call that was begun, and how its answer is told.
struct Begun {
    answer: Answer,
    facts: Facts,
    form: Form,
    stream: bool,
}

impl Begun {
    async fn respond(self) -> Result<Response, RouteError> {
        let Self { answer, facts, form, stream } = self;
        if stream { streamed(answer, facts, form).await } else { whole(answer, facts, form).await }
    }
}

/// Makes the call that a body asks for and answers in its shape.
pub async fn answer_sent(
    app: &App,
    caller: Caller,
    shape: Shape,
    body: Bytes,
) -> Result<Response, RouteError> {
    begin_sent(app, caller, shape, body, None)?.respond().await
}

/// Makes the call and answers in the form that it asks for.
pub async fn answer(app: &App, caller: Caller, call: Call) -> Result<Response, RouteError> {
    let begun = match direct::begin_written(app, &caller, &call)? {
        Some(begun) => begun,
        None => begin(app, caller, call)?,
    };
    begun.respond().await
}

/// `stream` is what the client's connection asks for, where it says so itself.
fn begin_sent(
    app: &App,
    caller: Caller,
    shape: Shape,
    body: Bytes,
    stream: Option<bool>,
) -> Result<Begun, RouteError> {
    if let Some(begun) = direct::begin(app, &caller, shape, &body, stream)? {
        return Ok(begun);
    }
    let call = shape.parse(&body)?;
    let stream = stream.unwrap_or(call.stream);
    begin(app, caller, Call { stream, ..call })
}

/// Begins a call in the market.
fn begin(app: &App, caller: Caller, call: Call) -> Result<Begun, RouteError> {
    let Call { request, stream, form } = call;
    check_heard(app, &caller, &request)?;
    let facts = facts(&form, &request.model);
    let answer = app.settlement.call(caller, facts.id.clone(), request, stream);
    Ok(Begun { answer, facts, form, stream })
}

/// A new call's.
fn facts(form: &Form, model: &str) -> Facts {
    let id = new_id(form.style.id_prefix());
    Facts { id, created_unix_s: now_unix_s(), model: model.to_owned() }
}

/// Waits for the whole answer.
async fn whole(mut answer: Answer, facts: Facts, form: Form) -> Result<Response, RouteError> {
    let mut answers = Answers::new(form.answers);
    let (started, ended) = collect(&mut answer, form.style.names(), |event| match event {
        Event::Delta(delta) => answers.take(delta),
        Event::Finished { choice, reason, stop } => answers.finish(choice, reason, stop),
        _ => {}
    })
    .await?;
    let facts = Facts { model: started.model.clone(), ..facts };
    let text = form.whole(&facts, &answers, &usage(&started, &ended));
    Ok(told(text, &started, &ended))
}

/// Hands all pieces of an answer to `take`, until its end.
pub async fn collect(
    answer: &mut Answer,
    names: Names,
    mut take: impl FnMut(Event),
) -> Result<(Started, Ended), RouteError> {
    let mut told = None;
    loop {
        match answer.next().await {
            Some(Event::Started(started)) => told = Some(started),
            Some(Event::Ended(ended)) => return Ok((told.ok_or(RouteError::Lost)?, ended)),
            Some(Event::Failed(failure)) => return Err(RouteError::call(failure, names)),
            Some(piece) => take(piece),
            None => return Err(RouteError::Lost),
        }
    }
}

/// A whole answer, with what it cost in its headers.
pub fn told(text: String, started: &Started, ended: &Ended) -> Response {
    let mut response = super::json(text);
    tell(response.headers_mut(), started);
    response.headers_mut().insert(COST, HeaderValue::from(ended.cost.0));
    response
}

/// Answers as the tokens come. What fails before the first one still gets its own status, unless
/// the client has waited for so long that it needs a sign of life.
async fn streamed(mut answer: Answer, facts: Facts, form: Form) -> Result<Response, RouteError> {
    let names = form.style.names();
    let mut rendering = Rendering::new(facts, form);
    let mut headers = HeaderMap::new();
    match hear(&mut answer, limits::STREAM_STARTS_AFTER).await {
        Heard::Call(Event::Failed(failure)) => return Err(RouteError::call(failure, names)),
        Heard::Lost => return Err(RouteError::Lost),
        heard => {
            if let Heard::Call(Event::Started(started)) = &heard {
                tell(&mut headers, started);
            }
            rendering.take(heard);
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok((headers, Body::from_stream(stream::follow(rendering, answer))).into_response())
}

fn usage(started: &Started, ended: &Ended) -> Usage {
    Usage::new(tokens(ended), settlement(started, ended))
}

pub fn tokens(ended: &Ended) -> Tokens {
    Tokens {
        prompt: ended.totals.tokens_in,
        cached: ended.tokens_cached,
        completion: ended.totals.tokens_out,
        reasoning: ended.tokens_reasoning,
    }
}

pub fn settlement(started: &Started, ended: &Ended) -> Settlement {
    Settlement {
        job: started.job.clone(),
        worker: started.worker.clone(),
        cost_lamports: ended.cost.0,
        overhead_ms: milliseconds(started),
    }
}

fn tell(headers: &mut HeaderMap, started: &Started) {
    let choice = started.choice.map(|choice| choice.to_string()).unwrap_or_default();
    for (name, value) in [(JOB, &started.job), (WORKER, &started.worker), (CHOICE, &choice)] {
        // No job pays for what costs nothing.
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    headers.insert(OVERHEAD_MS, HeaderValue::from(milliseconds(started)));
}

fn milliseconds(started: &Started) -> u64 {
    u64::try_from(started.overhead.as_millis()).unwrap_or(u64::MAX)
}
