//! `POST /v1/chat/completions`, and `GET` for the same over a WebSocket.

use axum::{
    extract::{
        Extension, Request, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::StatusCode,
    response::Response,
};
use tokio::sync::mpsc;

use super::call::{self, RouteError};
use crate::{
    access::Caller,
    middleware::Heir,
    openai::{ApiError, Shape},
    state::App,
};

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    call::answer_sent(&app, caller, Shape::Chat, body).await
}

pub async fn socket(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|_| no_socket())?;
    let (heir, mut held) = mpsc::unbounded_channel();
    let (bytes_max, open) = (app.body_bytes_max, app.sockets.token());
    let upgrade = upgrade.max_message_size(bytes_max).max_frame_size(bytes_max);
    let mut response = upgrade.on_upgrade(async move |socket| {
        // The places that the request has taken are the socket's until its end.
        let _held = (held.recv().await, open);
        call::serve_socket(app, caller, socket, Shape::Chat).await;
    });
    response.extensions_mut().insert(Heir(heir));
    Ok(response)
}

fn no_socket() -> ApiError {
    ApiError::invalid("GET is not allowed for /v1/chat/completions but to open a WebSocket.")
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .code("method_not_allowed")
}
