use std::io::Write;

use super::*;

/// A GGUF file with one F32 tensor of eight elements, built by hand.
pub(in crate::models) fn file() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes()); // tensors
    out.extend(5_u64.to_le_bytes()); // values
    string_value(&mut out, "general.architecture", "llama");
    string_value(&mut out, "general.name", "tiny");
    number_value(&mut out, "general.file_type", 15);
    number_value(&mut out, "llama.context_length", 2048);
    key(&mut out, "tokenizer.ggml.tokens");
    out.extend(KIND_ARRAY.to_le_bytes());
    out.extend(KIND_STRING.to_le_bytes());
    out.extend(2_u64.to_le_bytes());
    key(&mut out, "<s>");
    key(&mut out, "a");
    key(&mut out, "weight");
    out.extend(1_u32.to_le_bytes()); // dimensions
    out.extend(8_u64.to_le_bytes());
    out.extend(0_u32.to_le_bytes()); // F32
    out.extend(0_u64.to_le_bytes()); // offset
    out.resize(out.len().next_multiple_of(32) + 32, 7);
    out
}

fn key(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn string_value(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    out.extend(KIND_STRING.to_le_bytes());
    key(out, value);
}

fn number_value(out: &mut Vec<u8>, name: &str, value: u32) {
    key(out, name);
    out.extend(KIND_U32.to_le_bytes());
    out.extend(value.to_le_bytes());
}

fn open(bytes: &[u8]) -> Result<Gguf, ModelFileError> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    Gguf::open(file.path())
}

#[test]
fn the_header_says_what_the_model_is() {
    let gguf = open(&file()).expect("a whole file");
    assert_eq!(gguf.name.as_deref(), Some("tiny"));
    assert_eq!(gguf.architecture.as_deref(), Some("llama"));
    assert_eq!(gguf.context_tokens, Some(2048));
    assert_eq!(gguf.quantisation, Some("Q4_K_M"));
}

#[test]
fn a_file_cut_anywhere_is_called_truncated() {
    let whole = file();
    for end in 4..whole.len() {
        let error = open(&whole[..end]).expect_err("cut");
        let named = matches!(error, ModelFileError::Truncated { has_bytes, needs_bytes, .. } if has_bytes == end as u64 && needs_bytes > has_bytes);
        assert!(named, "cut at {end}: {error}");
    }
}

#[test]
fn another_kind_of_file_is_named_as_such() {
    assert!(matches!(
        open(b"PK\x03\x04 a zip file"),
        Err(ModelFileError::NotGguf { magic: [b'P', b'K', 3, 4], .. })
    ));
    assert!(matches!(open(b"GG"), Err(ModelFileError::Truncated { .. })));
    let mut old = file();
    old[4] = 1;
    assert!(matches!(open(&old), Err(ModelFileError::Version { version: 1, .. })));
}

#[test]
fn hostile_lengths_are_errors_not_allocations() {
    let whole = file();
    // Each u64 of the header in turn becomes huge; every outcome is an error or a description,
    // never a crash.
    for at in 8..whole.len() - 8 {
        let mut bytes = whole.clone();
        bytes[at..at + 8].fill(0xff);
        let _ = open(&bytes);
    }
    let mut many_values = whole;
    many_values[16..24].fill(0xff);
    open(&many_values).expect_err("so many values don't fit in the file");
}

#[test]
fn the_tokenizer_hash_changes_with_the_tokens_and_with_nothing_else() {
    let replace = |from: &[u8], to: &[u8]| {
        let mut bytes = file();
        let at = bytes.windows(from.len()).position(|window| window == from).expect("there");
        bytes[at..at + to.len()].copy_from_slice(to);
        open(&bytes).expect("a whole file").tokenizer_sha256
    };
    assert_eq!(replace(b"tiny", b"tidy"), replace(b"tiny", b"tiny"));
    assert_ne!(replace(b"<s>", b"<t>"), replace(b"<s>", b"<s>"));
}

/// A header of these values, with no tensors.
fn header(values: &[(&str, u32, Vec<u8>)]) -> Gguf {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend((values.len() as u64).to_le_bytes());
    for (name, kind, bytes) in values {
        key(&mut out, name);
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    }
    out.resize(out.len().next_multiple_of(32), 0);
    open(&out).expect("a whole file")
}

fn text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    key(&mut out, value);
    out
}

fn number(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn list(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let head = [kind.to_le_bytes().to_vec(), (items.len() as u64).to_le_bytes().to_vec()];
    [head.concat(), items.concat()].concat()
}

/// A decoder with 4 layers of width 64 and 8 heads, 2 of them for keys and values.
fn decoder() -> Vec<(&'static str, u32, Vec<u8>)> {
    let tokens: Vec<_> = ["<s>", "a", "<|fim_prefix|>"].map(text).into();
    vec![
        ("general.architecture", KIND_STRING, text("llama")),
        ("llama.block_count", KIND_U32, number(4)),
        ("llama.embedding_length", KIND_U32, number(64)),
        ("llama.attention.head_count", KIND_U32, number(8)),
        ("llama.attention.head_count_kv", KIND_U32, number(2)),
        ("tokenizer.ggml.tokens", KIND_ARRAY, list(KIND_STRING, &tokens)),
    ]
}

#[test]
fn the_cache_is_counted_from_heads_and_layers() {
    let with = |name, kind, bytes| {
        let mut values = decoder();
        values.retain(|(key, ..)| *key != name);
        values.push((name, kind, bytes));
        header(&values).kv_numbers_per_token
    };
    let plain = header(&decoder());
    assert_eq!((plain.width, plain.heads, plain.vocabulary_tokens), (64, 8, 3));
    assert_eq!(plain.kv_numbers_per_token, 4 * 2 * (8 + 8));
    assert_eq!(with("llama.attention.key_length", KIND_U32, number(16)), 4 * 2 * (16 + 8));
    let of_layers = list(KIND_I32, &[0, 2, 0, 4].map(number));
    assert_eq!(with("llama.attention.head_count_kv", KIND_ARRAY, of_layers), 6 * (8 + 8));
    assert_eq!(with("llama.block_count", KIND_U32, number(u32::MAX)), 4_096 * 2 * (8 + 8));
    assert_eq!(with("llama.attention.causal", KIND_BOOL, vec![0]), 0);
}

#[test]
fn abilities_follow_from_the_header() {
    use chainference_chain::Abilities;
    let with = |more: &[(&'static str, u32, Vec<u8>)]| {
        header(&[decoder(), more.to_vec()].concat()).abilities
    };
    let all = with(&[]);
    assert!(all.contains(Abilities::CHAT | Abilities::TOOLS | Abilities::STRUCTURED));
    assert!(all.contains(Abilities::COMPLETIONS | Abilities::LOGPROBS | Abilities::INFILL));
    assert!(!all.intersects(Abilities::REASONING | Abilities::EMBEDDINGS));

    let thinks = text("{{ '<think>' if enable_thinking }}");
    let template = ("tokenizer.chat_template", KIND_STRING, thinks);
    assert!(with(&[template]).contains(Abilities::REASONING));
    let mut no_gap = decoder();
    no_gap.pop();
    assert!(!header(&no_gap).abilities.contains(Abilities::INFILL));
    let says_so = ("tokenizer.ggml.fim_pre_token_id", KIND_U32, number(2));
    no_gap.push(says_so);
    assert!(header(&no_gap).abilities.contains(Abilities::INFILL));
}

#[test]
fn a_model_made_to_embed_does_nothing_else() {
    let pooling = |more: (&'static str, u32, Vec<u8>)| {
        let mut values = decoder();
        values.push(more);
        let gguf = header(&values);
        let embeds = gguf.abilities == chainference_chain::Abilities::EMBEDDINGS;
        assert_eq!(embeds, gguf.pooling.is_some());
        gguf.pooling
    };
    let of_type = |kind| pooling(("llama.pooling_type", KIND_U32, number(kind)));
    assert_eq!(of_type(0), None);
    assert_eq!(of_type(1), Some(Pooling::Mean));
    assert_eq!(of_type(2), Some(Pooling::Cls));
    assert_eq!(of_type(3), Some(Pooling::Last));
    assert_eq!(of_type(4), None);
    assert_eq!(pooling(("llama.attention.causal", KIND_BOOL, vec![0])), Some(Pooling::Mean));
}
