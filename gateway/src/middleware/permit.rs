//! A bound on concurrent requests. The permit goes with the response's body: a stream counts
//! until its last byte is out or its client has left, not until its handler has returned.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body::{Frame, SizeHint};

use crate::{openai::ApiError, state::App};

pub async fn hold(State(app): State<App>, request: Request, next: Next) -> Response {
    let Ok(permit) = app.permits.clone().try_acquire_owned() else {
        let message = "Too many requests are in progress; try again shortly.";
        return ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .code("concurrency_limit_exceeded")
            .retry_after(1)
            .into_response();
    };
    next.run(request).await.map(|body| Body::new(Held::new(body, permit)))
}

/// A body that holds something until it has ended or was dropped.
pub(super) struct Held<T> {
    body: Body,
    _held: T,
}

impl<T> Held<T> {
    pub fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> http_body::Body for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
