//! One file for each endpoint.

pub mod chat;
pub mod health;
pub mod jobs;
pub mod models;

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// A JSON text as a response.
fn json(text: String) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text).into_response()
}
