//! The context: where the model computes, and its KV cache.

use std::num::NonZeroU32;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::LlamaBackend;

use super::super::KvType;
use super::super::wire::Load;
use super::model::{LoadError, Model};
use super::threads;

/// Tokens that one step may hold, unless told otherwise: llama.cpp's own default.
pub(super) const STEP_TOKENS: u32 = 512;

/// One context for all slots.
pub(super) fn make<'a>(
    model: &'a Model,
    backend: &LlamaBackend,
    load: &Load,
) -> Result<LlamaContext<'a>, LoadError> {
    let total = model.context_tokens.checked_mul(model.slots).and_then(NonZeroU32::new);
    let total = total.ok_or(LoadError::TooLarge)?;
    let tuning = &load.tuning;
    let step_tokens = tuning.step_tokens.map_or(STEP_TOKENS, NonZeroU32::get);
    if model.slots > step_tokens {
        return Err(LoadError::TooLarge);
    }
    let threads = threads::most(load)?;
    let kv_type = match tuning.kv_type.unwrap_or(KvType::F16) {
        KvType::F16 => KvCacheType::F16,
        KvType::Q8_0 => KvCacheType::Q8_0,
        KvType::Q4_0 => KvCacheType::Q4_0,
    };
    let params = LlamaContextParams::default()
        .with_n_ctx(Some(total))
        .with_n_seq_max(model.slots)
        .with_n_batch(step_tokens)
        .with_n_ubatch(tuning.ubatch_tokens.map_or(step_tokens, NonZeroU32::get))
        .with_type_k(kv_type)
        .with_type_v(kv_type)
        .with_kv_unified(tuning.kv_unified.unwrap_or(false))
        .with_flash_attention_policy(match tuning.flash_attention(load.gpu_layers) {
            Some(true) => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Some(false) => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            None => llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_AUTO,
        })
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    Ok(model.llama.new_context(backend, params)?)
}
