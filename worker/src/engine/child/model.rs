//! The loaded model: weights, chat template, tokenizer, context.

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::LlamaVocab;
use llama_cpp_2::{LlamaContextLoadError, LlamaModelLoadError};

use super::super::wire::Load;
use super::super::{ModelFacts, context_tokens};
use crate::chat::{ChatError, ChatTemplate, TemplateSource};
use crate::models::{Gguf, ModelFileError};

#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("llama.cpp can't load the model ({0})")]
    Model(#[from] LlamaModelLoadError),
    #[error("llama.cpp can't make a context ({0})")]
    Context(#[from] LlamaContextLoadError),
    #[error(transparent)]
    File(#[from] ModelFileError),
    #[error("the model's chat template can't be used: {0}")]
    Template(#[from] ChatError),
    #[error("slots × context is too large, or more slots than a step has tokens")]
    TooLarge,
}

pub(super) struct Model {
    pub llama: LlamaModel,
    pub context_tokens: u32,
    pub slots: u32,
    pub on_gpu: bool,
    /// Length of the vectors of a model that makes embeddings; it does nothing else.
    pub embedding_width: Option<u32>,
    pub template: ChatTemplate,
    has_chat_template: bool,
}

impl Model {
    pub fn load(backend: &LlamaBackend, load: &Load) -> Result<Self, LoadError> {
        let mut params = LlamaModelParams::default()
            .with_n_gpu_layers(load.gpu_layers)
            .with_vocab_only(load.vocabulary_only);
        if let Some(mmap) = load.tuning.mmap(load.gpu_layers) {
            params = params.with_use_mmap(mmap);
        }
        let llama = LlamaModel::load_from_file(backend, &load.model_path, &params)?;
        let own = |name| llama.chat_template(name).ok().and_then(|it| it.to_string().ok());
        let (own_template, tool_use) = match &load.chat_template {
            Some(text) => (Some(text.clone()), None),
            None => (own(None), own(Some("tool_use"))),
        };
        let special = |token: LlamaToken| {
            let bytes = if token.0 < 0 {
                Vec::new()
            } else {
                llama.vocab().token_to_piece(token, true, None)
            };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let template = ChatTemplate::new(TemplateSource {
            text: own_template.as_deref(),
            tool_use: tool_use.as_deref(),
            bos: &special(llama.vocab().bos()),
            eos: &special(llama.vocab().eos()),
            is_chatml: single_token(&llama.vocab(), "<|im_start|>").is_some(),
        })?;
        let gguf = Gguf::open(&load.model_path)?;
        Ok(Self {
            context_tokens: context_tokens(&gguf, load.context_tokens),
            slots: load.slots,
            on_gpu: load.gpu_layers > 0,
            embedding_width: gguf.pooling.map(|_| llama.n_embd_out().unsigned_abs()),
            template,
            has_chat_template: own_template.is_some(),
            llama,
        })
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

    /// A prompt that the chat template made, as llama-server would read it.
    pub fn tokenize(&self, prompt: &str) -> Vec<LlamaToken> {
        let vocab = self.llama.vocab();
        // Some templates write the begin-of-text token that the tokenizer adds as well; it must be
        // there once.
        let text = match self.template.bos() {
            bos if vocab.should_add_bos() && !bos.is_empty() => {
                prompt.strip_prefix(bos).unwrap_or(prompt)
            }
            _ => prompt,
        };
        vocab.tokenize(text.as_bytes(), true, true)
    }

    /// The token that is just this text, special ones included.
    pub fn token(&self, text: &str) -> Option<LlamaToken> {
        single_token(&self.llama.vocab(), text)
    }
}

fn single_token(vocab: &LlamaVocab<'_>, text: &str) -> Option<LlamaToken> {
    match vocab.tokenize(text.as_bytes(), false, true)[..] {
        [token] => Some(token),
        _ => None,
    }
}
