//! `POST /v1/chat/completions`

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};

use super::call::{self, RouteError};
use crate::{access::Caller, openai::parse_chat, state::App};

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_chat(&body)?;
    drop(body);
    call::answer(&app, caller, parsed).await
}
