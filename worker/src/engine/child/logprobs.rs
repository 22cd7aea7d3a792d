//! How likely tokens are, before any sampler.

use chainference_protocol::{Candidate, TokenLogprob};
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::LlamaVocab;

/// The likelihood of `chosen` by the model's logits, with the `top` likeliest beside it.
pub(super) fn of(
    logits: &[f32],
    chosen: LlamaToken,
    top: u32,
    vocab: &LlamaVocab<'_>,
) -> TokenLogprob {
    let norm = log_sum_exp(logits);
    let candidate = |id: usize| Candidate {
        id: u32::try_from(id).unwrap_or(u32::MAX),
        bytes: bytes(LlamaToken(i32::try_from(id).unwrap_or(i32::MAX)), vocab),
        logprob: logits.get(id).map(|&logit| (f64::from(logit) - norm) as f32),
    };
    TokenLogprob {
        chosen: candidate(usize::try_from(chosen.0).unwrap_or(usize::MAX)),
        top: likeliest(logits, top as usize).into_iter().map(candidate).collect(),
    }
}

/// Of a prompt's first token, which nothing stands before.
pub(super) fn of_first(token: LlamaToken, vocab: &LlamaVocab<'_>) -> TokenLogprob {
    let id = token.0.unsigned_abs();
    let chosen = Candidate { id, bytes: bytes(token, vocab), logprob: None };
    TokenLogprob { chosen, top: Vec::new() }
}

fn bytes(token: LlamaToken, vocab: &LlamaVocab<'_>) -> Vec<u8> {
    vocab.token_to_piece(token, true, None)
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let highest = f64::from(highest);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - highest).exp()).sum();
    highest + sum.ln()
}

/// The `count` highest, best first; of equals the first.
fn likeliest(logits: &[f32], count: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    for (id, &logit) in logits.iter().enumerate() {
        if best.len() == count && best.last().is_none_or(|&last| logits[last] >= logit) {
            continue;
        }
        let at = best.partition_point(|&other| logits[other] >= logit);
        best.insert(at, id);
        best.truncate(count);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_in_order_and_of_equals_the_first() {
        let logits = [0.5, 3.0, -1.0, 3.0, 2.0];
        assert_eq!(likeliest(&logits, 0), [0; 0]);
        assert_eq!(likeliest(&logits, 3), [1, 3, 4]);
        assert_eq!(likeliest(&logits, 9), [1, 3, 4, 0, 2]);
    }

    #[test]
    fn probabilities_sum_to_one_however_large_the_logits() {
        let logits = [1_000.0, 999.0, -2_000.0, 998.5];
        let norm = log_sum_exp(&logits);
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - norm).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}
