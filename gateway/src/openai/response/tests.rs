use chainference_protocol::{Delta, FinishReason};
use chainference_protocol::{MessageContent, ToolCall, ToolCallDelta, ToolChoice};
use serde_json::json;

use super::*;
use crate::openai::{
    answers::Answers,
    call::{Events, StreamEvent},
    error::ApiError,
    tests::{facts, logprob, usage},
    usage::Facts,
};

fn parse_with(extra: &Value, stored: Option<&OwnResponses>) -> Result<Call, RequestError> {
    let mut body = json!({"model": "m", "input": "hi"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    parse_response(body.to_string().as_bytes(), stored)
}

fn parse(extra: &Value) -> Result<Call, RequestError> {
    parse_with(extra, None)
}

fn chat(extra: Value) -> Chat {
    match parse(&extra).unwrap_or_else(|error| panic!("{extra}: {error}")).request.task {
        Task::Chat(chat) => chat,
        _ => panic!("a chat"),
    }
}

fn function(name: &str) -> Value {
    json!({"type": "function", "name": name, "description": "d",
        "parameters": {"type": "object", "properties": {}}, "strict": true})
}

fn format_of(kind: &str) -> Value {
    json!({"text": {"format": {"type": kind, "name": "s", "description": "d",
        "schema": {"type": "object"}}}})
}

fn asked_of(call: &Call) -> Arc<Asked> {
    match &call.form.style {
        Style::Response(asked) => asked.clone(),
        other => panic!("{other:?}"),
    }
}

fn of_response() -> Facts {
    Facts { id: "resp_1f".into(), ..facts() }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_responses_parameters_reach_the_worker() {
    let extra = json!({
        "stream": true, "instructions": "be brief", "temperature": 0.5, "top_p": 0.9,
        "max_output_tokens": 7, "max_tokens": 9, "top_logprobs": 3, "stop": "x", "seed": 1,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"}, "parallel_tool_calls": false,
        "metadata": {"k": "v"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "p",
        "store": false, "text": {"verbosity": "medium"}, "top_k": 3,
        "chat_template_kwargs": {"tone": "dry"}, "some_new_field": [1],
    });
    let call = parse(&extra).unwrap();
    assert!(call.stream && call.form.answers == 1);
    let chat = chat(extra);
    assert!(!chat.parallel_tool_calls);
    let texts: Vec<_> = chat.messages.iter().map(|one| one.role.as_str()).collect();
    assert_eq!(texts, ["system", "user"]);
    let decoding = chat.decoding;
    assert_eq!((decoding.max_tokens, decoding.logprobs), (Some(7), Some(3)));
    assert_eq!(
        (decoding.stop.as_slice(), decoding.sampling.seed),
        (&["x".to_owned()][..], Some(1))
    );
    assert_eq!(decoding.sampling.top_k, Some(3));
    assert_eq!(chat.template_variables["reasoning_effort"], "low");
    assert_eq!(chat.template_variables["tone"], "dry");
}

#[test]
fn a_response_repeats_its_request() {
    let extra = json!({"instructions": "be brief", "temperature": 0.5, "max_output_tokens": 7,
        "metadata": {"k": "v"}, "user": "u", "tools": [function("f"), {"type": "function",
        "name": "g"}], "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_object"}}});
    let asked = serde_json::to_value(&*asked_of(&parse(&extra).unwrap())).unwrap();
    for (name, expected) in [
        ("instructions", json!("be brief")),
        ("temperature", json!(0.5)),
        ("top_p", Value::Null),
        ("max_output_tokens", json!(7)),
        ("metadata", json!({"k": "v"})),
        ("user", json!("u")),
        ("tool_choice", extra["tool_choice"].clone()),
        ("text", json!({"format": {"type": "json_object"}, "verbosity": "medium"})),
        ("store", json!(false)),
        ("previous_response_id", Value::Null),
        ("truncation", json!("disabled")),
    ] {
        assert_eq!(asked.as_object().unwrap().get(name), Some(&expected), "{name}");
    }
    assert_eq!(asked["tools"][0], function("f"));
    let bare = json!({"type": "function", "name": "g", "parameters": null, "strict": false});
    assert_eq!(asked["tools"][1], bare);
}

#[test]
fn items_become_the_messages_of_a_chat() {
    let call =
        |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let chat = chat(json!({"input": [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
            "content": [{"type": "output_text", "text": "b", "annotations": []}]},
        call("c1"), call("c2"),
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2",
            "output": [{"type": "input_text", "text": "2"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "lost"}]},
        {"role": "user", "content": "c"},
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
            ("system", text("be brief")),
            ("user", text("a")),
            ("assistant", text("b")),
            ("tool", text("1")),
            ("tool", text("2")),
            ("user", text("c")),
        ]
    );
    let answer = &chat.messages[2];
    assert_eq!(answer.reasoning_content.as_deref(), Some("hm"));
    let made = |id: &str| ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() };
    assert!(answer.tool_calls == [made("c1"), made("c2")]);
    assert_eq!(chat.messages[4].tool_call_id.as_deref(), Some("c2"));
    assert_eq!(chat.messages[4].name.as_deref(), Some("f"));
}

#[test]
fn a_responses_functions_and_format_reach_the_worker() {
    let tools = json!([function("f"), function("g")]);
    let named = json!({"type": "function", "name": "g"});
    for (choice, expected) in [
        (json!(null), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (named.clone(), ToolChoice::Named("g".into())),
    ] {
        let chat = chat(json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(chat.tool_choice, expected, "{choice}");
        assert!(chat.tools.len() == 2 && chat.tools[0].strict);
    }
    let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [named]});
    let few = chat(json!({"tools": tools, "tool_choice": allowed}));
    assert_eq!((few.tools.len(), few.tool_choice), (1, ToolChoice::Required));
    let formed = |extra: Value| chat(extra).response_format;
    assert_eq!(formed(format_of("text")), ResponseFormat::Text);
    assert_eq!(formed(format_of("json_object")), ResponseFormat::JsonObject);
    let schema = json!({"type": "object", "description": "d"});
    assert_eq!(formed(format_of("json_schema")), ResponseFormat::JsonSchema(schema));
}

#[test]
fn a_responses_wrong_values_name_their_path() {
    for (extra, param) in [
        (json!({"input": []}), "input"),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
        (json!({"input": [{"role": "king", "content": "a"}]}), "input[0].role"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0].type"),
        (json!({"input": [{"type": "computer_call"}]}), "input[0].type"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            "input[0].content[0]",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]}),
            "input[0].call_id",
        ),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tool_choice": {"type": "function", "name": "f"}}), "tool_choice.name"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema", "name": "s"}}}), "text.format.schema"),
        (json!({"text": {"verbosity": "low"}}), "text.verbosity"),
        (json!({"reasoning": {"effort": "wild"}}), "reasoning.effort"),
        (json!({"reasoning": {"summary": "detailed"}}), "reasoning.summary"),
        (json!({"include": ["everything"]}), "include[0]"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"n": 2}), "n"),
        (json!({"store": true}), "store"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
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
fn each_parameter_that_a_response_refuses_passes_where_it_asks_for_nothing() {
    refused::tests::check_all(refused::RESPONSE, |name, value| {
        let body = format!("{{\"model\": \"m\", \"input\": \"a\", \"{name}\": {value}}}");
        parse_response(body.as_bytes(), None).map(|_| ())
    });
}

fn said(reason: FinishReason) -> [Delta; 3] {
    let piece = |id: Option<&str>, arguments: &str| ToolCallDelta {
        index: 0,
        id: id.map(str::to_owned),
        name: id.map(|_| "f".to_owned()),
        arguments: arguments.into(),
    };
    let calls = match reason {
        FinishReason::ToolCalls => vec![piece(Some("call_a"), "{"), piece(None, "}")],
        _ => Vec::new(),
    };
    [
        Delta { reasoning: "hm".into(), ..Delta::default() },
        Delta { text: "Hé".into(), logprobs: vec![logprob("Hé", -0.5)], ..Delta::default() },
        Delta { text: "y".into(), tool_calls: calls, ..Delta::default() },
    ]
}

fn whole(extra: &Value, reason: FinishReason) -> Value {
    let mut answers = Answers::new(1);
    said(reason).into_iter().for_each(|delta| answers.take(delta));
    answers.finish(0, reason, None);
    value(&response(&of_response(), &asked_of(&parse(extra).unwrap()), &answers, &usage()))
}

fn stream(extra: &Value, reason: FinishReason) -> Vec<Value> {
    let mut events = ResponseEvents::new(of_response(), asked_of(&parse(extra).unwrap()));
    let mut told: Vec<StreamEvent> = events.begin(0);
    for delta in said(reason) {
        told.extend(events.delta(delta));
    }
    told.extend(events.finish(0, reason, None));
    told.extend(events.end(&usage()));
    for (number, event) in told.iter().enumerate() {
        let data = value(&event.data);
        assert_eq!(data["sequence_number"], number, "{data}");
        assert_eq!(Some(data["type"].as_str().unwrap()), event.name, "{data}");
    }
    told.iter().map(|event| value(&event.data)).collect()
}

#[test]
fn a_response_has_its_thoughts_text_and_calls_as_items() {
    let response = whole(&json!({"top_logprobs": 1}), FinishReason::ToolCalls);
    assert_eq!(response["status"], "completed");
    assert_eq!(
        response["output"][0]["content"][0],
        json!({"type": "reasoning_text", "text": "hm"})
    );
    let text = &response["output"][1]["content"][0];
    assert_eq!((&text["text"], &text["annotations"]), (&json!("Héy"), &json!([])));
    assert_eq!(text["logprobs"][0]["logprob"], -0.5);
    let call = json!({"type": "function_call", "id": "fc_1f02", "status": "completed",
        "call_id": "call_a", "name": "f", "arguments": "{}"});
    assert_eq!(response["output"][2], call);
    assert_eq!(response["usage"]["input_tokens_details"]["cached_tokens"], 2);
    assert_eq!(response["usage"]["total_tokens"], 7);
    assert_eq!(response["usage"]["chainference"]["cost_lamports"], 2_000);
    for field in ["error", "incomplete_details", "instructions"] {
        assert_eq!(response.as_object().unwrap().get(field), Some(&Value::Null), "{field}");
    }
}

#[test]
fn a_response_that_is_cut_says_where() {
    let response = whole(&json!({}), FinishReason::Length);
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    let status = |at: usize| response["output"][at]["status"].clone();
    assert_eq!((status(0), status(1)), (json!("completed"), json!("incomplete")));
    assert_eq!(response["output"][1]["content"][0]["logprobs"], json!([]), "nobody asked");
}

#[test]
fn a_stream_tells_each_item_from_its_beginning_to_its_end() {
    let events = stream(&json!({}), FinishReason::ToolCalls);
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap().trim_start_matches("response."))
        .collect();
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[10]["delta"], "Hé");
    assert_eq!(events[12]["text"], "Héy");
    let whole = whole(&json!({}), FinishReason::ToolCalls);
    assert_eq!(events[20]["response"], whole, "the end of a stream is the whole response");
    for (event, item) in [(7, 0), (14, 1), (19, 2)] {
        assert_eq!(events[event]["item"], whole["output"][item]);
    }
}

#[test]
fn a_stream_that_is_cut_ends_incomplete() {
    let events = stream(&json!({}), FinishReason::Length);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"], whole(&json!({}), FinishReason::Length));
}

#[test]
fn a_stream_that_breaks_off_has_failed() {
    let error = ApiError::internal("The worker fell silent.").code("worker_failed");
    let mut events = ResponseEvents::new(of_response(), asked_of(&parse(&json!({})).unwrap()));
    events.begin(0);
    events.delta(Delta { text: "a".into(), ..Delta::default() });
    let event = events.fail(&error);
    assert_eq!(event.name, Some("response.failed"));
    let data = value(&event.data);
    assert_eq!(data["response"]["status"], "failed");
    let told = json!({"code": "server_error", "message": "The worker fell silent."});
    assert_eq!(data["response"]["error"], told);
    let before = value(&failed(0, &error).data);
    assert_eq!((&before["type"], &before["code"]), (&json!("error"), &json!("worker_failed")));
    assert_eq!(before["param"], Value::Null);
}

#[test]
fn a_stored_response_is_gone_on_from() {
    let stored = Responses::default().of([1; 32]);
    let first = parse_with(&json!({"instructions": "be brief", "input": "a"}), Some(&stored));
    let asked = asked_of(&first.unwrap());
    assert!(asked.store, "stored unless the client says no");
    let mut answers = Answers::new(1);
    answers.take(Delta { text: "b".into(), ..Delta::default() });
    answers.finish(0, FinishReason::Stop, None);
    let told = response(&of_response(), &asked, &answers, &usage());
    assert_eq!(stored.json("resp_1f"), Some(told));

    let next = json!({"previous_response_id": "resp_1f", "input": "c", "store": false});
    let next = parse_with(&next, Some(&stored)).unwrap();
    let asked = asked_of(&next);
    assert!(!asked.store && asked.previous_response_id.as_deref() == Some("resp_1f"));
    let Task::Chat(chat) = next.request.task else { panic!("a chat") };
    let texts: Vec<_> =
        chat.messages.iter().map(|one| one.content.as_ref().map(MessageContent::text)).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(texts, [text("a"), text("b"), text("c")], "its instructions hold once");
    let unknown = parse_with(&json!({"previous_response_id": "resp_2"}), Some(&stored));
    assert!(matches!(unknown, Err(RequestError::Value { param, .. })
        if param == "previous_response_id"));
}
