//! One file for each endpoint.

pub mod call;
pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod health;
pub mod jobs;
pub mod market;
pub mod messages;
pub mod models;
pub mod responses;
pub mod spend;
pub mod verdicts;

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

use crate::openai::ApiError;

/// A JSON text as a response.
fn json(text: String) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text).into_response()
}

/// What was asked for behind the `?`.
fn query<T>(asked: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    let wrong = |error: QueryRejection| ApiError::invalid(error.body_text()).code("invalid_value");
    asked.map(|Query(asked)| asked).map_err(wrong)
}
