//! Calls of models that an upstream serves. Those come first; the market is asked where no upstream can serve one.

use axum::body::Bytes;
use chainference_protocol::{CallRequest, Task};

use super::{Begun, RouteError, facts, new_id};
use crate::{
    access::{Caller, Refusal},
    openai::{Call, Encoding, Names, RequestError, Sent, Shape},
    routing::{NoCandidate, Wish, needs},
    settlement::{Answer, CallError, Failure},
    state::App,
    upstream::{Ask, Last, Otherwise, Served, chat_body},
};

/// What a model's tokens are bounded by whose context is not known.
const CONTEXT_TOKENS: u32 = 8_192;

/// Begins a call that goes on as it was sent; `None` where no upstream serves its model, or the strict reader knows better.
/// `stream` is what the client's connection asks for, where it says so itself.
pub fn begin(
    app: &App,
    caller: &Caller,
    shape: Shape,
    body: &Bytes,
    stream: Option<bool>,
) -> Result<Option<Begun>, RouteError> {
    if app.upstreams.is_empty() {
        return Ok(None);
    }
    let read = || {
        let sent = Sent::read(body)?;
        let served = app.upstreams.find(&sent.model()?)?;
        let form = sent.form(shape)?;
        let stream = stream.or_else(|| sent.stream())?;
        Some((sent, served, form, stream))
    };
    let Some((sent, served, form, stream)) = read() else { return Ok(None) };
    check_model(caller, &served, form.style.names())?;
    let facts = facts(&form, served.id());
    let ask = Ask {
        shape,
        body: sent.to_body(served.id(), Some(stream)),
        stream,
        answers: form.answers as usize,
        tokens: bounds(body.len(), sent.tokens_max(), &served, form.answers),
        otherwise: as_sent(app, caller, shape, body, &facts.id, stream),
        caller: caller.clone(),
        served,
    };
    Ok(Some(Begun { answer: app.upstreams.call(ask), facts, form, stream }))
}

/// The same for embeddings: how many there are, and how they are written.
pub fn begin_embedding(
    app: &App,
    caller: &Caller,
    body: &Bytes,
) -> Result<Option<(Answer, usize, Encoding)>, RouteError> {
    if app.upstreams.is_empty() {
        return Ok(None);
    }
    let read = || {
        let sent = Sent::read(body)?;
        let served = app.upstreams.find(&sent.model()?)?;
        let (inputs, encoding) = sent.vectors()?;
        Some((sent, served, inputs, encoding))
    };
    let Some((sent, served, inputs, encoding)) = read() else { return Ok(None) };
    check_model(caller, &served, Names::Embedding)?;
    let (id, shape) = (new_id("embd-"), Shape::Embedding);
    let ask = Ask {
        shape,
        body: sent.to_body(served.id(), None),
        stream: false,
        answers: inputs,
        tokens: body.len() as u64,
        otherwise: as_sent(app, caller, shape, body, &id, false),
        caller: caller.clone(),
        served,
    };
    Ok(Some((app.upstreams.call(ask), inputs, encoding)))
}

/// Begins a call that came in a shape that upstreams don't speak: it is written anew, as a chat. `None` where no upstream
/// serves its model.
pub fn begin_written(app: &App, caller: &Caller, call: &Call) -> Result<Option<Begun>, RouteError> {
    let Task::Chat(chat) = &call.request.task else { return Ok(None) };
    let Some(served) = app.upstreams.find(&call.request.model) else { return Ok(None) };
    let (form, stream) = (call.form.clone(), call.stream);
    check_model(caller, &served, form.style.names())?;
    let facts = facts(&form, served.id());
    let body = chat_body(served.id(), chat, stream);
    let most = chat.decoding.max_tokens.map(u64::from);
    let ask = Ask {
        shape: Shape::Chat,
        stream,
        answers: form.answers as usize,
        tokens: bounds(body.len(), most, &served, form.answers),
        body,
        otherwise: parsed(app, caller, &call.request, &facts.id, stream),
        caller: caller.clone(),
        served,
    };
    Ok(Some(Begun { answer: app.upstreams.call(ask), facts, form, stream }))
}

/// A model that nobody knows may be one of an upstream's that has not answered yet.
pub fn check_heard(app: &App, caller: &Caller, request: &CallRequest) -> Result<(), RouteError> {
    let Some(error) = app.upstreams.unheard() else { return Ok(()) };
    let (needs, models) = (needs(&request.task), caller.models());
    let wish = Wish { needs, ..Wish::of(&request.model, models) };
    match app.settlement.directory.pick(&wish) {
        Err(NoCandidate::Unknown) => {
            let failure = Failure { error: error.into(), costs: false };
            Err(RouteError::call(failure, Names::Chat))
        }
        _ => Ok(()),
    }
}

fn check_model(caller: &Caller, served: &Served, names: Names) -> Result<(), RouteError> {
    if caller.models().allows(served.id()) {
        return Ok(());
    }
    let refusal = Refusal::Model { model: served.id().to_owned() };
    Err(RouteError::call(Failure { error: CallError::Key(refusal), costs: false }, names))
}

/// A tokenizer makes no more tokens than there are bytes.
fn bounds(bytes: usize, tokens_max: Option<u64>, served: &Served, answers: u32) -> u64 {
    let context = u64::from(served.model.context_tokens.unwrap_or(CONTEXT_TOKENS));
    let one = tokens_max.map_or(context, |most| most.min(context));
    (bytes as u64).min(context).saturating_add(one.saturating_mul(u64::from(answers)))
}

/// What is done with a request where no upstream can serve it: only now is it read as strictly as the market does.
fn as_sent(app: &App, caller: &Caller, shape: Shape, body: &Bytes, id: &str, stream: bool) -> Last {
    let (app, caller, body, id) = (app.clone(), caller.clone(), body.clone(), id.to_owned());
    Box::new(move |may_be_wrong| match shape.parse(&body) {
        Ok(call) => market(&app, caller, call.request, id, stream),
        // Upstreams may honour what workers can't; what is wrong for all is why this one failed.
        Err(RequestError::Unsupported { .. }) => Otherwise::Nothing,
        Err(wrong) if may_be_wrong => Otherwise::Wrong(wrong),
        Err(_) => Otherwise::Nothing,
    })
}

fn parsed(app: &App, caller: &Caller, request: &CallRequest, id: &str, stream: bool) -> Last {
    let (app, caller, id) = (app.clone(), caller.clone(), id.to_owned());
    let request = request.clone();
    Box::new(move |_| market(&app, caller, request, id, stream))
}

fn market(app: &App, caller: Caller, request: CallRequest, id: String, stream: bool) -> Otherwise {
    let needs = needs(&request.task);
    let wish = Wish { needs, ..Wish::of(&request.model, caller.models()) };
    let offered = app.settlement.directory.pick(&wish);
    match offered {
        Ok(_) => Otherwise::Market(app.settlement.call(caller, id, request, stream)),
        Err(_) => Otherwise::Nothing,
    }
}
