//! The OpenAI shapes that clients send and expect: requests, answers, chunks and errors.

mod answers;
mod blocks;
mod call;
mod chat;
mod completion;
mod decoding;
mod depth;
mod described;
mod embedding;
mod error;
mod logprobs;
mod messages;
mod names;
mod prompts;
mod read;
mod refused;
mod response;
mod sent;
mod usage;
mod verdict;

pub use answers::Answers;
#[cfg(test)]
pub use call::Style;
pub use call::{Call, Events, Form, StreamEvent};
#[cfg(any(test, fuzzing))]
pub use chat::parse_chat;
#[cfg(any(test, fuzzing))]
pub use completion::parse_completion;
pub use described::schemas;
pub use embedding::{EmbeddingCall, Encoding, embeddings, parse_embedding};
pub use error::ApiError;
pub use messages::{error_shape, parse_count, parse_message};
pub use names::Names;
pub use read::RequestError;
pub use response::{OwnResponses, Responses, parse_response};
pub use sent::{Sent, Shape};
pub use usage::{Facts, InputUsage, Settlement, Tokens, Usage};
pub use verdict::{Comparison, Feedback, parse_comparison, parse_feedback};

#[cfg(test)]
mod tests;
