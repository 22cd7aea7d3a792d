//! A request that goes on as its client wrote it. Only what the gateway must know of it is read, in one pass over the
//! body: all else is between the client and the server that it goes to.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    call::{Call, Form, Style},
    chat::parse_chat,
    completion::parse_completion,
    embedding::{Encoding, parse_embedding},
    read::RequestError,
};
use crate::limits;

/// The shapes that are passed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Chat,
    Completion,
    Embedding,
}

impl Shape {
    /// The same request as the market takes it, which is stricter.
    ///
    /// # Errors
    /// [`RequestError`], where no worker could honour it.
    pub fn parse(self, body: &[u8]) -> Result<Call, RequestError> {
        match self {
            Self::Chat => parse_chat(body),
            Self::Completion => parse_completion(body),
            // It has no form of its own: its answers are vectors.
            Self::Embedding => parse_embedding(body).map(|call| Call {
                request: call.request,
                stream: false,
                form: form(Style::Chat, 1, None, false),
            }),
        }
    }
}

/// The fields of a body, each as it was written.
pub struct Sent<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

// A prompt must never reach a log.
impl fmt::Debug for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent with {} fields", self.fields.len())
    }
}

/// What the gateway itself sets.
const SET: [&str; 3] = ["model", "stream", "stream_options"];

impl<'a> Sent<'a> {
    /// `None` where the body is no JSON object; the strict reader says what it is instead.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub fn model(&self) -> Option<String> {
        self.field("model")?
    }

    pub fn stream(&self) -> Option<bool> {
        Some(self.field("stream")?.unwrap_or(false))
    }

    /// How the answer is told; `None` where a field that says so is wrong.
    pub fn form(&self, shape: Shape) -> Option<Form> {
        let include_usage = self.include_usage()?;
        let n = self.field("n")?.unwrap_or(1);
        let top: Option<u32> = self.field("top_logprobs")?;
        match shape {
            Shape::Chat => {
                let told = self.field("logprobs")?.unwrap_or(false);
                let logprobs = told.then(|| top.unwrap_or(0));
                Some(form(Style::Chat, within(n, 1)?, logprobs, include_usage))
            }
            Shape::Completion => {
                let answers = within(n, self.count("prompt")?)?;
                Some(form(Style::Completion, answers, self.field("logprobs")?, include_usage))
            }
            Shape::Embedding => None,
        }
    }

    /// How many vectors are asked for, and how they are written.
    pub fn vectors(&self) -> Option<(usize, Encoding)> {
        let inputs = self.count("input").filter(|count| *count <= limits::EMBEDDING_INPUTS_MAX)?;
        let format: Option<String> = self.field("encoding_format")?;
        let encoding = match format.as_deref() {
            None | Some("float") => Encoding::Float,
            Some("base64") => Encoding::Base64,
            Some(_) => return None,
        };
        Some((inputs, encoding))
    }

    /// The most tokens of one answer, where the request bounds them.
    pub fn tokens_max(&self) -> Option<u64> {
        let bounds = ["max_completion_tokens", "max_tokens"];
        bounds.iter().filter_map(|name| self.field(name).flatten()).min()
    }

    /// The body for a server that calls the model `model`. A stream is asked to end with its usage, whatever the client
    /// wants to see of that.
    pub fn to_body(&self, model: &str, stream: Option<bool>) -> Bytes {
        let values = self.fields.iter().map(|(name, value)| name.len() + value.get().len() + 6);
        let mut body = Vec::with_capacity(values.sum::<usize>() + model.len() + 96);
        body.extend_from_slice(b"{\"model\":");
        push(&mut body, model);
        if let Some(stream) = stream {
            let set: &[u8] = if stream {
                b",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
            } else {
                b",\"stream\":false"
            };
            body.extend_from_slice(set);
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| !SET.contains(&name.as_ref())) {
            body.push(b',');
            push(&mut body, name);
            body.push(b':');
            body.extend_from_slice(value.get().as_bytes());
        }
        body.push(b'}');
        Bytes::from(body)
    }

    fn include_usage(&self) -> Option<bool> {
        #[derive(Deserialize)]
        struct Options {
            #[serde(default)]
            include_usage: Option<bool>,
        }
        let options: Option<Options> = self.field("stream_options")?;
        Some(options.and_then(|options| options.include_usage).unwrap_or(false))
    }

    /// How many prompts a field holds: a list of token ids is one.
    fn count(&self, name: &str) -> Option<usize> {
        let value = self.raw(name)?;
        if !value.get().starts_with('[') {
            return Some(1);
        }
        let prompts: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        let is_token = |first: &&RawValue| first.get().starts_with(|c: char| c.is_ascii_digit());
        Some(if prompts.first().is_some_and(is_token) { 1 } else { prompts.len() })
    }

    /// What a field says: the inner `None` where it is absent or null, the outer where it is of another type.
    fn field<T: DeserializeOwned>(&self, name: &str) -> Option<Option<T>> {
        match self.raw(name) {
            Some(value) => serde_json::from_str(value.get()).ok(),
            None => Some(None),
        }
    }

    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| *value)
    }
}

fn form(style: Style, answers: u32, logprobs: Option<u32>, include_usage: bool) -> Form {
    Form { style, answers, logprobs, include_usage }
}

/// The number of answers, where it is one that a call may have.
fn within(n: u32, prompts: usize) -> Option<u32> {
    let answers = u32::try_from(prompts).ok()?.checked_mul(n)?;
    (1..=limits::ANSWERS_MAX).contains(&answers).then_some(answers)
}

fn push(body: &mut Vec<u8>, text: &str) {
    // Writing text into memory never fails.
    let _ = serde_json::to_writer(body, text);
}

impl<'de> Deserialize<'de> for Sent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

/// A name that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Fields {
    type Value = Sent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sent<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Sent { fields })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value, check: impl Fn(Sent<'_>)) {
        let body = body.to_string();
        check(Sent::read(body.as_bytes()).unwrap());
    }

    #[test]
    fn what_the_client_wrote_goes_on_untouched_but_for_model_and_streaming() {
        let body = br#"{"n_predict": 1.50, "model":"Mine", "stream":true, "a\"b": [1,  2],
            "stream_options": {"include_usage": false, "x": 1}}"#;
        let sent = Sent::read(body).unwrap();
        assert_eq!(sent.model().as_deref(), Some("Mine"));
        let text = |stream| String::from_utf8(sent.to_body("its/own", stream).to_vec()).unwrap();
        assert_eq!(
            text(Some(true)),
            r#"{"model":"its/own","stream":true,"stream_options":{"include_usage":true},"n_predict":1.50,"a\"b":[1,  2]}"#
        );
        assert_eq!(
            text(Some(false)),
            r#"{"model":"its/own","stream":false,"n_predict":1.50,"a\"b":[1,  2]}"#
        );
        assert_eq!(text(None), r#"{"model":"its/own","n_predict":1.50,"a\"b":[1,  2]}"#);
    }

    #[test]
    fn the_form_of_an_answer_is_read_and_what_is_wrong_is_left_to_the_strict_reader() {
        let chat = |more: Value, expected: Option<(u32, Option<u32>, bool)>| {
            read(&more, |sent| {
                let form = sent.form(Shape::Chat);
                let form = form.map(|form| (form.answers, form.logprobs, form.include_usage));
                assert_eq!(form, expected, "{more}");
            });
        };
        chat(json!({"messages": 1}), Some((1, None, false)));
        chat(json!({"n": 3, "logprobs": true, "top_logprobs": 2}), Some((3, Some(2), false)));
        chat(json!({"n": null, "logprobs": true}), Some((1, Some(0), false)));
        chat(json!({"stream_options": {"include_usage": true}}), Some((1, None, true)));
        for wrong in [json!({"n": 0}), json!({"n": "1"}), json!({"n": 129}), json!({"logprobs": 1})]
        {
            chat(wrong, None);
        }
        for none in ["[]", "{", "1", "{} {}", "{\"a\": }"] {
            assert!(Sent::read(none.as_bytes()).is_none(), "{none}");
        }
    }

    #[test]
    fn prompts_and_inputs_are_counted_in_every_form() {
        for (prompt, count) in [
            (json!("a"), 1),
            (json!([1, 2, 3]), 1),
            (json!(["a", "b"]), 2),
            (json!([[1], [2, 3], [4]]), 3),
        ] {
            let body = json!({"prompt": prompt, "input": prompt, "n": 2, "logprobs": 1,
                "encoding_format": "base64"});
            read(&body, |sent| {
                let form = sent.form(Shape::Completion).unwrap();
                assert_eq!((form.answers, form.logprobs), (count * 2, Some(1)));
                let vectors = sent.vectors().unwrap();
                assert_eq!(vectors, (count as usize, Encoding::Base64));
            });
        }
        read(&json!({}), |sent| assert!(sent.form(Shape::Completion).is_none()));
        read(&json!({"input": "a", "encoding_format": "hex"}), |sent| {
            assert!(sent.vectors().is_none());
        });
    }

    #[test]
    fn the_smaller_bound_of_an_answer_counts() {
        read(&json!({"max_tokens": 9, "max_completion_tokens": 7}), |sent| {
            assert_eq!(sent.tokens_max(), Some(7));
        });
        read(&json!({}), |sent| assert_eq!(sent.tokens_max(), None));
    }
}
