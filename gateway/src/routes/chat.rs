//! `POST /v1/chat/completions`

use axum::{
    extract::{Request, State},
    response::Response,
};

use super::call::{self, RouteError};
use crate::{openai::parse_chat, state::App};

pub async fn create(State(app): State<App>, request: Request) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_chat(&body)?;
    drop(body);
    call::answer(&app, parsed).await
}
