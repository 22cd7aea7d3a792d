//! What a model is shown, and what is refused before.

use chainference_protocol::{Decoding, MessageContent, ResponseFormat, ToolCall};

use super::*;

#[test]
fn the_models_default_system_message_comes_first() {
    assert_eq!(
        prepare(SMOLLM2, &chat(&[("user", "Häuser? \"\n\u{1F600}")])).prompt,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
         <|im_start|>user\nHäuser? \"\n\u{1F600}<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(
        prepare(SMOLLM2, &chat(&[("system", "Be brief."), ("user", "Hi")])).prompt,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn a_model_without_a_template_gets_chatml() {
    let template = ChatTemplate::new(TemplateSource::default()).expect("a template");
    let prepared = template.prepare(&chat(&[("user", "Hi")]));
    let prompt = prepared.map(|it| it.prompt);
    let expected = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(prompt.as_deref(), Ok(expected));
}

#[test]
fn a_template_that_refuses_is_an_error_with_its_reason() {
    let source = "{% for m in messages %}{% if m['role'] == 'bad' %}{{ raise_exception('unknown role') }}{% endif %}{{ m['content'] }}{% endfor %}";
    let error = refused(source, &chat(&[("bad", "x")]));
    assert!(error.contains("unknown role"), "{error}");
}

#[test]
fn a_broken_template_is_an_error() {
    let source = TemplateSource { text: Some("{% for %}"), ..Default::default() };
    ChatTemplate::new(source).expect_err("can't be parsed");
}

#[test]
fn tools_are_shown_by_a_template_that_knows_none() {
    let mut chat = with_tools(ToolChoice::Auto);
    chat.messages.insert(0, Message::text("system", "Be brief."));
    let prompt = prepare(SMOLLM2, &chat).prompt;
    for part in [
        "<|im_start|>system\nBe brief.\n\n# Tools",
        "\"name\": \"weather\"",
        "\"clock\"",
        "<tool_call>",
    ] {
        assert!(prompt.contains(part), "{part} is not in {prompt}");
    }
    assert!(prompt.ends_with("Graz?<|im_end|>\n<|im_start|>assistant\n"), "{prompt}");
    chat.tool_choice = ToolChoice::None;
    assert!(!prepare(SMOLLM2, &chat).prompt.contains("weather\""), "it may call none");
}

#[test]
fn calls_and_their_results_are_part_of_the_prompt() {
    let mut chat = with_tools(ToolChoice::Auto);
    let call = ToolCall {
        id: "abcdef123".into(),
        name: "weather".into(),
        arguments: r#"{"city": "Graz"}"#.into(),
    };
    chat.messages.push(Message {
        role: "assistant".into(),
        tool_calls: vec![call],
        ..Message::default()
    });
    chat.messages.push(Message {
        tool_call_id: Some("abcdef123".into()),
        ..Message::text("tool", "21 degrees")
    });
    for (text, call, result) in [
        (
            SMOLLM2,
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\"}}\n</tool_call>",
            "<tool_response>\n21 degrees\n</tool_response>",
        ),
        (
            LLAMA3,
            "{\"name\": \"weather\", \"parameters\": {\"city\": \"Graz\"}}<|eot_id|>",
            "ipython<|end_header_id|>\n\n21 degrees",
        ),
        (
            MISTRAL,
            "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\"}, \"id\": \"abcdef123\"}]",
            "[TOOL_RESULTS]{\"content\": 21 degrees",
        ),
    ] {
        let prompt = prepare(text, &chat).prompt;
        assert!(prompt.contains(call), "{call} is not in {prompt}");
        assert!(prompt.contains(result), "{result} is not in {prompt}");
    }
}

#[test]
fn parts_and_template_variables_reach_the_template() {
    let mut chat = chat(&[]);
    let parts = serde_json::from_value(
        json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]),
    );
    let content = Some(MessageContent::Parts(parts.expect("parts")));
    chat.messages.push(Message { role: "user".into(), content, ..Message::default() });
    assert!(prepare(SMOLLM2, &chat).prompt.contains("user\na\nb<|im_end|>"));
    chat.messages = vec![Message::text("user", "Hi")];
    assert!(prepare(THINKING, &chat).prompt.ends_with("assistant\n"));
    chat.template_variables.insert("enable_thinking".into(), false.into());
    assert!(prepare(THINKING, &chat).prompt.ends_with("<think>\n\n</think>\n\n"));
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let with = |change: fn(&mut Chat)| {
        let mut chat = with_tools(ToolChoice::Auto);
        change(&mut chat);
        refused(SMOLLM2, &chat)
    };
    for (error, param) in [
        (with(|chat| chat.tool_choice = ToolChoice::Named("other".into())), "tool_choice"),
        (
            with(|chat| (chat.tools, chat.tool_choice) = (Vec::new(), ToolChoice::Required)),
            "tool_choice",
        ),
        (with(|chat| chat.decoding.grammar = Some("root ::= \"x\"".into())), "grammar"),
        (with(|chat| chat.response_format = ResponseFormat::JsonObject), "response_format"),
        (
            with(|chat| {
                chat.tools.clear();
                chat.response_format = ResponseFormat::JsonObject;
                chat.decoding =
                    Decoding { grammar: Some("root ::= \"x\"".into()), ..Decoding::default() };
            }),
            "grammar",
        ),
        (
            with(|chat| {
                chat.tool_choice = ToolChoice::None;
                chat.response_format = ResponseFormat::JsonSchema(json!({ "type": "thing" }));
            }),
            "response_format",
        ),
        (with(|chat| chat.tools[0].parameters = Some(json!({ "type": "thing" }))), "tools"),
    ] {
        assert!(error.starts_with(param), "{error}");
    }
    let broken = with(|chat| {
        let arguments = "{\"city\": secret".into();
        let call = ToolCall { id: "1".into(), name: "weather".into(), arguments };
        chat.messages.push(Message {
            role: "assistant".into(),
            tool_calls: vec![call],
            ..Message::default()
        });
    });
    assert!(broken.starts_with("messages") && !broken.contains("secret"), "{broken}");
    let foreign = "{% for m in messages %}<turn>{{ m['content'] }}{% endfor %}";
    assert!(refused(foreign, &with_tools(ToolChoice::Auto)).starts_with("tools"));
}
