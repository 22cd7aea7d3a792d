//! `POST /v1/completions`

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};

use super::call::{self, RouteError};
use crate::{access::Caller, openai::parse_completion, state::App};

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_completion(&body)?;
    drop(body);
    call::answer(&app, caller, parsed).await
}
