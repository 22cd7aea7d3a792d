//! The sealed pieces of an answer.

use chainference_market::Totals;
use serde::{Deserialize, Serialize};

use crate::{ErrorCode, Signature};

/// One sealed piece of an answer. Totals are the job's, over all its calls.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Frame {
    /// The prompt was counted and its computation begins: the input may be vouched for.
    Accepted {
        /// Prompt tokens of this call.
        tokens_in: u64,
        receipt: SignedReceipt,
    },
    /// New tokens. The text may lag behind the ids: UTF-8 is never split, and a piece that could
    /// begin a stop text is held back.
    Delta { tokens: Vec<u32>, text: String },
    /// The credit window is nearly used up: the next tokens wait for a voucher.
    VoucherWanted { receipt: SignedReceipt },
    /// The answer is complete.
    End { finish_reason: FinishReason, receipt: SignedReceipt },
    /// The answer broke off.
    Error { code: ErrorCode, message: String },
}

// An answer must never reach a log.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Accepted { .. } => "Accepted",
            Self::Delta { .. } => "Delta",
            Self::VoucherWanted { .. } => "VoucherWanted",
            Self::End { .. } => "End",
            Self::Error { .. } => "Error",
        })
    }
}

/// Totals as the worker signs them: the signature is over [`chainference_market::Receipt`]'s bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub signature: Signature,
}

impl SignedReceipt {
    pub fn totals(&self) -> Totals {
        Totals { tokens_in: self.tokens_in, tokens_out: self.tokens_out }
    }
}

/// Why the model stopped, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its answer, or a stop text came.
    Stop,
    /// `max_tokens`, the context or the stake was used up.
    Length,
}

/// Why a frame can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame is no base64")]
    Encoding,
    #[error("a frame's seal doesn't hold: it was changed, replayed or came out of order")]
    Seal,
    #[error("a frame's content is of no known form: the worker may be of a newer version")]
    Content,
}
