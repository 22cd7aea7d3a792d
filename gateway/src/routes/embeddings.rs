//! `POST /v1/embeddings`

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};

use super::call::{self, RouteError};
use crate::{
    access::Caller,
    openai::{EmbeddingCall, InputUsage, Names, embeddings, parse_embedding},
    settlement::Event,
    state::App,
};

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let (mut answer, inputs, encoding) = match call::begin_embedding(&app, &caller, &body)? {
        Some(begun) => begun,
        None => {
            let EmbeddingCall { request, inputs, encoding } = parse_embedding(&body)?;
            call::check_heard(&app, &caller, &request)?;
            let id = call::new_id("embd-");
            (app.settlement.call(caller, id, request, false), inputs, encoding)
        }
    };
    drop(body);
    let mut vectors = vec![Vec::new(); inputs];
    let (started, ended) = call::collect(&mut answer, Names::Embedding, |event| {
        // A worker that leaves one out, or sends one twice, has failed before this.
        if let Event::Embedding { index, vector } = event
            && let Some(place) = vectors.get_mut(index as usize)
        {
            *place = vector;
        }
    })
    .await?;
    let usage = InputUsage::new(call::tokens(&ended), call::settlement(&started, &ended));
    let text = embeddings(&started.model, &vectors, encoding, &usage);
    Ok(call::told(text, &started, &ended))
}
