//! A bound on concurrent requests. The permit goes with the response's body: a stream counts
//! until its last byte is out or its client has left, not until its handler has returned.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use chainference_serving::holding;

use crate::{openai::ApiError, state::App};

pub async fn hold(State(app): State<App>, request: Request, next: Next) -> Response {
    let Ok(permit) = app.permits.clone().try_acquire_owned() else {
        let message = "Too many requests are in progress; try again shortly.";
        return ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .code("concurrency_limit_exceeded")
            .retry_after(1)
            .into_response();
    };
    next.run(request).await.map(|body| holding(body, permit))
}
