//! Every route of the gateway.

use axum::{
    Router,
    http::StatusCode,
    routing::{get, post},
};

use crate::{
    middleware,
    openai::ApiError,
    routes::{
        chat, completions, embeddings, health, jobs, market, messages, models, responses, spend,
        verdicts,
    },
    state::App,
};

pub fn router(app: App) -> Router {
    let v1 = Router::new()
        .route("/v1/chat/completions", post(chat::create).get(chat::socket))
        .route("/v1/completions", post(completions::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/{id}", get(responses::retrieve).delete(responses::delete))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::retrieve))
        .route("/v1/chainference/workers", get(market::workers))
        .route("/v1/chainference/offers", get(market::offers))
        .route("/v1/chainference/jobs", get(jobs::list))
        .route("/v1/chainference/jobs/{id}", get(jobs::retrieve))
        .route("/v1/chainference/receipts", get(jobs::receipts))
        .route("/v1/chainference/feedback", post(verdicts::feedback))
        .route("/v1/chainference/compare", post(verdicts::compare))
        .route("/v1/chainference/balance", get(jobs::balance))
        .route("/v1/chainference/spend", get(spend::show));
    let open = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(health::openapi));
    let routes = middleware::around_v1(v1, &app)
        .merge(open)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app);
    middleware::around_all(routes)
}

async fn not_found(uri: axum::http::Uri) -> ApiError {
    ApiError::invalid(format!("Unknown URL: {}", uri.path()))
        .status(StatusCode::NOT_FOUND)
        .code("unknown_url")
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> ApiError {
    ApiError::invalid(format!("{method} is not allowed for {}", uri.path()))
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .code("method_not_allowed")
}
