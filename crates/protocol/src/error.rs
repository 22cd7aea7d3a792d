//! How a worker refuses, in the same shape over HTTP and inside a frame.

use serde::{Deserialize, Serialize};

/// What went wrong, for a program to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is malformed, or its seal or signature doesn't hold. Asking again won't help.
    InvalidRequest,
    /// The prompt and the answer don't fit into the model's context.
    ContextLengthExceeded,
    /// A parameter is not honoured by this worker or model; the message names it.
    UnsupportedParameter,
    /// No slot is free: try another worker, or again after `retry-after`.
    Busy,
    /// The terms don't match the offer: read the chain again.
    TermsRefused,
    /// This worker holds no such job, or it is over.
    UnknownJob,
    /// No voucher arrived in time.
    Unpaid,
    /// The worker drains and takes nothing new.
    Draining,
    /// The engine failed; what was delivered stays delivered.
    EngineFailed,
    /// Anything else that is the worker's fault.
    Internal,
}

/// The body of every refusal: `{"error": {"code", "message"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireErrorBody {
    pub error: WireError,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    pub code: ErrorCode,
    /// For a person: what is wrong and what to do. Never holds a prompt or an answer.
    pub message: String,
}
