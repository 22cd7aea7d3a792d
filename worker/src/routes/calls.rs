//! POST /v1/calls: a sealed prompt in, sealed frames out, paid as it goes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chainference_chain::Pubkey;
use chainference_protocol::{Address, SealedCall, open_call};
use futures_util::StreamExt;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::answer::Answer;
use super::error::RouteError;
use super::{App, parse};
use crate::engine::Generate;

/// Frames that may wait for a slow reader before the call waits for it.
const FRAMES_AHEAD: usize = 64;
/// A comment on an idle stream, so that nobody between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(super) async fn post(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, RouteError> {
    let sealed: SealedCall = parse(&body)?;
    let job = app.settlement.job(&Pubkey::new_from_array(sealed.job.0))?;
    if !sealed.is_signed_by(&Address(job.terms.session_key.to_bytes())) {
        return Err(RouteError::invalid("the signature is not the job's session key's"));
    }
    let (request, sealer) = open_call(&app.x25519, &sealed)?;
    let offer = app.offer(&job.terms.offer);
    let offer =
        offer.ok_or_else(|| RouteError::refused("the job's offer is not served any more"))?;
    if request.model != offer.model {
        return Err(RouteError::invalid(format!("this job is for {}", offer.model)));
    }
    let model = offer.id;
    let scope = job.terms.vault.to_bytes();
    let generate = Generate { task: request.task, scope, allowed_tokens: 0 };

    // The call runs in a task of its own: should this request be dropped, it still comes to its end.
    let (frames, stream) = mpsc::channel(FRAMES_AHEAD);
    let (accepted, acceptance) = oneshot::channel();
    let answer = Answer::new(Arc::clone(&app), job, sealed.call, sealer, frames);
    tokio::spawn(answer.run(model, generate, accepted));
    acceptance.await.map_err(|_| RouteError::internal())??;

    let events =
        ReceiverStream::new(stream).map(|frame| Ok::<_, Infallible>(Event::default().data(frame)));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}
