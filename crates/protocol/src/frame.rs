//! The sealed pieces of an answer.

use chainference_market::Totals;
use serde::{Deserialize, Serialize};
use serde_with::{base64::Base64, serde_as, skip_serializing_none};

use crate::{ErrorCode, Signature};

/// One sealed piece of an answer. Totals are the job's, over all its calls.
#[serde_as]
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Frame {
    /// The prompt was counted and its computation begins: the input may be vouched for.
    Accepted {
        /// Prompt tokens of this call.
        tokens_in: u64,
        receipt: SignedReceipt,
    },
    /// New tokens of one answer, and what of it is certain by now.
    Delta(Delta),
    /// The credit window is nearly used up: the next tokens wait for a voucher.
    VoucherWanted { receipt: SignedReceipt },
    /// One input's embedding: its numbers, each as four bytes, little-endian.
    Embedding {
        index: u32,
        #[serde_as(as = "Base64")]
        vector: Vec<u8>,
    },
    /// One answer is complete.
    Finish {
        choice: u32,
        reason: FinishReason,
        /// Tokens of this answer that were reasoning.
        #[serde(default)]
        tokens_reasoning: u64,
        /// The stop text that ended it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop: Option<String>,
    },
    /// The whole call is complete.
    End {
        /// Prompt tokens that were not computed again.
        #[serde(default)]
        tokens_cached: u64,
        receipt: SignedReceipt,
    },
    /// The answer broke off.
    Error { code: ErrorCode, message: String },
}

// An answer must never reach a log.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Accepted { .. } => "Accepted",
            Self::Delta(_) => "Delta",
            Self::VoucherWanted { .. } => "VoucherWanted",
            Self::Embedding { .. } => "Embedding",
            Self::Finish { .. } => "Finish",
            Self::End { .. } => "End",
            Self::Error { .. } => "Error",
        })
    }
}

/// New tokens of one answer. What is shown may lag behind the ids: UTF-8 is never split, and a piece
/// that could begin a stop text or a tool call is held back.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delta {
    /// Which answer, counted from 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub choice: u32,
    pub tokens: Vec<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What the model thinks before it answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallDelta>,
    /// In the order of the tokens; a token whose text is held back has its entry later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
}

fn is_zero(choice: &u32) -> bool {
    *choice == 0
}

/// A tool call as it grows: id and name come once, with its first piece.
#[skip_serializing_none]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which call of the answer, counted from 0.
    pub index: u32,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    /// The next piece of the arguments' JSON.
    #[serde(default)]
    pub arguments: String,
}

/// How likely a token was.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    #[serde(flatten)]
    pub chosen: Candidate,
    /// The likeliest, best first.
    pub top: Vec<Candidate>,
}

/// A token and the natural logarithm of its probability, before any sampler.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub id: u32,
    /// Its bytes, which alone need not be UTF-8.
    pub bytes: Vec<u8>,
    /// `None` for a prompt's first token, which nothing stands before.
    pub logprob: Option<f32>,
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
    /// The model called tools and waits for what they say.
    ToolCalls,
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
