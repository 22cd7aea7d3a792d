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
