//! How llama.cpp computes.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Overrides; what is `None` is chosen by the engine, as said with each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Off on a CPU, where generation is slower with it; llama.cpp's choice on a GPU.
    pub flash_attention: Option<bool>,
    /// F16. A smaller one needs flash attention, which is then on.
    pub kv_type: Option<KvType>,
    /// Whether the weights stay in the file's pages; not so on a CPU, where they are read into memory of its own,
    /// whose pages can be large ones: each token reads all weights, and finds them sooner there.
    pub mmap: Option<bool>,
    /// Tokens in one step; 512. More make long prompts a little faster, and every pause longer.
    pub step_tokens: Option<NonZeroU32>,
    /// Tokens that are computed at once within a step; all of it.
    pub ubatch_tokens: Option<NonZeroU32>,
    /// One stretch of KV cache for all slots instead of one for each; off. Unified, each token is
    /// compared with every slot's tokens, but what is used again isn't copied.
    pub kv_unified: Option<bool>,
}

/// What the KV cache holds for each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    F16,
    Q8_0,
    Q4_0,
}

impl Tuning {
    /// This one, and what `below` says where this says nothing.
    pub fn over(&self, below: &Self) -> Self {
        Self {
            flash_attention: self.flash_attention.or(below.flash_attention),
            kv_type: self.kv_type.or(below.kv_type),
            mmap: self.mmap.or(below.mmap),
            step_tokens: self.step_tokens.or(below.step_tokens),
            ubatch_tokens: self.ubatch_tokens.or(below.ubatch_tokens),
            kv_unified: self.kv_unified.or(below.kv_unified),
        }
    }

    /// `None`: llama.cpp's own choice.
    pub(super) fn mmap(&self, gpu_layers: u32) -> Option<bool> {
        self.mmap.or((gpu_layers == 0).then_some(false))
    }

    /// `None`: llama.cpp's own choice.
    pub(super) fn flash_attention(&self, gpu_layers: u32) -> Option<bool> {
        let quantised = self.kv_type.is_some_and(|kv_type| kv_type != KvType::F16);
        let chosen = if quantised { Some(true) } else { (gpu_layers == 0).then_some(false) };
        self.flash_attention.or(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_attention_is_off_on_a_cpu_unless_it_is_needed_or_asked_for() {
        let plain = Tuning::default();
        assert_eq!(plain.flash_attention(0), Some(false));
        assert_eq!(plain.flash_attention(99), None);
        let small = Tuning { kv_type: Some(KvType::Q8_0), ..Tuning::default() };
        assert_eq!(small.flash_attention(0), Some(true));
        let asked = Tuning { flash_attention: Some(true), ..Tuning::default() };
        assert_eq!(asked.flash_attention(0), Some(true));
    }
}
