//! What every request passes through.

mod auth;
mod avoid;
mod identity;
mod linger;
mod permit;
mod rates;
mod repeat;
mod upgrade;

use axum::{Router, middleware, response::Response};
use std::any::Any;
use tower_http::catch_panic::CatchPanicLayer;

pub use upgrade::Heir;

use crate::{
    openai::{ApiError, error_shape},
    state::App,
};
use axum::response::IntoResponse;

/// Wraps every route, outermost last: what is added below sees the request first.
pub fn around_all(router: Router) -> Router {
    router
        // A bug in one request is that request's 500, and nobody else's.
        .layer(CatchPanicLayer::custom(panicked))
        // An id and the time taken on every answer, the 404s and the panics too.
        .layer(middleware::from_fn(identity::identify))
        // Each error in the form of its endpoint.
        .layer(middleware::from_fn(error_shape))
        // A client that sends still when it is answered hears the answer.
        .layer(middleware::from_fn(linger::over_the_rest))
}

/// Wraps the routes that cost work or money.
pub fn around_v1(router: Router<App>, app: &App) -> Router<App> {
    router
        // A place among the concurrent requests, held until the response's body has ended.
        .route_layer(middleware::from_fn_with_state(app.clone(), permit::hold))
        // Its key's own rates and places; what they are goes into every answer.
        .route_layer(middleware::from_fn(rates::hold))
        // Workers that its client doesn't want for it.
        .route_layer(middleware::from_fn(avoid::read))
        // A request that is repeated under its Idempotency-Key is not made again.
        .route_layer(middleware::from_fn_with_state(app.clone(), repeat::once))
        // Nobody gets that far without a key.
        .route_layer(middleware::from_fn_with_state(app.clone(), auth::require_key))
        // What a request holds, a WebSocket that it became holds on.
        .route_layer(middleware::from_fn(upgrade::hand_over))
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    ApiError::internal("The gateway failed on this request.").code("internal_error").into_response()
}
