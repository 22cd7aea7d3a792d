//! Responses: a request's body to a call that a worker can serve. They are chats in another shape,
//! and become the same task.

mod answer;
mod asked;
mod events;
mod input;
mod store;
mod tools;

use std::{collections::BTreeMap, sync::Arc};

use chainference_protocol::{CallRequest, Chat, Decoding, Message, ResponseFormat, Task};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    call::{Call, Form, Style},
    chat,
    decoding::{DecodingRequest, check_model, in_range},
    depth::check_depth,
    read::{RequestError, TextOr, read},
    refused,
};
use crate::limits;
use asked::{Keep, Reasoning, Verbatim};

pub(super) use answer::response;
pub use asked::Asked;
pub(super) use events::{ResponseEvents, failed};
pub use store::{OwnResponses, Responses};

/// What only responses have; the rest is in [`DecodingRequest`].
#[derive(Deserialize, ToSchema)]
pub(super) struct ResponseRequest {
    model: String,
    #[schema(value_type = Value)]
    input: TextOr<Vec<input::ItemRequest>>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<tools::ToolRequest>>,
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    tool_choice: Option<TextOr<tools::ChoiceRequest>>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    text: Option<TextRequest>,
    #[serde(default)]
    max_output_tokens: Option<u32>,
    #[serde(default)]
    top_logprobs: Option<u32>,
    #[serde(default)]
    include: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    reasoning: Option<ReasoningRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// Repeated in the response and not passed on, like a user's name.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    safety_identifier: Option<String>,
    #[serde(default)]
    prompt_cache_key: Option<String>,
    #[serde(default)]
    user: Option<String>,
}

#[derive(Deserialize)]
struct TextRequest {
    #[serde(default)]
    format: Option<FormatRequest>,
    #[serde(default)]
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct FormatRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    schema: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct ReasoningRequest {
    #[serde(default)]
    effort: Option<String>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    generate_summary: Option<String>,
}

/// Reads and checks the body of a response. `stored` has the earlier ones, where they are stored.
///
/// # Errors
/// [`RequestError`], for a body that is not JSON, of a wrong type or value, or that asks for what
/// no worker offers.
pub fn parse_response(body: &[u8], stored: Option<&OwnResponses>) -> Result<Call, RequestError> {
    let mut request: ResponseRequest = read(body)?;
    let decoding: DecodingRequest = read(body)?;
    refused::check(refused::RESPONSE, body)?;
    check_model(&request.model)?;
    let (stream, _) = decoding.streaming()?;
    if decoding.n.is_some_and(|n| n != 1) {
        return Err(RequestError::unsupported("n", "a response is one answer."));
    }
    let store = store(request.store, stored)?;
    let before = before(request.previous_response_id.as_deref(), stored)?;
    let input = std::mem::replace(&mut request.input, TextOr::Text(String::new()));
    let conversation = input::add_input(before, input)?;
    let chat = to_chat(&mut request, decoding, conversation.clone())?;
    let keep = store.then_some(stored).flatten();
    let keep = keep.map(|responses| Keep { responses: responses.clone(), conversation });
    let logprobs = chat.decoding.logprobs;
    let model = request.model.clone();
    let asked = asked(request, &chat, read(body)?, keep);
    let style = Style::Response(Arc::new(asked));
    let form = Form { style, answers: 1, logprobs, include_usage: true };
    Ok(Call { request: CallRequest { model, task: Task::Chat(chat) }, stream, form })
}

/// Whether the response is stored: as the client wishes, where it can be.
fn store(asked: Option<bool>, stored: Option<&OwnResponses>) -> Result<bool, RequestError> {
    match (asked, stored) {
        (Some(true), None) => Err(RequestError::unsupported("store", NOT_STORED)),
        (asked, Some(_)) => Ok(asked.unwrap_or(true)),
        (_, None) => Ok(false),
    }
}

const NOT_STORED: &str = "this gateway stores no responses. Send the whole conversation as 'input', \
                          or start the gateway with '--store-responses true'.";

/// The conversation that the response goes on from.
fn before(id: Option<&str>, stored: Option<&OwnResponses>) -> Result<Vec<Message>, RequestError> {
    let param = "previous_response_id";
    let Some(id) = id else { return Ok(Vec::new()) };
    let stored = stored.ok_or_else(|| RequestError::unsupported(param, NOT_STORED))?;
    stored.conversation(id).ok_or_else(|| {
        RequestError::value(param, format!("'{id}' is no response that is stored here."))
    })
}

fn to_chat(
    request: &mut ResponseRequest,
    decoding: DecodingRequest,
    conversation: Vec<Message>,
) -> Result<Chat, RequestError> {
    let max_tokens = max_tokens(request.max_output_tokens, decoding.max_tokens)?;
    let logprobs = logprobs(request)?;
    let decoding = Decoding { logprobs, max_tokens, ..decoding.decoding(1)? };
    let (tools, tool_choice) = tools::tools(request.tools.take(), request.tool_choice.take())?;
    let instructions = request.instructions.iter().map(|text| Message::text("system", text));
    let chat = Chat {
        messages: instructions.chain(conversation).collect(),
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        template_variables: chat::variables(
            request.chat_template_kwargs.take(),
            "reasoning.effort",
            effort(request.reasoning.as_ref())?,
        )?,
        tools,
        tool_choice,
        response_format: format(request.text.take())?,
        decoding,
    };
    chat::check_grammars(&chat)?;
    check_depth(&chat)?;
    Ok(chat)
}

/// Where a client sends both names, the smaller bound holds.
fn max_tokens(new: Option<u32>, old: Option<u32>) -> Result<Option<u32>, RequestError> {
    for (param, tokens) in [("max_tokens", old), ("max_output_tokens", new)] {
        in_range(param, tokens, 1, u32::MAX)?;
    }
    Ok(new.into_iter().chain(old).min())
}

/// What may be included beside the answer. What tools give that don't exist here is never there.
fn logprobs(request: &ResponseRequest) -> Result<Option<u32>, RequestError> {
    const LOGPROBS: &str = "message.output_text.logprobs";
    const KNOWN: [&str; 7] = [
        LOGPROBS,
        // Thoughts are told as they are, and read as they are when they are sent back.
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
    ];
    in_range("top_logprobs", request.top_logprobs, 0, limits::TOP_LOGPROBS_MAX)?;
    let include = request.include.as_deref().unwrap_or_default();
    for (at, one) in include.iter().enumerate() {
        if !KNOWN.contains(&one.as_str()) {
            let reason = format!("'{one}' is nothing that can be included.");
            return Err(RequestError::value(format!("include[{at}]"), reason));
        }
    }
    let top = request.top_logprobs.unwrap_or(0);
    let told = top > 0 || include.iter().any(|one| one == LOGPROBS);
    Ok(told.then_some(top))
}

fn effort(asked: Option<&ReasoningRequest>) -> Result<Option<String>, RequestError> {
    let Some(asked) = asked else { return Ok(None) };
    for (param, summary) in [
        ("reasoning.summary", &asked.summary),
        ("reasoning.generate_summary", &asked.generate_summary),
    ] {
        if summary.as_deref().is_some_and(|summary| summary != "auto") {
            return Err(RequestError::unsupported(param, "thoughts are told whole."));
        }
    }
    Ok(asked.effort.clone())
}

fn format(text: Option<TextRequest>) -> Result<ResponseFormat, RequestError> {
    let Some(TextRequest { format, verbosity }) = text else { return Ok(ResponseFormat::Text) };
    if verbosity.is_some_and(|verbosity| verbosity != "medium") {
        return Err(RequestError::unsupported("text.verbosity", refused::NO_WORKER));
    }
    let Some(format) = format else { return Ok(ResponseFormat::Text) };
    match format.kind.as_str() {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => json_schema(format),
        other => {
            Err(RequestError::value("text.format.type", format!("'{other}' is no known format.")))
        }
    }
}

/// Always strict: a grammar forces every schema.
fn json_schema(format: FormatRequest) -> Result<ResponseFormat, RequestError> {
    let missing = |field: &str| RequestError::missing(format!("text.format.{field}"));
    chat::check_name("text.format.name", &format.name.ok_or_else(|| missing("name"))?)?;
    let mut schema = format.schema.ok_or_else(|| missing("schema"))?;
    // Models whose template shows the schema see there what it is for.
    if let Some(description) = format.description {
        schema.entry("description").or_insert(description.into());
    }
    Ok(ResponseFormat::JsonSchema(Value::Object(schema)))
}

fn asked(
    request: ResponseRequest,
    chat: &Chat,
    mut verbatim: Verbatim,
    keep: Option<Keep>,
) -> Asked {
    let reasoning = request.reasoning;
    let (effort, summary) =
        reasoning.map_or((None, None), |reasoning| (reasoning.effort, reasoning.summary));
    Asked {
        background: false,
        instructions: request.instructions,
        max_output_tokens: chat.decoding.max_tokens,
        max_tool_calls: None,
        metadata: request.metadata.unwrap_or_default(),
        parallel_tool_calls: chat.parallel_tool_calls,
        previous_response_id: request.previous_response_id,
        prompt_cache_key: request.prompt_cache_key,
        reasoning: Reasoning { effort, summary },
        safety_identifier: request.safety_identifier,
        service_tier: "default",
        store: keep.is_some(),
        temperature: chat.decoding.sampling.temperature,
        text: verbatim.text(),
        tool_choice: verbatim.tool_choice.take().unwrap_or_else(|| "auto".into()),
        tools: verbatim.tools(),
        top_logprobs: chat.decoding.logprobs.unwrap_or(0),
        top_p: chat.decoding.sampling.top_p,
        truncation: "disabled",
        user: request.user,
        logprobs: chat.decoding.logprobs.is_some(),
        keep,
    }
}

#[cfg(test)]
mod tests;
