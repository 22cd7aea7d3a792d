//! One file for each endpoint.

pub mod call;
pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod health;
pub mod jobs;
pub mod messages;
pub mod models;
pub mod responses;
pub mod spend;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// A JSON text as a response.
fn json(text: String) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text).into_response()
}
