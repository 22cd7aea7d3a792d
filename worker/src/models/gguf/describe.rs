//! What a header tells: a model's name and shape, and what it can be asked for.

use std::collections::BTreeMap;

use chainference_chain::Abilities;
use sha2::{Digest, Sha256};

use super::{Value, tensor};

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gguf {
    pub name: Option<String>,
    pub architecture: Option<String>,
    /// What the model was trained for.
    pub context_tokens: Option<u32>,
    /// As in file names, such as "Q4_K_M".
    pub quantisation: Option<&'static str>,
    /// Over everything that decides how text becomes tokens, see [`tokenizer_sha256`].
    pub tokenizer_sha256: [u8; 32],
    /// Length of the model's vectors.
    pub width: u32,
    /// Attention heads of the layer that has most.
    pub heads: u32,
    pub vocabulary_tokens: u32,
    /// Numbers that the KV cache keeps of each token, over all layers. 0 for an encoder, which has
    /// no cache.
    pub kv_numbers_per_token: u64,
    /// How one vector is made of a text; `None` for a model that isn't made for that.
    pub pooling: Option<Pooling>,
    pub abilities: Abilities,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    Mean,
    /// The vector of the first token, which stands for the whole.
    Cls,
    /// The vector of the last token, which has seen all before it.
    Last,
}

/// The values of a header, by their names.
pub(super) type Metadata = BTreeMap<String, Value>;

pub(super) fn describe(metadata: &Metadata) -> Gguf {
    let architecture = metadata.get("general.architecture").and_then(Value::string);
    let own = Own { metadata, architecture: architecture.as_deref().unwrap_or_default() };
    let pooling = own.pooling();
    let heads = own.per_layer("attention.head_count");
    Gguf {
        name: metadata.get("general.name").and_then(Value::string),
        context_tokens: own.number("context_length"),
        quantisation: metadata
            .get("general.file_type")
            .and_then(Value::u32)
            .and_then(tensor::file_type),
        tokenizer_sha256: tokenizer_sha256(metadata),
        width: own.number("embedding_length").unwrap_or(0),
        heads: heads.into_iter().max().unwrap_or(0),
        vocabulary_tokens: own.vocabulary_tokens(),
        kv_numbers_per_token: own.kv_numbers_per_token(),
        abilities: abilities(metadata, pooling),
        pooling,
        architecture,
    }
}

/// The values under the architecture's own name.
struct Own<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Own<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.get(key).and_then(Value::u32)
    }

    fn layers(&self) -> u32 {
        // A header's word alone must not make us count to four billion.
        self.number("block_count").unwrap_or(0).min(4_096)
    }

    fn per_layer(&self, key: &str) -> Vec<u32> {
        self.get(key).and_then(|value| value.per_layer(self.layers())).unwrap_or_default()
    }

    fn vocabulary_tokens(&self) -> u32 {
        let tokens = self.metadata.get("tokenizer.ggml.tokens");
        let count = tokens
            .and_then(|tokens| tokens.bytes.get(4..12))
            .and_then(|bytes| u32::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok());
        count.unwrap_or(0)
    }

    /// Keys and values of every layer. Sliding windows and recurrent layers need less: this is what
    /// is needed at most.
    fn kv_numbers_per_token(&self) -> u64 {
        if self.is_encoder() {
            return 0;
        }
        let heads = self.per_layer("attention.head_count");
        let width = self.number("embedding_length").unwrap_or(0);
        let by_default = heads.iter().copied().max().map_or(0, |heads| width / heads.max(1));
        let length = |key| u64::from(self.number(key).unwrap_or(by_default));
        let of_head = length("attention.key_length") + length("attention.value_length");
        let kv_heads = self.per_layer("attention.head_count_kv");
        let kv_heads = if kv_heads.is_empty() { heads } else { kv_heads };
        let numbers = kv_heads.into_iter().map(|heads| u64::from(heads).saturating_mul(of_head));
        numbers.fold(0, u64::saturating_add)
    }

    fn is_encoder(&self) -> bool {
        self.get("attention.causal").and_then(Value::bool) == Some(false)
    }

    /// A decoder that was trained to embed says how; one that wasn't has no good vectors to give. An
    /// encoder that doesn't say is taken as most are.
    fn pooling(&self) -> Option<Pooling> {
        match self.number("pooling_type") {
            Some(1) => Some(Pooling::Mean),
            Some(2) => Some(Pooling::Cls),
            Some(3) => Some(Pooling::Last),
            // 4 ranks pairs of texts, which nothing here asks for.
            Some(4) => None,
            _ => self.is_encoder().then_some(Pooling::Mean),
        }
    }
}

/// Templates that open or expect a stretch of thoughts name one of these.
const THOUGHTS: [&str; 6] =
    ["<think>", "reasoning_content", "enable_thinking", "<|channel|>", "[THINK]", "<thinking>"];
/// Whether a chat template lets the model think before it answers.
pub(crate) fn thinks(template: &str) -> bool {
    THOUGHTS.iter().any(|thought| template.contains(thought))
}

/// The token before the text that stands in front of a gap, as the known families write it.
const GAP_BEGINS: [&str; 7] = [
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<\u{ff5c}fim\u{2581}begin\u{ff5c}>",
    "<PRE>",
    "\u{2581}<PRE>",
    "<|code_prefix|>",
];

fn abilities(metadata: &Metadata, pooling: Option<Pooling>) -> Abilities {
    if pooling.is_some() {
        return Abilities::EMBEDDINGS;
    }
    // Tools need no template of the model's own: where it has no word for them, another is used,
    // and a grammar forces the call.
    let mut abilities = Abilities::CHAT
        | Abilities::TOOLS
        | Abilities::STRUCTURED
        | Abilities::COMPLETIONS
        | Abilities::LOGPROBS;
    let template = metadata.get("tokenizer.chat_template").and_then(Value::string);
    if template.is_some_and(|text| thinks(&text)) {
        abilities |= Abilities::REASONING;
    }
    let says_so = ["tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"];
    let has_token = || {
        let tokens = metadata.get("tokenizer.ggml.tokens");
        tokens.is_some_and(|tokens| GAP_BEGINS.iter().any(|token| has_string(tokens, token)))
    };
    if says_so.iter().any(|key| metadata.contains_key(*key)) || has_token() {
        abilities |= Abilities::INFILL;
    }
    abilities
}

/// Whether a list of strings has this one. The bytes were read through once: lengths are right.
fn has_string(list: &Value, wanted: &str) -> bool {
    let mut rest = list.bytes.get(12..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let Ok(length) = usize::try_from(u64::from_le_bytes(*length)) else { return false };
        let Some((text, after)) = after.split_at_checked(length) else { return false };
        if text == wanted.as_bytes() {
            return true;
        }
        rest = after;
    }
    false
}

/// SHA-256 over all `tokenizer.ggml.*` entries in order of their names, each as name length (u64),
/// name, type (u32), value as in the file, all little-endian. The chat template is not part of it:
/// it decides what is asked, not how text becomes tokens.
fn tokenizer_sha256(metadata: &Metadata) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (key, value) in metadata.iter().filter(|(key, _)| key.starts_with("tokenizer.ggml.")) {
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key.as_bytes());
        hash.update(value.kind.to_le_bytes());
        hash.update(&value.bytes);
    }
    hash.finalize().into()
}
