//! What an answer used, and what every object of it repeats.

use serde::Serialize;

/// What every object of one answer repeats.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `chatcmpl-…` or `cmpl-…`
    pub id: String,
    pub created_unix_s: i64,
    /// The model's id as the market lists it, whatever the client wrote.
    pub model: String,
}

/// Tokens used, and what they cost on chain.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    chainference: Settlement,
}

/// The same for embeddings, which have no completion.
#[derive(Clone, Debug, Serialize)]
pub struct InputUsage {
    prompt_tokens: u64,
    total_tokens: u64,
    chainference: Settlement,
}

/// The tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub prompt: u64,
    /// Of the prompt: those that were not computed again.
    pub cached: u64,
    pub completion: u64,
    /// Of the completion: those that were reasoning.
    pub reasoning: u64,
}

/// The extension that OpenAI has no word for.
#[derive(Clone, Debug, Serialize)]
pub struct Settlement {
    /// Address of the job that pays for this call; empty where none does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Address of the worker's record, or `upstream` and its name.
    pub worker: String,
    pub cost_lamports: u64,
    /// Time that the gateway and the chain added before the worker got the call.
    pub overhead_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl Usage {
    pub fn new(tokens: Tokens, chainference: Settlement) -> Self {
        Self {
            prompt_tokens: tokens.prompt,
            completion_tokens: tokens.completion,
            total_tokens: tokens.prompt.saturating_add(tokens.completion),
            prompt_tokens_details: PromptDetails {
                cached_tokens: tokens.cached,
                ..PromptDetails::default()
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: tokens.reasoning,
                ..CompletionDetails::default()
            },
            chainference,
        }
    }

    pub fn tokens(&self) -> Tokens {
        Tokens {
            prompt: self.prompt_tokens,
            cached: self.prompt_tokens_details.cached_tokens,
            completion: self.completion_tokens,
            reasoning: self.completion_tokens_details.reasoning_tokens,
        }
    }

    pub fn settlement(&self) -> &Settlement {
        &self.chainference
    }
}

impl InputUsage {
    pub fn new(tokens: Tokens, chainference: Settlement) -> Self {
        Self { prompt_tokens: tokens.prompt, total_tokens: tokens.prompt, chainference }
    }
}
