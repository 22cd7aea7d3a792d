//! The OpenAI shapes that clients send and expect: requests, answers, chunks and errors.

mod error;
mod refused;
mod request;
mod response;
mod validate;

pub use error::ApiError;
pub use response::{Chunks, Facts, Settlement, Usage, completion};
pub use validate::{ChatCall, RequestError, parse_chat};
