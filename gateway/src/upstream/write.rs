//! A chat request in OpenAI's words, made of a call that came in others: Responses and Messages.

use axum::body::Bytes;
use chainference_protocol::{
    Chat, Decoding, Message, MessageContent, ResponseFormat, Sampling, Tool, ToolCall, ToolChoice,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The body for a server that calls the model `model`. A stream is asked to end with its usage.
pub fn chat_body(model: &str, chat: &Chat, stream: bool) -> Bytes {
    let Decoding { sampling, stop, max_tokens, n, logprobs, grammar, ignore_eos } = &chat.decoding;
    let has_tools = !chat.tools.is_empty();
    let body = Body {
        model,
        messages: chat.messages.iter().map(message).collect(),
        stream,
        stream_options: stream.then(|| json!({"include_usage": true})),
        max_tokens: *max_tokens,
        n: (*n != 1).then_some(*n),
        stop,
        tools: chat.tools.iter().map(tool).collect(),
        tool_choice: has_tools.then(|| tool_choice(&chat.tool_choice)),
        parallel_tool_calls: has_tools.then_some(chat.parallel_tool_calls),
        response_format: response_format(&chat.response_format),
        chat_template_kwargs: &chat.template_variables,
        logprobs: logprobs.map(|_| true),
        top_logprobs: *logprobs,
        grammar: grammar.as_deref(),
        ignore_eos: ignore_eos.then_some(true),
        sampling,
    };
    // Strings, numbers and maps of strings always serialise.
    Bytes::from(serde_json::to_vec(&body).unwrap_or_default())
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Said<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    chat_template_kwargs: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(flatten)]
    sampling: &'a Sampling,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'a str,
    content: Option<&'a MessageContent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

fn message(message: &Message) -> Said<'_> {
    // A tool's message names its call, not its function.
    let name = message.name.as_deref().filter(|_| message.role != "tool");
    Said {
        role: &message.role,
        content: message.content.as_ref(),
        name,
        reasoning_content: message.reasoning_content.as_deref(),
        tool_calls: message.tool_calls.iter().map(tool_call).collect(),
        tool_call_id: message.tool_call_id.as_deref(),
    }
}

fn tool_call(call: &ToolCall) -> Value {
    let ToolCall { id, name, arguments } = call;
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        function["description"] = description.as_str().into();
    }
    if let Some(parameters) = &tool.parameters {
        function["parameters"] = parameters.clone();
    }
    if tool.strict {
        function["strict"] = true.into();
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn response_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
        ResponseFormat::JsonSchema(schema) => {
            let schema = json!({"name": "answer", "strict": true, "schema": schema});
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::Task;

    use super::*;
    use crate::openai::{parse_chat, parse_message, parse_response};

    fn body(task: &Task, stream: bool) -> Value {
        let Task::Chat(chat) = task else { panic!("a chat") };
        serde_json::from_slice(&chat_body("m", chat, stream)).unwrap()
    }

    #[test]
    fn a_chat_that_is_written_anew_is_the_same_call() {
        let function = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
        let call = json!({"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "{}"}});
        for more in [
            json!({}),
            json!({"stream": true, "temperature": 0.7, "top_p": 0.9, "seed": 5, "stop": ["x"],
                "max_tokens": 9, "n": 2, "logit_bias": {"7": -1.5}, "logprobs": true,
                "top_logprobs": 3, "min_p": 0.05, "repeat_penalty": 1.1, "ignore_eos": true}),
            json!({"tools": [{"type": "function", "function": function}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": false}),
            json!({"response_format": {"type": "json_object"}, "reasoning_effort": "low"}),
            json!({"json_schema": {"type": "object"}, "chat_template_kwargs": {"a": 1}}),
        ] {
            let mut asked = json!({"model": "m", "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "é"}], "name": "n"},
                {"role": "assistant", "content": null, "tool_calls": [call],
                    "reasoning_content": "hm"},
                {"role": "tool", "content": "t", "tool_call_id": "a"}]});
            asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let parsed = parse_chat(asked.to_string().as_bytes()).unwrap();
            let written = body(&parsed.request.task, parsed.stream).to_string();
            let again = parse_chat(written.as_bytes()).unwrap();
            assert!(again.request == parsed.request, "{written}");
            assert_eq!(again.stream, parsed.stream);
        }
    }

    #[test]
    fn responses_and_messages_become_chats() {
        let response = json!({"model": "m", "input": "hi", "instructions": "be brief",
            "max_output_tokens": 5});
        let response = parse_response(response.to_string().as_bytes(), None).unwrap();
        let written = body(&response.request.task, true);
        assert_eq!(written["messages"][0], json!({"role": "system", "content": "be brief"}));
        assert_eq!((&written["max_tokens"], &written["stream"]), (&json!(5), &json!(true)));
        assert_eq!(written["stream_options"], json!({"include_usage": true}));

        let message = json!({"model": "m", "max_tokens": 4, "stop_sequences": ["x"],
            "messages": [{"role": "user", "content": "hi"}]});
        let message = parse_message(message.to_string().as_bytes()).unwrap();
        let written = body(&message.request.task, false);
        assert_eq!((&written["stop"], &written["stream"]), (&json!(["x"]), &json!(false)));
        assert!(written.get("stream_options").is_none() && written.get("tools").is_none());
    }
}
