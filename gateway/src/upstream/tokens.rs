//! Log-probabilities as upstreams tell them: in the shape of chats, or in the older one of completions.

use chainference_protocol::{Candidate, TokenLogprob};
use serde::Deserialize;
use serde_json::{Map, Value};

/// `logprobs` of a choice. llama-server tells a completion's in the shape of chats.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Logprobs {
    content: Option<Vec<Token>>,
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f32>>>,
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(flatten)]
    chosen: Shown,
    #[serde(default)]
    top_logprobs: Vec<Shown>,
}

#[derive(Deserialize)]
struct Shown {
    token: String,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    logprob: Option<f32>,
}

impl Logprobs {
    pub fn read(self) -> Vec<TokenLogprob> {
        if let Some(content) = self.content {
            return content.into_iter().map(Token::read).collect();
        }
        let mut logprobs = self.token_logprobs.unwrap_or_default().into_iter();
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let one = |token: String| TokenLogprob {
            chosen: candidate(old_bytes(&token), logprobs.next().flatten()),
            top: tops.next().flatten().map(alternatives).unwrap_or_default(),
        };
        self.tokens.unwrap_or_default().into_iter().map(one).collect()
    }
}

impl Token {
    fn read(self) -> TokenLogprob {
        let top = self.top_logprobs.into_iter().map(Shown::read).collect();
        TokenLogprob { chosen: self.chosen.read(), top }
    }
}

impl Shown {
    fn read(self) -> Candidate {
        candidate(self.bytes.unwrap_or_else(|| self.token.into_bytes()), self.logprob)
    }
}

/// The likeliest first.
fn alternatives(map: Map<String, Value>) -> Vec<Candidate> {
    #[expect(clippy::cast_possible_truncation, reason = "it was written from 32 bits")]
    let logprob = |value: &Value| value.as_f64().map(|logprob| logprob as f32);
    let one = |(token, value): (String, Value)| candidate(old_bytes(&token), logprob(&value));
    let mut all: Vec<Candidate> = map.into_iter().map(one).collect();
    let rank = |one: &Candidate| one.logprob.unwrap_or(f32::NEG_INFINITY);
    all.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    all
}

/// An upstream's token ids are not told.
fn candidate(bytes: Vec<u8>, logprob: Option<f32>) -> Candidate {
    Candidate { id: 0, bytes, logprob }
}

/// A completion's token whose bytes are no text by themselves is written `bytes:\xf0\x9f`.
fn old_bytes(shown: &str) -> Vec<u8> {
    let escaped = shown.strip_prefix("bytes:").filter(|rest| rest.contains("\\x"));
    let Some(mut rest) = escaped else { return shown.as_bytes().to_vec() };
    let mut bytes = Vec::with_capacity(rest.len() / 4);
    while let Some(next) = rest.chars().next() {
        let escape = rest.strip_prefix("\\x").and_then(|hex| hex.get(..2));
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest["\\x00".len()..];
            }
            None => {
                bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Vec<(Vec<u8>, Option<f32>, usize)> {
        let logprobs: Logprobs = serde_json::from_value(value).unwrap();
        let told = |one: TokenLogprob| (one.chosen.bytes, one.chosen.logprob, one.top.len());
        logprobs.read().into_iter().map(told).collect()
    }

    #[test]
    fn both_shapes_are_read() {
        let chat = json!({"refusal": null, "content": [
            {"token": "\\xf0", "bytes": [0xF0], "logprob": -0.5, "top_logprobs": [
                {"token": "a", "bytes": null, "logprob": -0.5}]},
            {"token": "é", "bytes": null, "logprob": -1.0, "top_logprobs": []}]});
        let expected = [(vec![0xF0], Some(-0.5), 1), ("é".as_bytes().to_vec(), Some(-1.0), 0)];
        assert_eq!(read(chat), expected);
        let old = json!({"tokens": ["The", "bytes:\\xf0\\x9f!"], "token_logprobs": [null, -0.5],
            "top_logprobs": [null, {"x": -3.0, "y": -0.25}], "text_offset": [0, 3]});
        let expected = [(b"The".to_vec(), None, 0), (vec![0xF0, 0x9F, b'!'], Some(-0.5), 2)];
        assert_eq!(read(old), expected);
        assert_eq!(read(json!({})), []);
    }

    #[test]
    fn alternatives_stand_in_the_order_of_their_likelihood() {
        let map = json!({"x": -3.0, "y": -0.25, "z": -1.0});
        let Value::Object(map) = map else { panic!("a map") };
        let order: Vec<_> = alternatives(map).into_iter().map(|one| one.bytes).collect();
        assert_eq!(order, [b"y", b"z", b"x"]);
    }
}
