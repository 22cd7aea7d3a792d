//! Texts with a gap. The quickstart model was never taught to fill one; its file gets the header of a
//! model that was, and three of its unused tokens as marks.

use std::fs;
use std::path::{Path, PathBuf};

use chainference_chain::Abilities;
use chainference_protocol::Prompt;
use chainference_worker::models::Gguf;

use super::engine::{ask_engine, completion, model, start_with};

/// `<repo_name>`, `<reponame>` and `<file_sep>` of SmolLM2.
const MARKS: [u32; 3] = [3, 4, 5];
const GGUF_KIND_U32: u32 = 4;
const GGUF_KIND_STRING: u32 = 8;

/// A copy of the model whose header names the marks around a gap.
fn with_marks(model: &Path) -> PathBuf {
    let mut file = fs::read(model).expect("the model");
    let mut values = Vec::new();
    for (name, token) in ["fim_pre", "fim_suf", "fim_mid"].iter().zip(MARKS) {
        value(&mut values, &format!("tokenizer.ggml.{name}_token_id"), GGUF_KIND_U32);
        values.extend(token.to_le_bytes());
    }
    // The tensors begin at a multiple of 32 bytes, and stay at one.
    value(&mut values, "general.padding", GGUF_KIND_STRING);
    let padding = (values.len() + 8).next_multiple_of(32) - values.len() - 8;
    values.extend((padding as u64).to_le_bytes());
    values.extend(std::iter::repeat_n(b' ', padding));

    let count = u64::from_le_bytes(file[16..24].try_into().expect("eight bytes"));
    file[16..24].copy_from_slice(&(count + 4).to_le_bytes());
    file.splice(24..24, values);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("infill.gguf");
    fs::write(&path, file).expect("written");
    path
}

fn value(out: &mut Vec<u8>, name: &str, kind: u32) {
    out.extend((name.len() as u64).to_le_bytes());
    out.extend(name.as_bytes());
    out.extend(kind.to_le_bytes());
}

#[test]
fn a_gap_is_filled_between_its_marks() {
    let path = with_marks(&model());
    let gguf = Gguf::open(&path).expect("a model");
    assert!(gguf.abilities.contains(Abilities::INFILL), "offered as what it is");
    let engine = start_with(path, |_| ());
    let ask = |task| {
        let mut answered = ask_engine(&engine, task).expect("answered");
        (answered.tokens_in, answered.answers.remove(0))
    };
    let tokens_of = |text: &str| {
        let (_, answer) = ask(completion(text, |it| {
            it.decoding.max_tokens = Some(0);
            it.decoding.logprobs = Some(0);
            it.echo = true;
        }));
        answer.logprobs.iter().map(|token| token.chosen.id).collect::<Vec<_>>()
    };
    let (before, after) = ("def add(a, b):\n    return", "\n\nprint(add(1, 2))\n");
    let [begin, end, gap] = MARKS;
    let by_hand = [vec![begin], tokens_of(before), vec![end], tokens_of(after), vec![gap]].concat();
    let billed = by_hand.len() as u64;

    let (tokens_in, filled) = ask(completion(before, |it| {
        it.suffix = Some(after.into());
        it.decoding.max_tokens = Some(12);
    }));
    let (_, expected) = ask(completion("", |it| {
        it.prompts = vec![Prompt::Tokens(by_hand)];
        it.decoding.max_tokens = Some(12);
    }));
    assert_eq!(tokens_in, billed, "prompt, suffix and three marks");
    assert!(!filled.tokens.is_empty());
    assert_eq!((filled.text, filled.tokens), (expected.text, expected.tokens));
}
