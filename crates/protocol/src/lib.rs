//! The wire between a gateway and a worker. Bytes in, bytes out: no sockets, clocks or disks.
//!
//! ```text
//! POST /v1/quotes    terms, client-signed      → the worker's signature on publish + lock
//! POST /v1/calls     SealedCall                → SSE, one sealed Frame an event
//! POST /v1/vouchers  SignedVoucher             → {}
//! ```
//! Every answer that is not a success is a [`WireError`].

mod call;
mod error;
mod frame;
mod id;
mod recount;
mod seal;
mod voucher;

pub use call::{
    CallRequest, Chat, Completion, ContentPart, Decoding, Embedding, Message, MessageContent,
    Prompt, ResponseFormat, Sampling, Task, Tool, ToolCall, ToolChoice,
};
pub use error::{ErrorCode, WireError, WireErrorBody};
pub use frame::{
    Candidate, Delta, FinishReason, Frame, FrameError, SignedReceipt, TokenLogprob, ToolCallDelta,
};
pub use id::{Address, Signature};
pub use recount::{Answered, Recounted, RecountedAnswer, Shown, ShownCall};
#[cfg(any(test, fuzzing))]
pub use seal::fuzzing;
pub use seal::{
    Envelope, FrameOpener, FrameSealer, SealError, SealedCall, WorkerPublic, WorkerSecret,
    open_call, seal_call,
};
pub use voucher::{SessionKey, SignedVoucher, verify};
