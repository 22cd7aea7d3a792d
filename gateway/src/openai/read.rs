//! Reading a request's body. Unknown fields pass; wrong types don't, and are named by their path.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use thiserror::Error;

/// What is wrong with a request. Each names the JSON path at fault, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    #[error("The body is not valid JSON: {reason}")]
    Json { reason: String },
    #[error("Invalid type for '{param}': {reason}")]
    Type { param: String, reason: String },
    #[error("Missing required parameter: '{param}'.")]
    Missing { param: String },
    #[error("Invalid value for '{param}': {reason}")]
    Value { param: String, reason: String },
    #[error("The parameter '{param}' is not supported: {reason}")]
    Unsupported { param: String, reason: &'static str },
}

impl RequestError {
    pub(super) fn json(error: serde_json::Error) -> Self {
        Self::Json { reason: error.to_string() }
    }

    pub(super) fn value(param: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { param: param.into(), reason: reason.into() }
    }

    pub(super) fn missing(param: impl Into<String>) -> Self {
        Self::Missing { param: param.into() }
    }

    pub(super) fn unsupported(param: impl Into<String>, reason: &'static str) -> Self {
        Self::Unsupported { param: param.into(), reason }
    }
}

/// Reads those fields of a body that `T` has. A body is read once for each group of fields: serde's
/// `flatten` would put several into one struct, but loses the path of what is wrong inside.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, RequestError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let param = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return RequestError::json(inner);
        }
        let reason = inner.to_string();
        match reason.strip_prefix("missing field `").and_then(|r| r.split('`').next()) {
            Some(field) if param == "." => RequestError::missing(field),
            Some(field) => RequestError::missing(format!("{param}.{field}")),
            None => RequestError::Type { param, reason },
        }
    })?;
    json.end().map_err(RequestError::json)?;
    Ok(request)
}

/// A string, or the structured form of the same. Written by hand, since serde's untagged enums lose
/// the path of what is wrong inside.
pub(super) enum TextOr<T> {
    Text(String),
    Other(T),
}

/// What a [`TextOr`] expects beside a string.
pub(super) trait Structured: DeserializeOwned {
    const KIND: &'static str;
}

impl<T: DeserializeOwned> Structured for Vec<T> {
    const KIND: &'static str = "an array";
}

impl<'de, T: Structured> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: Structured> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string or {}", T::KIND)
    }

    fn visit_str<E>(self, text: &str) -> Result<TextOr<T>, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<TextOr<T>, E> {
        Ok(TextOr::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<TextOr<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(items)).map(TextOr::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<TextOr<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(TextOr::Other)
    }
}
