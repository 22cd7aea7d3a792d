use chainference_protocol::{Delta, FinishReason, MessageContent, ToolCallDelta, ToolChoice};
use serde_json::json;

use super::{error::error_json, *};
use crate::openai::{
    answers::Answers,
    call::{Events, StreamEvent},
    error::ApiError,
    tests::{facts, usage},
    usage::Facts,
};

fn parse(extra: &Value) -> Result<Call, RequestError> {
    let mut body = json!({"model": "m", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    parse_message(body.to_string().as_bytes())
}

fn chat(extra: Value) -> Chat {
    match parse(&extra).unwrap_or_else(|error| panic!("{extra}: {error}")).request.task {
        Task::Chat(chat) => chat,
        _ => panic!("a chat"),
    }
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": "d", "input_schema": {"type": "object", "properties": {}}})
}

fn of_message() -> Facts {
    Facts { id: "msg_1f".into(), ..facts() }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_messages_parameters_reach_the_worker() {
    let extra = json!({
        "stream": true, "system": [{"type": "text", "text": "be brief",
        "cache_control": {"type": "ephemeral"}}], "temperature": 0.5, "top_p": 0.9, "top_k": 3,
        "stop_sequences": ["x"], "stop": "y", "metadata": {"user_id": "u"},
        "thinking": {"type": "enabled", "budget_tokens": 8}, "cache_control": {"type": "ephemeral"},
        "output_config": {"effort": "low", "format": {"type": "json_schema",
        "schema": {"type": "object"}}}, "chat_template_kwargs": {"tone": "dry"}, "seed": 1,
    });
    assert!(parse(&extra).unwrap().stream);
    let chat = chat(extra);
    let roles: Vec<_> = chat.messages.iter().map(|one| one.role.as_str()).collect();
    assert_eq!(roles, ["system", "user"]);
    let decoding = chat.decoding;
    assert_eq!((decoding.max_tokens, decoding.stop), (Some(9), vec!["y".to_owned(), "x".into()]));
    let sampling = decoding.sampling;
    assert_eq!(
        (sampling.temperature, sampling.top_k, sampling.seed),
        (Some(0.5), Some(3), Some(1))
    );
    assert_eq!(chat.template_variables["enable_thinking"], true);
    assert_eq!(chat.template_variables["reasoning_effort"], "low");
    assert_eq!(chat.template_variables["tone"], "dry");
    assert_eq!(chat.response_format, ResponseFormat::JsonSchema(json!({"type": "object"})));
}

#[test]
fn thinking_is_switched_and_never_bounded() {
    let variable = |thinking: Value| {
        chat(json!({"thinking": thinking})).template_variables.get("enable_thinking").cloned()
    };
    assert_eq!(variable(json!({"type": "disabled"})), Some(json!(false)));
    assert_eq!(variable(json!({"type": "adaptive"})), None);
    assert_eq!(variable(json!({"type": "enabled", "budget_tokens": 8})), Some(json!(true)));
}

#[test]
fn turns_become_the_messages_of_a_chat() {
    let chat = chat(json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "b"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
            {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
                "content": [{"type": "text", "text": "no"}]},
            {"type": "text", "text": "c"},
        ]},
    ]}));
    let seen: Vec<_> = chat
        .messages
        .iter()
        .map(|one| (one.role.as_str(), one.content.as_ref().map(MessageContent::text)))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            ("user", text("a")),
            ("assistant", text("b")),
            ("tool", text("1")),
            ("tool", text("Error: no")),
            ("user", text("c")),
        ]
    );
    let answer = &chat.messages[1];
    assert_eq!(answer.reasoning_content.as_deref(), Some("hm"));
    assert_eq!(answer.tool_calls[0].arguments, "{\"x\":1}");
    assert_eq!(chat.messages[3].name.as_deref(), Some("g"));
}

#[test]
fn a_messages_tools_reach_the_worker() {
    let tools = json!([tool("f"), tool("g")]);
    for (choice, expected) in [
        (json!({"type": "auto"}), ToolChoice::Auto),
        (json!({"type": "any"}), ToolChoice::Required),
        (json!({"type": "none"}), ToolChoice::None),
        (json!({"type": "tool", "name": "g"}), ToolChoice::Named("g".into())),
    ] {
        let chat = chat(json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(chat.tool_choice, expected, "{choice}");
        assert!(chat.tools.len() == 2 && chat.parallel_tool_calls);
        assert!(chat.tools[0].parameters.is_some());
    }
    let one = json!({"type": "any", "disable_parallel_tool_use": true});
    assert!(!chat(json!({"tools": tools, "tool_choice": one})).parallel_tool_calls);
}

#[test]
fn a_messages_wrong_values_name_their_path() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    for (extra, param) in [
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "king", "content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), "messages[0]"),
        (user(json!([])), "messages[0].content"),
        (user(json!([{"type": "image"}])), "messages[0].content[0]"),
        (user(json!([{"type": "text"}])), "messages[0].content[0].text"),
        (
            user(json!([{"type": "tool_result", "tool_use_id": "t"}])),
            "messages[0].content[0].tool_use_id",
        ),
        (json!({"tools": [{"type": "bash_20250124", "name": "bash"}]}), "tools[0].type"),
        (json!({"tools": [{"name": "a b", "input_schema": {}}]}), "tools[0].name"),
        (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
        (json!({"tool_choice": {"type": "any"}}), "tool_choice"),
        (json!({"tool_choice": {"type": "tool", "name": "f"}}), "tool_choice.name"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 2}}), "thinking.budget_tokens"),
        (json!({"thinking": {"type": "wild"}}), "thinking.type"),
        (json!({"output_config": {"format": {"type": "xml"}}}), "output_config.format.type"),
        (json!({"output_config": {"effort": "wild"}}), "output_config.effort"),
        (json!({"stop_sequences": [""]}), "stop_sequences"),
        (json!({"stop_sequences": ["a", "b", "c", "d", "e"]}), "stop_sequences"),
        (json!({"n": 2}), "n"),
    ] {
        let error = parse(&extra).expect_err(param);
        let found = match &error {
            RequestError::Type { param, .. }
            | RequestError::Missing { param }
            | RequestError::Value { param, .. }
            | RequestError::Unsupported { param, .. } => param,
            RequestError::Json { reason } => panic!("{reason}"),
        };
        assert_eq!(found, param, "{extra}: {error}");
    }
}

#[test]
fn each_parameter_that_a_message_refuses_passes_where_it_asks_for_nothing() {
    refused::tests::check_all(refused::MESSAGE, |name, value| {
        let body = format!(
            "{{\"model\": \"m\", \"max_tokens\": 9, \"messages\": [{{\"role\": \"user\", \
             \"content\": \"a\"}}], \"{name}\": {value}}}"
        );
        parse_message(body.as_bytes()).map(|_| ())
    });
}

fn said(reason: FinishReason) -> Vec<Delta> {
    let piece = |id: Option<&str>, arguments: &str| ToolCallDelta {
        index: 0,
        id: id.map(str::to_owned),
        name: id.map(|_| "f".to_owned()),
        arguments: arguments.into(),
    };
    let mut deltas = vec![
        Delta { reasoning: "hm".into(), ..Delta::default() },
        Delta { text: "Hé".into(), ..Delta::default() },
        Delta { text: "y".into(), ..Delta::default() },
    ];
    if reason == FinishReason::ToolCalls {
        for piece in [piece(Some("call_a"), ""), piece(None, "{\"x\""), piece(None, ":1}")] {
            deltas.push(Delta { tool_calls: vec![piece], ..Delta::default() });
        }
    }
    deltas
}

fn stops() -> Arc<Vec<String>> {
    Arc::new(vec!["STOP".to_owned()])
}

fn whole(reason: FinishReason, stop: Option<&str>) -> Value {
    let mut answers = Answers::new(1);
    said(reason).into_iter().for_each(|delta| answers.take(delta));
    answers.finish(0, reason, stop.map(str::to_owned));
    value(&message(&of_message(), &stops(), &answers, &usage()))
}

fn stream(reason: FinishReason, stop: Option<&str>) -> Vec<Value> {
    let mut events = MessageEvents::new(of_message(), stops());
    let mut told: Vec<StreamEvent> = events.begin(3);
    for delta in said(reason) {
        told.extend(events.delta(delta));
    }
    told.extend(events.finish(0, reason, stop.map(str::to_owned)));
    told.extend(events.end(&usage()));
    for event in &told {
        assert_eq!(Some(value(&event.data)["type"].as_str().unwrap()), event.name);
    }
    told.iter().map(|event| value(&event.data)).collect()
}

#[test]
fn a_message_has_its_thoughts_text_and_calls_as_blocks() {
    let answer = whole(FinishReason::ToolCalls, None);
    assert_eq!(
        answer["content"],
        json!([
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Héy", "citations": null},
            {"type": "tool_use", "id": "call_a", "name": "f", "input": {"x": 1},
                "caller": {"type": "direct"}},
        ])
    );
    assert_eq!(answer["stop_reason"], "tool_use");
    let usage = &answer["usage"];
    assert_eq!((&usage["input_tokens"], &usage["cache_read_input_tokens"]), (&json!(1), &json!(2)));
    assert_eq!(usage["output_tokens"], 4);
    assert_eq!(usage["chainference"]["cost_lamports"], 2_000);
}

#[test]
fn a_message_says_why_it_ended() {
    for (reason, stop, expected) in [
        (FinishReason::Stop, None, json!(["end_turn", null])),
        (FinishReason::Stop, Some("STOP"), json!(["stop_sequence", "STOP"])),
        // A worker can't make the client believe in a stop text that nobody asked for.
        (FinishReason::Stop, Some("OTHER"), json!(["end_turn", null])),
        (FinishReason::Length, None, json!(["max_tokens", null])),
        (FinishReason::ToolCalls, None, json!(["tool_use", null])),
    ] {
        let answer = whole(reason, stop);
        assert_eq!(json!([answer["stop_reason"], answer["stop_sequence"]]), expected);
        let events = stream(reason, stop);
        let last = &events[events.len() - 2]["delta"];
        assert_eq!(json!([last["stop_reason"], last["stop_sequence"]]), expected);
    }
}

#[test]
fn a_streamed_message_tells_each_block_from_its_beginning_to_its_end() {
    let events = stream(FinishReason::ToolCalls, None);
    let seen: Vec<String> = events
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap().trim_start_matches("content_block_");
            format!("{kind} {}", event["delta"]["type"].as_str().unwrap_or_default())
        })
        .collect();
    let seen: Vec<&str> = seen.iter().map(|seen| seen.trim_end()).collect();
    assert_eq!(
        seen,
        [
            "message_start",
            "start",
            "delta thinking_delta",
            "delta signature_delta",
            "stop",
            "start",
            "delta text_delta",
            "delta text_delta",
            "stop",
            "start",
            "delta input_json_delta",
            "delta input_json_delta",
            "stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 3);
    assert_eq!(events[0]["message"]["content"], json!([]));
    assert_eq!(events[9]["content_block"]["input"], json!({}));
    assert_eq!(events[13]["usage"]["output_tokens"], 4);
}

#[test]
fn errors_have_anthropics_form() {
    let error = ApiError::invalid("no").status(axum::http::StatusCode::NOT_FOUND);
    let text = error_json(&error, Some("req_1"));
    assert_eq!(
        value(&text),
        json!({"type": "error", "error": {"type": "not_found_error", "message": "no"},
            "request_id": "req_1"})
    );
    let event = failed(&ApiError::internal("broke off"));
    assert_eq!(event.name, Some("error"));
    assert_eq!(value(&event.data)["error"]["type"], "api_error");
}
