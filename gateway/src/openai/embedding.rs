//! `POST /v1/embeddings`: request and answer.

use base64::{Engine, prelude::BASE64_STANDARD};
use chainference_protocol::{CallRequest, Embedding, Prompt, Task};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    call::json,
    decoding::{check_model, in_range},
    prompts::{Prompts, prompts},
    read::{RequestError, read},
    refused,
    usage::InputUsage,
};
use crate::limits;

#[derive(Deserialize, ToSchema)]
pub(super) struct EmbeddingRequest {
    model: String,
    #[schema(value_type = serde_json::Value)]
    input: Prompts,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<u32>,
    /// Accepted and not passed on: a worker has no business with a client's users.
    #[serde(default, rename = "user")]
    _user: Option<String>,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Float,
    /// The numbers' bytes, little-endian: what the official clients ask for by themselves.
    Base64,
}

/// A checked call.
#[derive(Debug)]
pub struct EmbeddingCall {
    pub request: CallRequest,
    pub inputs: usize,
    pub encoding: Encoding,
}

/// Reads and checks the body of a request for embeddings.
///
/// # Errors
/// [`RequestError`], for a body that is not JSON, or of a wrong type or value.
pub fn parse_embedding(body: &[u8]) -> Result<EmbeddingCall, RequestError> {
    let request: EmbeddingRequest = read(body)?;
    refused::check(refused::EMBEDDING, body)?;
    check_model(&request.model)?;
    let inputs = prompts("input", request.input)?;
    check_inputs(&inputs)?;
    in_range("dimensions", request.dimensions, 1, u32::MAX)?;
    let encoding = match request.encoding_format.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            let reason = format!("'{other}' is neither 'float' nor 'base64'.");
            return Err(RequestError::value("encoding_format", reason));
        }
    };
    let count = inputs.len();
    let task = Task::Embed(Embedding { inputs, dimensions: request.dimensions });
    let request = CallRequest { model: request.model, task };
    Ok(EmbeddingCall { request, inputs: count, encoding })
}

fn check_inputs(inputs: &[Prompt]) -> Result<(), RequestError> {
    let most = limits::EMBEDDING_INPUTS_MAX;
    if inputs.len() > most {
        return Err(RequestError::value("input", format!("at most {most} inputs are possible.")));
    }
    let empty = |input: &Prompt| match input {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(ids) => ids.is_empty(),
    };
    match inputs.iter().position(empty) {
        None => Ok(()),
        Some(_) if inputs.len() == 1 => Err(RequestError::value("input", "it must not be empty.")),
        Some(at) => Err(RequestError::value(format!("input[{at}]"), "it must not be empty.")),
    }
}

/// Renders the answer. A vector is four bytes a number, little-endian.
pub fn embeddings(
    model: &str,
    vectors: &[Vec<u8>],
    encoding: Encoding,
    usage: &InputUsage,
) -> String {
    let entry = |(index, bytes): (usize, &Vec<u8>)| Entry {
        object: "embedding",
        index,
        embedding: match encoding {
            Encoding::Base64 => Vector::Base64(BASE64_STANDARD.encode(bytes)),
            Encoding::Float => Vector::Float(numbers(bytes)),
        },
    };
    let data = vectors.iter().enumerate().map(entry).collect();
    json(&List { object: "list", data, model, usage })
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry>,
    model: &'a str,
    usage: &'a InputUsage,
}

#[derive(Serialize)]
struct Entry {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::tests::{settlement, tokens};

    fn parse(more: Value) -> Result<EmbeddingCall, RequestError> {
        let mut body = json!({"model": "m", "input": "a"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parse_embedding(body.to_string().as_bytes())
    }

    #[test]
    fn inputs_encoding_and_dimensions_are_understood() {
        let more = json!({"input": ["a", "b"], "dimensions": 64, "encoding_format": "base64",
            "user": "u"});
        let call = parse(more).unwrap();
        assert_eq!((call.inputs, call.encoding), (2, Encoding::Base64));
        let Task::Embed(embedding) = call.request.task else { panic!("an embedding") };
        assert_eq!((embedding.inputs.len(), embedding.dimensions), (2, Some(64)));
        assert_eq!(parse(json!({})).unwrap().encoding, Encoding::Float);
        assert_eq!(parse(json!({"input": [[1], [2, 3]]})).unwrap().inputs, 2);
    }

    #[test]
    fn wrong_inputs_are_named() {
        let many = vec!["a"; limits::EMBEDDING_INPUTS_MAX + 1];
        for (more, param) in [
            (json!({"input": ""}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": ["a", ""]}), "input[1]"),
            (json!({"input": [[1], []]}), "input[1]"),
            (json!({"input": many}), "input"),
            (json!({"dimensions": 0}), "dimensions"),
            (json!({"encoding_format": "hex"}), "encoding_format"),
            (json!({"model": ""}), "model"),
        ] {
            match parse(more.clone()) {
                Err(RequestError::Value { param: found, .. }) => assert_eq!(found, param, "{more}"),
                other => panic!("{more}: {other:?}"),
            }
        }
        let typed = parse(json!({"input": {"a": 1}}));
        assert!(matches!(typed, Err(RequestError::Type { .. })), "{typed:?}");
        let refused = parse(json!({"embd_normalize": -1}));
        assert!(matches!(refused, Err(RequestError::Unsupported { .. })), "{refused:?}");
    }

    #[test]
    fn vectors_are_numbers_or_their_bytes() {
        let bytes: Vec<u8> = [0.5_f32, -1.0].iter().flat_map(|n| n.to_le_bytes()).collect();
        let usage = InputUsage::new(tokens(), settlement());
        let render = |encoding| -> Value {
            let text = embeddings("a/b", std::slice::from_ref(&bytes), encoding, &usage);
            serde_json::from_str(&text).unwrap()
        };
        let floats = render(Encoding::Float);
        assert_eq!(floats["data"][0]["embedding"], json!([0.5, -1.0]));
        assert_eq!((&floats["object"], &floats["data"][0]["index"]), (&json!("list"), &json!(0)));
        assert_eq!(
            (&floats["usage"]["prompt_tokens"], &floats["model"]),
            (&json!(3), &json!("a/b"))
        );
        assert!(floats["usage"].get("completion_tokens").is_none());
        let text = render(Encoding::Base64)["data"][0]["embedding"].clone();
        assert_eq!(text, BASE64_STANDARD.encode(&bytes));
    }
}
