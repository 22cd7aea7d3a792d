//! From what a caller asks to llama.cpp's sampler chain, in the order that llama-server uses.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use chainference_protocol::Sampling;

// llama.cpp's defaults.
const TEMPERATURE: f32 = 0.8;
const TOP_K: i32 = 40;
const TOP_P: f32 = 0.95;
const MIN_P: f32 = 0.05;
/// llama.cpp draws a seed of its own for this value.
const SEED_RANDOM: u32 = u32::MAX;

/// `vocabulary` and `context_tokens` are the model's; penalties look at the whole answer, as
/// OpenAI's do.
pub(super) fn build(sampling: &Sampling, vocabulary: i32, context_tokens: u32) -> LlamaSampler {
    let mut chain = Vec::new();
    if !sampling.logit_bias.is_empty() {
        let bias = |(&token, &bias): (&u32, &f32)| {
            LlamaLogitBias::new(LlamaToken(token.cast_signed()), bias)
        };
        let biases: Vec<_> = sampling.logit_bias.iter().map(bias).collect();
        chain.push(LlamaSampler::logit_bias(vocabulary, &biases));
    }
    let frequency = sampling.frequency_penalty.unwrap_or(0.0);
    let presence = sampling.presence_penalty.unwrap_or(0.0);
    if frequency != 0.0 || presence != 0.0 {
        let last = i32::try_from(context_tokens).unwrap_or(i32::MAX);
        chain.push(LlamaSampler::penalties(vocabulary, last, 1.0, frequency, presence));
    }
    let temperature = sampling.temperature.unwrap_or(TEMPERATURE);
    if temperature <= 0.0 {
        chain.push(LlamaSampler::greedy());
    } else {
        let top_k = sampling.top_k.unwrap_or(TOP_K);
        chain.extend([
            LlamaSampler::top_k(top_k),
            LlamaSampler::top_p(sampling.top_p.unwrap_or(TOP_P), 1),
            LlamaSampler::min_p(sampling.min_p.unwrap_or(MIN_P), 1),
            LlamaSampler::temp(temperature),
            LlamaSampler::dist(sampling.seed.unwrap_or(SEED_RANDOM)),
        ]);
    }
    LlamaSampler::chain_simple(chain)
}
