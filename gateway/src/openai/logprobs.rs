//! Log-probabilities, in the shape of chats and in the older one of completions.

use std::{collections::BTreeMap, fmt::Write};

use chainference_protocol::{Candidate, TokenLogprob};
use serde::Serialize;

/// What OpenAI gives for what is all but impossible; JSON has no infinity.
const LEAST: f32 = -9_999.0;

/// `logprobs` of a chat's choice.
#[derive(Serialize)]
pub(super) struct ChatLogprobs {
    content: Vec<Token>,
    refusal: Option<()>,
}

/// A token of a text, with what might have stood there.
#[derive(Serialize)]
pub(super) struct Token {
    #[serde(flatten)]
    chosen: Shown,
    top_logprobs: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    token: String,
    bytes: Vec<u8>,
    logprob: f32,
}

impl ChatLogprobs {
    pub fn new(tokens: &[TokenLogprob]) -> Self {
        Self { content: tokens.iter().map(Token::new).collect(), refusal: None }
    }
}

impl Token {
    pub fn new(token: &TokenLogprob) -> Self {
        Self {
            chosen: Shown::new(&token.chosen),
            top_logprobs: token.top.iter().map(Shown::new).collect(),
        }
    }
}

impl Shown {
    fn new(candidate: &Candidate) -> Self {
        let (token, bytes) = (shown(&candidate.bytes), candidate.bytes.clone());
        Self { token, bytes, logprob: candidate.logprob.unwrap_or(LEAST) }
    }
}

/// `logprobs` of a completion's choice: lists side by side.
#[derive(Default, Serialize)]
pub(super) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    text_offset: Vec<u64>,
}

impl TextLogprobs {
    /// `offset` is where the first of these tokens begins in the choice's text, in characters; it
    /// is moved behind the last one. Each has `top` alternatives at most, and the chosen one.
    pub fn new(tokens: &[TokenLogprob], top: u32, offset: &mut u64) -> Self {
        let mut lists = Self::default();
        for TokenLogprob { chosen, top: alternatives } in tokens {
            lists.tokens.push(old_shown(&chosen.bytes));
            lists.token_logprobs.push(chosen.logprob);
            // Before a prompt's first token there is nothing to compute it from.
            let seen = chosen.logprob.is_some();
            let all = alternatives.iter().take(top as usize).chain([chosen]);
            let entry = |one: &Candidate| Some((old_shown(&one.bytes), one.logprob?));
            lists.top_logprobs.push(seen.then(|| all.filter_map(entry).collect()));
            lists.text_offset.push(*offset);
            *offset = offset.saturating_add(characters(&chosen.bytes));
        }
        lists
    }
}

/// The characters that begin in these bytes: one may be spread over several tokens.
fn characters(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64
}

/// A token's text. Bytes that are no UTF-8 by themselves are escaped, as OpenAI does.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing into a string never fails.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The same in completions, where such a token is marked.
fn old_shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("bytes:{}", shown(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn candidate(bytes: &[u8], logprob: Option<f32>) -> Candidate {
        Candidate { id: 1, bytes: bytes.to_vec(), logprob }
    }

    fn token(bytes: &[u8], logprob: Option<f32>, top: &[(&[u8], f32)]) -> TokenLogprob {
        let top = top.iter().map(|(bytes, logprob)| candidate(bytes, Some(*logprob))).collect();
        TokenLogprob { chosen: candidate(bytes, logprob), top }
    }

    fn value<T: Serialize>(value: &T) -> Value {
        serde_json::to_value(value).unwrap()
    }

    #[test]
    fn a_chats_tokens_have_text_bytes_and_alternatives() {
        let tokens = [token(b"a", Some(-0.5), &[(b"a", -0.5), (b"b", -1.0)])];
        assert_eq!(
            value(&ChatLogprobs::new(&tokens)),
            json!({"refusal": null, "content": [{
                "token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": [
                    {"token": "a", "bytes": [97], "logprob": -0.5},
                    {"token": "b", "bytes": [98], "logprob": -1.0}]}]})
        );
    }

    #[test]
    fn a_piece_of_a_character_is_shown_as_bytes() {
        let tokens = [token(&[0xF0, 0x9F], None, &[])];
        let content = value(&ChatLogprobs::new(&tokens))["content"][0].clone();
        assert_eq!(content["token"], "\\xf0\\x9f");
        assert_eq!(content["bytes"], json!([0xF0, 0x9F]));
        assert_eq!(content["logprob"], -9_999.0);
    }

    #[test]
    fn a_completions_lists_stand_side_by_side() {
        let tokens = [
            token(b"The", None, &[]),
            token("é".as_bytes(), Some(-0.5), &[(b"x", -0.25), (b"y", -3.0)]),
        ];
        let mut offset = 0;
        assert_eq!(
            value(&TextLogprobs::new(&tokens, 1, &mut offset)),
            json!({"tokens": ["The", "é"], "token_logprobs": [null, -0.5],
                "top_logprobs": [null, {"x": -0.25, "é": -0.5}], "text_offset": [0, 3]})
        );
        assert_eq!(offset, 4, "characters, not bytes");
    }

    #[test]
    fn offsets_count_a_character_once_however_many_tokens_it_has() {
        let tokens = [
            token(&[0xF0, 0x9F], Some(-1.0), &[]),
            token(&[0x98, 0x80], Some(-1.0), &[]),
            token(b"!", Some(-1.0), &[]),
        ];
        let lists = value(&TextLogprobs::new(&tokens, 0, &mut 10));
        assert_eq!(lists["text_offset"], json!([10, 11, 11]));
        assert_eq!(lists["tokens"][0], "bytes:\\xf0\\x9f");
    }
}
