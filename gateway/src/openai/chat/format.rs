//! `response_format`, and llama.cpp's `json_schema` beside it.

use chainference_protocol::ResponseFormat;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::read::RequestError;

#[derive(Deserialize)]
pub(in super::super) struct FormatRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    json_schema: Option<NamedSchema>,
    /// llama.cpp's: a schema beside `json_object`.
    #[serde(default)]
    schema: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct NamedSchema {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    schema: Option<Map<String, Value>>,
    /// A grammar forces every schema; there is nothing less strict to fall back to.
    #[serde(default, rename = "strict")]
    _strict: Option<bool>,
}

/// The form that a request asks for, in one way or the other.
pub(super) fn format(
    asked: Option<FormatRequest>,
    json_schema: Option<Map<String, Value>>,
) -> Result<ResponseFormat, RequestError> {
    match (asked, json_schema) {
        (None, None) => Ok(ResponseFormat::Text),
        (None, Some(schema)) => Ok(ResponseFormat::JsonSchema(Value::Object(schema))),
        (Some(asked), None) => response_format(asked),
        (Some(_), Some(_)) => {
            Err(RequestError::value("json_schema", "'response_format' says the same already."))
        }
    }
}

fn response_format(asked: FormatRequest) -> Result<ResponseFormat, RequestError> {
    match asked.kind.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(asked
            .schema
            .map_or(ResponseFormat::JsonObject, |s| ResponseFormat::JsonSchema(s.into()))),
        "json_schema" => {
            let missing = || RequestError::missing("response_format.json_schema");
            named_schema(asked.json_schema.ok_or_else(missing)?)
        }
        other => Err(RequestError::value(
            "response_format.type",
            format!("'{other}' is no known format."),
        )),
    }
}

fn named_schema(named: NamedSchema) -> Result<ResponseFormat, RequestError> {
    super::check_name("response_format.json_schema.name", &named.name)?;
    let Some(mut schema) = named.schema else { return Ok(ResponseFormat::JsonObject) };
    // Models whose template shows the schema see there what it is for.
    if let Some(description) = named.description {
        schema.entry("description").or_insert(description.into());
    }
    Ok(ResponseFormat::JsonSchema(Value::Object(schema)))
}
