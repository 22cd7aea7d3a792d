//! The loaded model: weights, chat template, tokenizer, context.

use std::num::{NonZeroU32, NonZeroUsize};
use std::thread::available_parallelism;

use chainference_protocol::Message;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::{LlamaContextLoadError, LlamaModelLoadError};

use super::super::wire::Load;
use super::super::{CONTEXT_TOKENS_DEFAULT_MAX, ModelFacts};
use crate::chat::{ChatTemplate, TemplateError};
use crate::models::{Gguf, ModelFileError};

/// Tokens that one step may hold: llama.cpp's own default for a batch.
pub(super) const STEP_TOKENS_MAX: usize = 512;

#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("llama.cpp can't load the model ({0})")]
    Model(#[from] LlamaModelLoadError),
    #[error("llama.cpp can't make a context ({0})")]
    Context(#[from] LlamaContextLoadError),
    #[error(transparent)]
    File(#[from] ModelFileError),
    #[error("the model's chat template can't be used: {0}")]
    Template(#[from] TemplateError),
    #[error("slots × context is too large, or more slots than a step has tokens")]
    TooLarge,
}

pub(super) struct Model {
    pub llama: LlamaModel,
    pub context_tokens: u32,
    pub slots: u32,
    /// Length of the vectors of a model that makes embeddings; it does nothing else.
    pub embedding_width: Option<u32>,
    template: ChatTemplate,
    has_chat_template: bool,
}

impl Model {
    pub fn load(backend: &LlamaBackend, load: &Load) -> Result<Self, LoadError> {
        let params = LlamaModelParams::default().with_n_gpu_layers(load.gpu_layers);
        let llama = LlamaModel::load_from_file(backend, &load.model_path, &params)?;
        let own_template =
            llama.chat_template(None).ok().and_then(|template| template.to_string().ok());
        let special = |token: LlamaToken| {
            let bytes = if token.0 < 0 {
                Vec::new()
            } else {
                llama.vocab().token_to_piece(token, true, None)
            };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let template = ChatTemplate::new(
            own_template.as_deref(),
            &special(llama.vocab().bos()),
            &special(llama.vocab().eos()),
        )?;
        let trained = llama.n_ctx_train();
        let embeds = Gguf::open(&load.model_path)?.pooling.is_some();
        let context_tokens = load.context_tokens.unwrap_or(trained.min(CONTEXT_TOKENS_DEFAULT_MAX));
        Ok(Self {
            context_tokens,
            slots: load.slots,
            embedding_width: embeds.then(|| llama.n_embd_out().unsigned_abs()),
            template,
            has_chat_template: own_template.is_some(),
            llama,
        })
    }

    /// One context for all slots, each with its own stretch of KV cache, so that no call can take
    /// another's room.
    pub fn context(
        &self,
        backend: &LlamaBackend,
        load: &Load,
    ) -> Result<LlamaContext<'_>, LoadError> {
        let total = self
            .context_tokens
            .checked_mul(self.slots)
            .and_then(NonZeroU32::new)
            .ok_or(LoadError::TooLarge)?;
        if self.slots as usize > STEP_TOKENS_MAX {
            return Err(LoadError::TooLarge);
        }
        let threads = self.threads(load)?;
        let mut params = LlamaContextParams::default()
            .with_n_ctx(Some(total))
            .with_n_seq_max(self.slots)
            .with_n_batch(STEP_TOKENS_MAX as u32)
            .with_n_ubatch(STEP_TOKENS_MAX as u32)
            .with_kv_unified(false)
            .with_n_threads(threads)
            .with_n_threads_batch(threads);
        if load.gpu_layers == 0 {
            // On a CPU flash attention makes generation up to 2.6 times slower (measured), and
            // generation is where the time goes.
            params =
                params.with_flash_attention_policy(llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED);
        }
        Ok(self.llama.new_context(backend, params)?)
    }

    pub fn threads(&self, load: &Load) -> Result<i32, LoadError> {
        let threads = load.threads.map_or_else(|| i32::try_from(cores()), i32::try_from);
        threads.map_err(|_| LoadError::TooLarge)
    }

    pub fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.llama.meta_val_str("general.name").ok(),
            context_tokens: self.context_tokens,
            vocabulary_tokens: self.llama.n_vocab().unsigned_abs(),
            has_chat_template: self.has_chat_template,
            embedding_width: self.embedding_width,
        }
    }

    /// The prompt as llama-server would make it: chat template, then tokens.
    pub fn tokenize(&self, messages: &[Message]) -> Result<Vec<LlamaToken>, TemplateError> {
        let prompt = self.template.apply(messages)?;
        let vocab = self.llama.vocab();
        // Some templates write the begin-of-text token that the tokenizer adds as well; it must be
        // there once.
        let text = match self.template.bos() {
            bos if vocab.should_add_bos() && !bos.is_empty() => {
                prompt.strip_prefix(bos).unwrap_or(&prompt)
            }
            _ => &prompt,
        };
        Ok(vocab.tokenize(text.as_bytes(), true, true))
    }
}

/// Physical cores, or fewer if this process may use fewer: two threads on one core only wait for
/// each other's memory.
fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get).min(num_cpus::get_physical())
}
