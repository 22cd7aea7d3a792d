use std::collections::BTreeMap;

use chainference_protocol::{MessageContent, ToolCall, ToolChoice};
use serde_json::{Value, json};

use super::*;

fn body(extra: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn parse(extra: &Value) -> Result<Call, RequestError> {
    parse_chat(body(extra.clone()).to_string().as_bytes())
}

fn chat(extra: Value) -> Chat {
    match parse(&extra).unwrap_or_else(|error| panic!("{extra}: {error}")).request.task {
        Task::Chat(chat) => chat,
        _ => panic!("a chat"),
    }
}

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "d",
        "parameters": {"type": "object", "properties": {}}}})
}

#[test]
fn common_parameters_reach_the_worker() {
    let extra = json!({
        "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5,
        "top_p": 0.9, "max_tokens": 9, "max_completion_tokens": 7, "stop": "x", "seed": -1, "n": 3,
        "presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"50": -100},
        "logprobs": true, "top_logprobs": 5, "response_format": {"type": "text"},
        "user": "u", "metadata": {"k": "v"}, "safety_identifier": "s", "prompt_cache_key": "p",
        "tools": [], "tool_choice": "auto", "parallel_tool_calls": false,
        "some_new_field": {"deep": [1]},
    });
    let call = parse(&extra).unwrap();
    assert!(call.stream && call.form.include_usage);
    assert_eq!((call.form.style, call.form.answers), (Style::Chat, 3));
    assert_eq!(call.form.logprobs, Some(5));
    let chat = chat(extra);
    assert!(!chat.parallel_tool_calls);
    let decoding = chat.decoding;
    assert_eq!((decoding.max_tokens, decoding.n, decoding.logprobs), (Some(7), 3, Some(5)));
    assert_eq!(decoding.stop, ["x"]);
    let sampling = decoding.sampling;
    assert_eq!((sampling.temperature, sampling.top_p), (Some(0.5), Some(0.9)));
    assert_eq!((sampling.presence_penalty, sampling.frequency_penalty), (Some(1.0), Some(-1.0)));
    assert_eq!(sampling.seed, Some(u32::MAX - 1));
    assert_eq!(sampling.logit_bias, BTreeMap::from([(50, -100.0)]));
}

#[test]
fn what_is_not_asked_for_has_openais_defaults() {
    let call = parse(&json!({})).unwrap();
    assert!(!call.stream && !call.form.include_usage);
    let chat = chat(json!({}));
    assert!(chat.parallel_tool_calls && chat.tools.is_empty());
    assert_eq!(chat.tool_choice, ToolChoice::Auto);
    assert_eq!(chat.response_format, ResponseFormat::Text);
    assert_eq!(chat.decoding, Decoding::default());
}

/// Each of llama.cpp's samplers has its value under its own name on the wire.
#[test]
fn llama_cpps_samplers_reach_the_worker() {
    let sampling = json!({
        "top_k": 40, "min_p": 0.25, "typical_p": 0.5, "top_n_sigma": 2.0, "xtc_probability": 0.5,
        "xtc_threshold": 0.125, "dynatemp_range": 0.5, "dynatemp_exponent": 2.0,
        "repeat_penalty": 1.5, "repeat_last_n": -1, "dry_multiplier": 0.5, "dry_base": 1.75,
        "dry_allowed_length": 2, "dry_penalty_last_n": -1, "dry_sequence_breakers": ["\n"],
        "mirostat": 2, "mirostat_tau": 5.0, "mirostat_eta": 0.125,
    });
    let reached = chat(sampling.clone()).decoding.sampling;
    assert_eq!(serde_json::to_value(reached).unwrap(), sampling);
    let more = chat(json!({"grammar": "root ::= \"a\"", "ignore_eos": true})).decoding;
    assert_eq!((more.grammar.as_deref(), more.ignore_eos), (Some("root ::= \"a\""), true));
    assert_eq!(chat(json!({"grammar": ""})).decoding.grammar, None);
}

#[test]
fn every_role_and_part_of_a_conversation_reaches_the_worker() {
    let call = json!({"id": "c1", "type": "function",
        "function": {"name": "f", "arguments": "{}"}});
    let chat = chat(json!({"messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "assistant", "content": null, "refusal": "no", "tool_calls": []},
        {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "2"},
    ]}));
    let roles: Vec<&str> = chat.messages.iter().map(|message| message.role.as_str()).collect();
    let expected = ["system", "user", "assistant", "tool", "assistant", "assistant", "tool"];
    assert_eq!(roles, expected);
    let texts: Vec<Option<String>> = chat
        .messages
        .iter()
        .map(|message| message.content.as_ref().map(MessageContent::text))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    let expected = [text("be brief"), text("ab"), None, text("1"), text("no"), None, text("2")];
    assert_eq!(texts, expected);
    assert_eq!(chat.messages[1].name.as_deref(), Some("ann"));
    assert_eq!(chat.messages[2].reasoning_content.as_deref(), Some("hm"));
    let made = |id: &str, name: &str| {
        vec![ToolCall { id: id.into(), name: name.into(), arguments: "{}".into() }]
    };
    assert!(chat.messages[2].tool_calls == made("c1", "f"));
    assert!(chat.messages[5].tool_calls == made("call_5", "g"));
    let answered = |at: usize| {
        let message = &chat.messages[at];
        (message.tool_call_id.as_deref(), message.name.as_deref())
    };
    assert_eq!(answered(3), (Some("c1"), Some("f")), "a tool's message gets its tool's name");
    assert_eq!(answered(6), (Some("call_5"), Some("g")));
}

#[test]
fn tools_and_the_choice_among_them_reach_the_worker() {
    let tools = json!([function("f"), function("g")]);
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (choice, expected) in [
        (json!(null), ToolChoice::Auto),
        (json!("auto"), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (named.clone(), ToolChoice::Named("g".into())),
    ] {
        let chat = chat(json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(chat.tool_choice, expected, "{choice}");
        assert_eq!(chat.tools.len(), 2, "{choice}");
        assert_eq!(chat.tools[0].name, "f");
        assert!(chat.tools[0].parameters.is_some() && !chat.tools[0].strict);
    }
    let allowed = json!({"type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [named]}});
    let chat = chat(json!({"tools": tools, "tool_choice": allowed}));
    let names: Vec<&str> = chat.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!((names.as_slice(), chat.tool_choice), (&["g"][..], ToolChoice::Required));
}

#[test]
fn every_way_to_ask_for_a_format_is_understood() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    let named = |schema: Value| {
        json!({"response_format": {"type": "json_schema",
            "json_schema": {"name": "s", "strict": true, "schema": schema}}})
    };
    let forced = ResponseFormat::JsonSchema(schema.clone());
    let plain = json!({"response_format": {"type": "json_object", "schema": schema}});
    for (extra, expected) in [
        (json!({"response_format": {"type": "json_object"}}), ResponseFormat::JsonObject),
        (named(schema.clone()), forced.clone()),
        (named(Value::Null), ResponseFormat::JsonObject),
        (plain, forced.clone()),
        (json!({"json_schema": schema}), forced),
    ] {
        assert_eq!(chat(extra.clone()).response_format, expected, "{extra}");
    }
    let described = json!({"response_format": {"type": "json_schema", "json_schema":
        {"name": "s", "description": "what it is for", "schema": {"type": "object"}}}});
    let expected = json!({"type": "object", "description": "what it is for"});
    assert_eq!(chat(described).response_format, ResponseFormat::JsonSchema(expected));
}

#[test]
fn how_much_a_model_thinks_is_a_variable_of_its_template() {
    for (extra, expected) in [
        (json!({}), json!({})),
        (json!({"reasoning_effort": "low"}), json!({"reasoning_effort": "low"})),
        (json!({"reasoning_effort": "none"}), json!({"enable_thinking": false})),
        (json!({"chat_template_kwargs": {"a": [1]}}), json!({"a": [1]})),
        (
            json!({"reasoning_effort": "high", "chat_template_kwargs": {"a": 1}}),
            json!({"a": 1, "reasoning_effort": "high"}),
        ),
    ] {
        let variables = chat(extra.clone()).template_variables;
        assert_eq!(Value::Object(variables), expected, "{extra}");
    }
}

#[test]
fn wrong_types_name_their_path() {
    let message = |message: Value| json!({"messages": [message]});
    for (extra, param) in [
        (json!({"model": 3}), "model"),
        (json!({"messages": "hi"}), "messages"),
        (message(json!({"role": "user", "content": 5})), "messages[0].content"),
        (message(json!({"role": 1, "content": "a"})), "messages[0].role"),
        (
            message(json!({"role": "user", "content": [{"type": "text", "text": 1}]})),
            "messages[0].content[0].text",
        ),
        (
            message(json!({"role": "assistant", "tool_calls": [{"id": "c",
                "function": {"name": "f", "arguments": {}}}]})),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stop": [1]}), "stop[0]"),
        (json!({"stop": 1}), "stop"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"stream_options": 1}), "stream_options"),
        (json!({"metadata": {"a": 1}}), "metadata.a"),
        (json!({"logit_bias": {"1": "a"}}), "logit_bias.1"),
        (json!({"tools": {}}), "tools"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": "p"}}]}),
            "tools[0].function.parameters",
        ),
        (json!({"tool_choice": 1}), "tool_choice"),
        (json!({"tool_choice": {"type": 1}}), "tool_choice.type"),
        (json!({"response_format": "json"}), "response_format"),
        (json!({"logprobs": 2}), "logprobs"),
        (json!({"top_logprobs": "2"}), "top_logprobs"),
        (json!({"n": "2"}), "n"),
        (json!({"chat_template_kwargs": []}), "chat_template_kwargs"),
        (json!({"dry_sequence_breakers": "x"}), "dry_sequence_breakers"),
    ] {
        match parse(&extra) {
            Err(RequestError::Type { param: found, .. }) => assert_eq!(found, param, "{extra}"),
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn wrong_values_name_their_path() {
    let message = |message: Value| json!({"messages": [message]});
    let part = |part: Value| {
        json!({"messages": [{"role": "user",
        "content": [{"type": "text", "text": "a"}, part]}]})
    };
    let tools = |choice: Value| json!({"tools": [function("f")], "tool_choice": choice});
    for (extra, param) in [
        (json!({"model": ""}), "model"),
        (json!({"messages": []}), "messages"),
        (message(json!({"role": "boss", "content": "a"})), "messages[0].role"),
        (part(json!({"type": "image_url", "image_url": {"url": "x"}})), "messages[0].content[1]"),
        (part(json!({"type": "input_audio", "input_audio": {}})), "messages[0].content[1]"),
        (part(json!({"type": "file", "file": {}})), "messages[0].content[1]"),
        (message(json!({"role": "assistant", "audio": {"id": "a"}})), "messages[0].audio"),
        (
            message(json!({"role": "tool", "tool_call_id": "c", "content": "1"})),
            "messages[0].tool_call_id",
        ),
        (message(json!({"role": "function", "name": "f", "content": "1"})), "messages[0].name"),
        (json!({"temperature": 2.5}), "temperature"),
        (json!({"top_p": -0.5}), "top_p"),
        (json!({"presence_penalty": 3}), "presence_penalty"),
        (json!({"repeat_penalty": 0}), "repeat_penalty"),
        (json!({"mirostat": 3}), "mirostat"),
        (json!({"repeat_last_n": -2}), "repeat_last_n"),
        (json!({"dry_sequence_breakers": []}), "dry_sequence_breakers"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_completion_tokens": 0}), "max_completion_tokens"),
        (json!({"n": 0}), "n"),
        (json!({"n": limits::ANSWERS_MAX + 1}), "n"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": ""}), "stop"),
        (json!({"logit_bias": {"x": 1}}), "logit_bias.x"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias.1"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}),
            "response_format.json_schema.name",
        ),
        (json!({"response_format": {"type": "text"}, "json_schema": {}}), "json_schema"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"reasoning_effort": "much"}), "reasoning_effort"),
        (json!({"tools": [function("a b")]}), "tools[0].function.name"),
        (json!({"tools": vec![function("f"); limits::TOOLS_MAX + 1]}), "tools"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (tools(json!("some")), "tool_choice"),
        (tools(json!({"type": "other"})), "tool_choice.type"),
        (
            tools(json!({"type": "function", "function": {"name": "g"}})),
            "tool_choice.function.name",
        ),
        (
            tools(json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto",
                "tools": [{"type": "function", "function": {"name": "g"}}]}})),
            "tool_choice.allowed_tools.tools[0].function.name",
        ),
        (json!({"grammar": "g", "response_format": {"type": "json_object"}}), "grammar"),
        (json!({"grammar": "g", "tools": [function("f")]}), "grammar"),
    ] {
        match parse(&extra) {
            Err(RequestError::Value { param: found, .. }) => assert_eq!(found, param, "{extra}"),
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn unsupported_parameters_are_refused_by_name() {
    let custom = json!({"type": "custom", "custom": {"name": "f"}});
    for (extra, param) in [
        (json!({"tools": [custom]}), "tools[0].type"),
        (json!({"tools": [function("f")], "tool_choice": custom}), "tool_choice.type"),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [
                {"id": "c", "type": "custom", "custom": {}}]}]}),
            "messages[0].tool_calls[0].type",
        ),
        (
            json!({"stream": true, "stream_options": {"include_obfuscation": true}}),
            "stream_options.include_obfuscation",
        ),
    ] {
        match parse(&extra) {
            Err(RequestError::Unsupported { param: found, .. }) => {
                assert_eq!(found, param, "{extra}");
            }
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn each_refused_parameter_passes_where_it_asks_for_nothing() {
    refused::tests::check_all(refused::CHAT, |name, value| {
        parse_chat(
            format!(
                "{{\"model\": \"m\", \"messages\": [{{\"role\": \"user\", \
            \"content\": \"a\"}}], \"{name}\": {value}}}"
            )
            .as_bytes(),
        )
        .map(|_| ())
    });
}

#[test]
fn missing_fields_are_named() {
    let message = |message: Value| json!({"model": "m", "messages": [message]});
    for (body, param) in [
        (json!({"messages": []}), "model"),
        (json!({"model": "m"}), "messages"),
        (message(json!({"content": "a"})), "messages[0].role"),
        (message(json!({"role": "user"})), "messages[0].content"),
        (message(json!({"role": "user", "content": null})), "messages[0].content"),
        (message(json!({"role": "assistant"})), "messages[0].content"),
        (message(json!({"role": "tool", "content": "1"})), "messages[0].tool_call_id"),
        (message(json!({"role": "function", "content": "1"})), "messages[0].name"),
        (
            message(json!({"role": "user", "content": [{"type": "text"}]})),
            "messages[0].content[0].text",
        ),
        (body(json!({"tools": [{"type": "function"}]})), "tools[0].function"),
        (body(json!({"tools": [{"function": {"name": "f"}}]})), "tools[0].type"),
        (body(json!({"response_format": {"type": "json_schema"}})), "response_format.json_schema"),
        (
            body(json!({"response_format": {"type": "json_schema", "json_schema": {}}})),
            "response_format.json_schema.name",
        ),
    ] {
        match parse_chat(body.to_string().as_bytes()) {
            Err(RequestError::Missing { param: found }) => assert_eq!(found, param, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    for body in ["", "{", "{\"model\": \"m\",}", "\u{0}", "{} {}"] {
        let error = parse_chat(body.as_bytes()).unwrap_err();
        let wanted = matches!(error, RequestError::Json { .. } | RequestError::Missing { .. });
        assert!(wanted, "{body:?}: {error:?}");
    }
    assert!(matches!(parse_chat(b"[1]"), Err(RequestError::Type { .. })));
}
