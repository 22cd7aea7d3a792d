//! How much memory there is, and how much a model will take.

use std::fs;

use crate::engine::{EngineOptions, KvType, context_tokens};
use crate::models::Gguf;

/// Of the memory that this process may use: the rest is for the system, the gateway's and the
/// chain's processes, and the page cache.
const SHARE_PERCENT: u64 = 75;
/// What a process with a model takes beside what is counted.
const PROCESS_BYTES: u64 = 96 << 20;
/// Tokens in one step, unless told otherwise.
const STEP_TOKENS: u64 = 512;
/// A layer's intermediate results, in vectors of the model's width: the feed-forward part alone is
/// some four wide, and a few are alive at a time.
const LAYER_VECTORS: u64 = 16;

/// What models may take when nothing else is said; `None` where the system doesn't tell.
pub fn budget_bytes() -> Option<u64> {
    let total = meminfo_total(&fs::read_to_string("/proc/meminfo").ok()?)?;
    // A container's own limit, by either version of control groups.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let usable = limit.map_or(total, |limit: u64| limit.min(total));
    Some(usable / 100 * SHARE_PERCENT)
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// What a model takes at most once it is loaded: weights, KV cache and what is alive within a step.
pub fn need_bytes(gguf: &Gguf, file_bytes: u64, options: &EngineOptions) -> u64 {
    let context = u64::from(context_tokens(gguf, options.context_tokens.map(Into::into)));
    let step = options.tuning.step_tokens.map_or(STEP_TOKENS, |tokens| tokens.get().into());
    // One that embeds computes whole texts, and remembers one step's tokens only.
    let embeds = gguf.pooling.is_some();
    let (step, cached) = if embeds {
        (step.max(context), step.max(context))
    } else {
        (step, context.saturating_mul(options.slots.get().into()))
    };
    let at_once = options.tuning.ubatch_tokens.map_or(step, |tokens| step.min(tokens.get().into()));
    let at_once = if embeds { step } else { at_once };
    let numbers = [
        // Attention's scores: each token of the step against the whole context.
        u64::from(gguf.heads).saturating_mul(context),
        u64::from(gguf.width).saturating_mul(LAYER_VECTORS),
        if embeds { 0 } else { gguf.vocabulary_tokens.into() },
    ];
    let alive = numbers.into_iter().fold(0, u64::saturating_add);
    [
        kv_bytes(gguf.kv_numbers_per_token.saturating_mul(cached), options.tuning.kv_type),
        alive.saturating_mul(at_once).saturating_mul(4),
        PROCESS_BYTES,
    ]
    .into_iter()
    .fold(file_bytes, u64::saturating_add)
}

/// Quantised numbers come in blocks of 32 with a scale of two bytes.
fn kv_bytes(numbers: u64, kv_type: Option<KvType>) -> u64 {
    match kv_type.unwrap_or(KvType::F16) {
        KvType::F16 => numbers.saturating_mul(2),
        KvType::Q8_0 => (numbers / 32).saturating_mul(34),
        KvType::Q4_0 => (numbers / 32).saturating_mul(18),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use chainference_chain::Abilities;

    use super::*;
    use crate::engine::Tuning;
    use crate::models::Pooling;

    const GIB: u64 = 1 << 30;

    /// Llama 3.1 8B.
    fn llama_8b() -> Gguf {
        Gguf {
            name: None,
            architecture: Some("llama".into()),
            context_tokens: Some(131_072),
            quantisation: Some("Q4_K_M"),
            tokenizer_sha256: [0; 32],
            width: 4_096,
            heads: 32,
            vocabulary_tokens: 128_256,
            kv_numbers_per_token: 32 * 8 * (128 + 128),
            pooling: None,
            abilities: Abilities::CHAT,
        }
    }

    fn need(gguf: &Gguf, slots: u32, context: Option<u32>, tuning: Tuning) -> u64 {
        let mut options = EngineOptions::new("engine".into(), Vec::new(), "model".into());
        options.slots = NonZeroU32::new(slots).expect("at least one");
        options.context_tokens = context.and_then(NonZeroU32::new);
        options.tuning = tuning;
        need_bytes(gguf, 0, &options)
    }

    #[test]
    fn the_cache_grows_with_slots_and_context_and_shrinks_with_its_type() {
        let model = llama_8b();
        // 128 KiB a token: half a GiB for 4,096 of them.
        let slot = GIB / 2;
        let one = need(&model, 1, None, Tuning::default());
        assert_eq!(need(&model, 4, None, Tuning::default()) - one, 3 * slot);
        let small = Tuning { kv_type: Some(KvType::Q8_0), ..Tuning::default() };
        assert_eq!(one - need(&model, 1, None, small), slot * 15 / 32);
        assert!((slot..3 * slot).contains(&one), "{one}");
        let long = need(&model, 1, Some(32_768), Tuning::default());
        assert!(long > 8 * slot, "{long}");
    }

    #[test]
    fn one_that_embeds_keeps_nothing_between_texts() {
        let encoder = Gguf { kv_numbers_per_token: 0, pooling: Some(Pooling::Mean), ..llama_8b() };
        let one = need(&encoder, 1, Some(512), Tuning::default());
        assert_eq!(need(&encoder, 64, Some(512), Tuning::default()), one);
        assert!(one < GIB / 2, "{one}");
    }

    #[test]
    fn a_hostile_header_does_not_overflow() {
        let hostile = Gguf {
            width: u32::MAX,
            heads: u32::MAX,
            vocabulary_tokens: u32::MAX,
            kv_numbers_per_token: u64::MAX,
            ..llama_8b()
        };
        assert_eq!(need(&hostile, 256, Some(u32::MAX), Tuning::default()), u64::MAX);
    }

    #[test]
    fn the_systems_memory_is_read() {
        assert_eq!(
            meminfo_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            Some(16_384 * 1_024)
        );
        assert_eq!(meminfo_total("MemFree: 1 kB\n"), None);
        assert!(budget_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }
}
