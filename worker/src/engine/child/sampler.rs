//! Chooses tokens: llama.cpp's samplers in llama-server's order with its defaults, and the grammar.

use chainference_protocol::{Decoding, Sampling};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use super::model::Model;

// llama.cpp's defaults.
const TEMPERATURE: f32 = 0.8;
const TOP_K: i32 = 40;
const TOP_P: f32 = 0.95;
const MIN_P: f32 = 0.05;
const XTC_THRESHOLD: f32 = 0.1;
const LOOK_BACK_TOKENS: i32 = 64;
const DRY_BASE: f32 = 1.75;
const DRY_ALLOWED_LENGTH: i32 = 2;
const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];
const MIROSTAT_TAU: f32 = 5.0;
const MIROSTAT_ETA: f32 = 0.1;
const MIROSTAT_M: i32 = 100;
/// llama.cpp draws a seed of its own for this value.
const SEED_RANDOM: u32 = u32::MAX;

/// Why no token can be chosen.
#[derive(Debug, thiserror::Error)]
pub(super) enum SampleError {
    #[error("the grammar lets no token of the vocabulary come next")]
    DeadEnd,
    #[error("the grammar does not take a token that it let through")]
    Grammar,
}

pub(super) struct Sampler {
    chain: LlamaSampler,
    grammar: Option<LlamaSampler>,
    /// Kept from token to token: it is as large as the vocabulary.
    candidates: LlamaTokenDataArray,
    /// The chain does nothing but choose the likeliest token.
    is_greedy: bool,
}

impl Sampler {
    /// For the answer `choice` to a prompt; a seed gives each answer one of its own.
    pub fn new(
        decoding: &Decoding,
        choice: u32,
        prompt: &[LlamaToken],
        grammar: Option<LlamaSampler>,
        model: &Model,
    ) -> Self {
        let sampling = &decoding.sampling;
        let mut chain = Chain { samplers: Vec::new(), sampling, model };
        chain.bias(decoding.ignore_eos);
        let looks_back = chain.penalties();
        chain.choose(seed(sampling.seed, choice));
        let is_greedy = chain.samplers.len() == 1 && chain.takes_the_likeliest();
        let mut chain = LlamaSampler::chain_simple(chain.samplers);
        if looks_back {
            chain.accept_many(prompt);
        }
        let candidates = LlamaTokenDataArray::new(Vec::new(), false);
        Self { chain, grammar, candidates, is_greedy }
    }

    /// Chooses the next token by the model's logits. The grammar is asked about the token that was
    /// chosen; only if it doesn't fit, about all, since that is dear. While the model thinks, what
    /// is to be held by the grammar hasn't begun.
    pub fn sample(
        &mut self,
        logits: &[f32],
        grammar_holds: bool,
    ) -> Result<LlamaToken, SampleError> {
        let token = self.choose(logits)?;
        let Some(grammar) = self.grammar.as_mut().filter(|_| grammar_holds) else {
            return Ok(token);
        };
        if fits(grammar, token) {
            return Ok(token);
        }
        self.fill(logits);
        let grammar = self.grammar.as_mut().ok_or(SampleError::DeadEnd)?;
        self.candidates.apply_sampler(grammar);
        // A sampler without any candidate left would choose one that was rejected.
        self.candidates.data.retain(|candidate| candidate.logit() > f32::NEG_INFINITY);
        if self.candidates.data.is_empty() {
            return Err(SampleError::DeadEnd);
        }
        self.candidates.apply_sampler(&mut self.chain);
        let token = self.candidates.selected_token().ok_or(SampleError::DeadEnd)?;
        // The bias comes after the grammar here and may have left nothing.
        let grammar = self.grammar.as_mut().ok_or(SampleError::DeadEnd)?;
        if fits(grammar, token) { Ok(token) } else { Err(SampleError::DeadEnd) }
    }

    /// Books a token that was chosen; not the one that ends the answer.
    pub fn accept(&mut self, token: LlamaToken, grammar_holds: bool) -> Result<(), SampleError> {
        if let Some(grammar) = self.grammar.as_mut().filter(|_| grammar_holds) {
            grammar.try_accept(token).map_err(|_| SampleError::Grammar)?;
        }
        self.chain.accept(token);
        Ok(())
    }

    fn choose(&mut self, logits: &[f32]) -> Result<LlamaToken, SampleError> {
        if self.is_greedy {
            return likeliest(logits).ok_or(SampleError::DeadEnd);
        }
        self.fill(logits);
        self.candidates.apply_sampler(&mut self.chain);
        self.candidates.selected_token().ok_or(SampleError::DeadEnd)
    }

    fn fill(&mut self, logits: &[f32]) {
        let candidates = &mut self.candidates;
        candidates.data.clear();
        candidates.data.extend(
            (0..).zip(logits).map(|(id, &logit)| LlamaTokenData::new(LlamaToken(id), logit, 0.0)),
        );
        (candidates.selected, candidates.sorted) = (None, false);
    }
}

/// The first of the largest, as llama.cpp's greedy sampler chooses, without a list of candidates.
fn likeliest(logits: &[f32]) -> Option<LlamaToken> {
    // Lanes of their own let the compiler use vector instructions: this is read for each token.
    let mut lanes = [f32::NEG_INFINITY; 32];
    let (chunks, rest) = logits.as_chunks::<32>();
    for chunk in chunks {
        lanes = std::array::from_fn(|n| if chunk[n] > lanes[n] { chunk[n] } else { lanes[n] });
    }
    let most = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    let at = logits.iter().position(|&logit| logit == most)?;
    i32::try_from(at).ok().map(LlamaToken)
}

fn fits(grammar: &mut LlamaSampler, token: LlamaToken) -> bool {
    let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
    one.apply_sampler(grammar);
    one.data.first().is_some_and(|candidate| candidate.logit() > f32::NEG_INFINITY)
}

/// The same seed gives the same answers, each of several another.
fn seed(seed: Option<u32>, choice: u32) -> u32 {
    match seed.map(|seed| seed.wrapping_add(choice)) {
        // A seed like any other for who asks for it.
        Some(SEED_RANDOM) => SEED_RANDOM / 2,
        Some(seed) => seed,
        None => SEED_RANDOM,
    }
}

struct Chain<'a> {
    samplers: Vec<LlamaSampler>,
    sampling: &'a Sampling,
    model: &'a Model,
}

impl Chain<'_> {
    fn llama(&self) -> &LlamaModel {
        &self.model.llama
    }

    /// Added to logits before anything else.
    fn bias(&mut self, ignore_eos: bool) {
        let vocab = self.llama().vocab();
        let wanted = self.sampling.logit_bias.iter();
        let mut biases: Vec<_> = wanted
            .map(|(&id, &bias)| LlamaLogitBias::new(LlamaToken(id.cast_signed()), bias))
            .collect();
        let never = |&token: &LlamaToken| LlamaLogitBias::new(token, f32::NEG_INFINITY);
        biases.extend(vocab.suppress_tokens().iter().map(never));
        if ignore_eos {
            let ends: Vec<_> = vocab.tokens().filter(|&token| vocab.is_eog(token)).collect();
            biases.extend(ends.iter().map(never));
        }
        if !biases.is_empty() {
            self.samplers.push(LlamaSampler::logit_bias(self.llama().n_vocab(), &biases));
        }
    }

    /// What looks back at earlier tokens, those of the prompt too. Gives whether anything does.
    fn penalties(&mut self) -> bool {
        let sampling = self.sampling;
        let context = i32::try_from(self.model.context_tokens).unwrap_or(i32::MAX);
        let tokens = |last: Option<i32>| match last.unwrap_or(LOOK_BACK_TOKENS) {
            -1 => context,
            last => last,
        };
        let before = self.samplers.len();
        let repeat = sampling.repeat_penalty.unwrap_or(1.0);
        let frequency = sampling.frequency_penalty.unwrap_or(0.0);
        let presence = sampling.presence_penalty.unwrap_or(0.0);
        if (repeat, frequency, presence) != (1.0, 0.0, 0.0) {
            let last = tokens(sampling.repeat_last_n);
            let vocabulary = self.llama().n_vocab();
            let penalties = LlamaSampler::penalties(vocabulary, last, repeat, frequency, presence);
            self.samplers.push(penalties);
        }
        let dry_multiplier = sampling.dry_multiplier.unwrap_or(0.0);
        if dry_multiplier != 0.0 {
            let defaults = || DRY_BREAKERS.map(str::to_owned).to_vec();
            self.samplers.push(LlamaSampler::dry(
                self.llama(),
                dry_multiplier,
                sampling.dry_base.unwrap_or(DRY_BASE),
                sampling.dry_allowed_length.unwrap_or(DRY_ALLOWED_LENGTH),
                tokens(sampling.dry_penalty_last_n),
                sampling.dry_sequence_breakers.clone().unwrap_or_else(defaults),
            ));
        }
        self.samplers.len() > before
    }

    fn choose(&mut self, seed: u32) {
        let sampling = self.sampling;
        let temperature = sampling.temperature.unwrap_or(TEMPERATURE);
        let vocabulary = self.llama().n_vocab();
        let tau = sampling.mirostat_tau.unwrap_or(MIROSTAT_TAU);
        let eta = sampling.mirostat_eta.unwrap_or(MIROSTAT_ETA);
        match sampling.mirostat.unwrap_or(0) {
            0 if self.takes_the_likeliest() => self.samplers.push(LlamaSampler::greedy()),
            0 => self.samplers.extend([
                LlamaSampler::top_n_sigma(sampling.top_n_sigma.unwrap_or(-1.0)),
                LlamaSampler::top_k(sampling.top_k.unwrap_or(TOP_K)),
                LlamaSampler::typical(sampling.typical_p.unwrap_or(1.0), 0),
                LlamaSampler::top_p(sampling.top_p.unwrap_or(TOP_P), 0),
                LlamaSampler::min_p(sampling.min_p.unwrap_or(MIN_P), 0),
                LlamaSampler::xtc(
                    sampling.xtc_probability.unwrap_or(0.0),
                    sampling.xtc_threshold.unwrap_or(XTC_THRESHOLD),
                    0,
                    seed,
                ),
                LlamaSampler::temp_ext(
                    temperature,
                    sampling.dynatemp_range.unwrap_or(0.0),
                    sampling.dynatemp_exponent.unwrap_or(1.0),
                ),
                LlamaSampler::dist(seed),
            ]),
            1 => self.samplers.extend([
                LlamaSampler::temp(temperature),
                LlamaSampler::mirostat(vocabulary, seed, tau, eta, MIROSTAT_M),
            ]),
            _ => self.samplers.extend([
                LlamaSampler::temp(temperature),
                LlamaSampler::mirostat_v2(seed, tau, eta),
            ]),
        }
    }

    /// At temperature 0 the others change nothing, since they all keep the likeliest token: but for
    /// these.
    fn takes_the_likeliest(&self) -> bool {
        self.sampling.temperature.is_some_and(|temperature| temperature <= 0.0)
            && self.sampling.dynatemp_range.unwrap_or(0.0) <= 0.0
            && self.sampling.xtc_probability.unwrap_or(0.0) <= 0.0
            && self.sampling.typical_p.unwrap_or(1.0) >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::token::LlamaToken;

    use super::{likeliest, seed};

    #[test]
    fn the_first_of_the_likeliest_is_chosen() {
        assert_eq!(likeliest(&[-3.0, -1.0, -2.0, -1.0]), Some(LlamaToken(1)));
        assert_eq!(likeliest(&[f32::NEG_INFINITY; 2]), Some(LlamaToken(0)));
        assert_eq!(likeliest(&[f32::NAN; 2]), None);
        let many: Vec<f32> = (0..100).map(|n| if n % 40 == 39 { 1.0 } else { -1.0 }).collect();
        assert_eq!(likeliest(&many), Some(LlamaToken(39)));
    }

    #[test]
    fn each_answer_has_a_seed_of_its_own_and_none_is_random() {
        assert_eq!((seed(Some(7), 0), seed(Some(7), 2)), (7, 9));
        assert_eq!(seed(None, 3), u32::MAX);
        assert_ne!(seed(Some(u32::MAX), 0), u32::MAX);
        assert_eq!(seed(Some(u32::MAX), 1), 0);
    }
}
