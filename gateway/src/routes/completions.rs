//! `POST /v1/completions`

use axum::{
    extract::{Extension, Request, State},
    response::Response,
};

use super::call::{self, RouteError};
use crate::{access::Caller, openai::Shape, state::App};

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    call::answer_sent(&app, caller, Shape::Completion, body).await
}
