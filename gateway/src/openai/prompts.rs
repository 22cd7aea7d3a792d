//! Prompts and inputs: a string, an array of strings, the model's own tokens, or an array of those.

use std::fmt;

use chainference_protocol::Prompt;
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Unexpected, Visitor, value::SeqAccessDeserializer},
};

use super::read::{RequestError, TextOr};

pub(super) type Prompts = TextOr<Vec<Element>>;

/// One entry of an array.
pub(super) enum Element {
    Text(String),
    Token(u32),
    Tokens(Vec<u32>),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a token id or an array of token ids")
    }

    fn visit_str<E>(self, text: &str) -> Result<Element, E> {
        Ok(Element::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Element, E> {
        let id = u32::try_from(id);
        id.map(Element::Token).map_err(|_| E::custom("a token id has at most 32 bits"))
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<Element, E> {
        Err(E::invalid_value(Unexpected::Signed(id), &"a token id"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, ids: A) -> Result<Element, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(ids)).map(Element::Tokens)
    }
}

/// The prompts that `param` holds, at least one. A flat array of token ids is one prompt.
pub(super) fn prompts(param: &str, prompts: Prompts) -> Result<Vec<Prompt>, RequestError> {
    let elements = match prompts {
        TextOr::Text(text) => return Ok(vec![Prompt::Text(text)]),
        TextOr::Other(elements) => elements,
    };
    if elements.is_empty() {
        return Err(RequestError::value(param, "it must not be empty."));
    }
    let mixed =
        || RequestError::value(param, "strings, token ids and arrays of token ids can't be mixed.");
    if matches!(elements[0], Element::Token(_)) {
        let ids = elements.into_iter().map(|element| match element {
            Element::Token(id) => Ok(id),
            _ => Err(mixed()),
        });
        return Ok(vec![Prompt::Tokens(ids.collect::<Result<_, _>>()?)]);
    }
    let of_text = matches!(elements[0], Element::Text(_));
    let several = elements.into_iter().map(|element| match element {
        Element::Text(text) if of_text => Ok(Prompt::Text(text)),
        Element::Tokens(ids) if !of_text => Ok(Prompt::Tokens(ids)),
        _ => Err(mixed()),
    });
    several.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Prompt>, RequestError> {
        #[derive(Deserialize)]
        struct Body {
            input: Prompts,
        }
        let body = format!("{{\"input\": {json}}}");
        prompts("input", super::super::read::read::<Body>(body.as_bytes())?.input)
    }

    #[test]
    fn every_form_of_a_prompt_is_understood() {
        let text = |text: &str| Prompt::Text(text.into());
        for (json, expected) in [
            ("\"a\"", vec![text("a")]),
            ("[\"a\", \"b\"]", vec![text("a"), text("b")]),
            ("[1, 2]", vec![Prompt::Tokens(vec![1, 2])]),
            ("[[1, 2], [3]]", vec![Prompt::Tokens(vec![1, 2]), Prompt::Tokens(vec![3])]),
        ] {
            assert!(read(json).unwrap() == expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_prompt_is_named() {
        for (json, param) in [
            ("1", "input"),
            ("{}", "input"),
            ("[{}]", "input[0]"),
            ("[1.5]", "input[0]"),
            ("[[1, \"a\"]]", "input[0][1]"),
            ("[-1]", "input[0]"),
            ("[4294967296]", "input[0]"),
        ] {
            match read(json).err() {
                Some(RequestError::Type { param: found, .. }) => assert_eq!(found, param, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        for json in ["[]", "[\"a\", 1]", "[1, \"a\"]", "[[1], \"a\"]", "[[1], 2]"] {
            let error = read(json).err();
            assert!(matches!(error, Some(RequestError::Value { .. })), "{json}: {error:?}");
        }
    }
}
