use chainference_protocol::{Chat, FinishReason, Message, Tool, ToolCall, ToolChoice};
use serde_json::{Value, json};

use super::engine::{Answer, ask, chat, refused};

const WEATHER: &str = "What is the weather in Graz for the next 3 days?";

fn tools() -> Vec<Tool> {
    let tool = |name: &str, description: &str, parameters: Value| Tool {
        name: name.into(),
        description: Some(description.into()),
        parameters: Some(parameters),
        strict: true,
    };
    vec![
        tool(
            "get_weather",
            "The weather of a city.",
            json!({
                "type": "object",
                "properties": {
                    "city": { "type": "string", "maxLength": 20 },
                    "days": { "type": "integer", "minimum": 1, "maximum": 9 },
                    "unit": { "enum": ["celsius", "fahrenheit"] },
                },
                "required": ["city", "days", "unit"],
                "additionalProperties": false,
            }),
        ),
        tool(
            "send_mail",
            "Sends a message to somebody.",
            json!({
                "type": "object",
                "properties": { "to": { "type": "string", "maxLength": 20 }, "urgent": { "type": "boolean" } },
                "required": ["to", "urgent"],
                "additionalProperties": false,
            }),
        ),
    ]
}

fn with_tools(choice: ToolChoice) -> impl FnOnce(&mut Chat) {
    move |chat| {
        chat.tools = tools();
        chat.tool_choice = choice;
        chat.decoding.max_tokens = Some(120);
    }
}

fn assert_fits(answer: &Answer) {
    assert_eq!(answer.reason, Some(FinishReason::ToolCalls), "{:?}", answer.calls);
    assert_eq!((answer.text.as_str(), answer.calls.len()), ("", 1), "the call and nothing else");
    let (id, name, _) = &answer.calls[0];
    assert!(id.starts_with("call_"), "{id}");
    let arguments = answer.arguments(0);
    match name.as_str() {
        "get_weather" => {
            assert!(arguments["city"].as_str().is_some_and(|city| city.chars().count() <= 20));
            assert!(arguments["days"].as_u64().is_some_and(|days| (1..=9).contains(&days)));
            assert!(["celsius", "fahrenheit"].contains(&arguments["unit"].as_str().expect("text")));
        }
        "send_mail" => assert!(arguments["to"].is_string() && arguments["urgent"].is_boolean()),
        other => panic!("{other} is no tool"),
    }
    let count = if name == "get_weather" { 3 } else { 2 };
    assert_eq!(arguments.as_object().expect("an object").len(), count, "{arguments}");
}

#[test]
fn a_required_call_comes_first_and_fits_its_schema() {
    for question in [WEATHER, "Say hello.", "Write a poem about the sea."] {
        assert_fits(&ask(chat(question, with_tools(ToolChoice::Required))));
    }
}

#[test]
fn a_named_tool_is_called_whatever_was_asked() {
    for name in ["get_weather", "send_mail"] {
        for temperature in [0.0, 1.5] {
            let answer = ask(chat(WEATHER, |chat| {
                with_tools(ToolChoice::Named(name.into()))(chat);
                chat.decoding.sampling.temperature = Some(temperature);
                chat.decoding.sampling.seed = Some(3);
            }));
            assert_fits(&answer);
            assert_eq!(answer.calls[0].1, name);
        }
    }
}

#[test]
fn a_free_choice_lets_the_model_speak() {
    // The answer that needs no tool is a text, with the tools and without.
    let answer = ask(chat("Say the word: hello", |chat| {
        with_tools(ToolChoice::None)(chat);
        chat.decoding.max_tokens = Some(16);
    }));
    assert!(answer.calls.is_empty() && !answer.text.is_empty());
    let answer = ask(chat("Say the word: hello", |chat| {
        with_tools(ToolChoice::Auto)(chat);
        chat.decoding.max_tokens = Some(16);
        // Without this token there is no "<tool_call>": nothing else forces it.
        chat.decoding.sampling.logit_bias = [(44, -100.0)].into();
    }));
    assert!(answer.calls.is_empty() && !answer.text.is_empty(), "{:?}", answer.calls);
}

#[test]
fn a_call_that_the_model_begins_by_itself_is_held_to_the_schema() {
    let asked = |bias| {
        ask(chat("Weather in Graz?", |chat| {
            with_tools(ToolChoice::Auto)(chat);
            // A "<" that is favoured spoils what no grammar holds.
            chat.decoding.sampling.logit_bias = [(44, bias)].into();
            // Two examples make this small model begin one.
            let before = ["Linz", "Wien"].map(|city| {
                let arguments = json!({ "city": city, "days": 1, "unit": "celsius" }).to_string();
                let call = ToolCall { id: city.into(), name: "get_weather".into(), arguments };
                let called = Message {
                    role: "assistant".into(),
                    tool_calls: vec![call],
                    ..Message::default()
                };
                [Message::text("user", format!("Weather in {city}?")), called]
            });
            chat.messages.splice(0..0, before.into_iter().flatten());
        }))
    };
    let answer = asked(0.0);
    assert_fits(&answer);
    assert_eq!(answer.arguments(0)["city"], "Graz");
    assert_fits(&asked(12.0));
}

#[test]
fn parallel_calls_are_one_unless_allowed() {
    let called = |parallel| {
        ask(chat("The weather in Graz, in Linz and in Wien, please.", |chat| {
            with_tools(ToolChoice::Required)(chat);
            chat.parallel_tool_calls = parallel;
            chat.decoding.max_tokens = Some(400);
        }))
    };
    assert_fits(&called(false));
    let several = called(true);
    assert!(!several.calls.is_empty());
    (0..several.calls.len()).for_each(|call| assert!(several.arguments(call).is_object()));
}

#[test]
fn a_call_that_is_cut_off_ends_with_length() {
    let answer = ask(chat(WEATHER, |chat| {
        with_tools(ToolChoice::Required)(chat);
        chat.decoding.max_tokens = Some(18);
    }));
    assert_eq!((answer.reason, answer.tokens.len()), (Some(FinishReason::Length), 18));
    assert_eq!(answer.text, "");
}

#[test]
fn what_no_grammar_holds_is_refused_by_name() {
    let error = refused(chat("Hi", |chat| {
        with_tools(ToolChoice::Auto)(chat);
        chat.tools[0].parameters = Some(json!({ "type": "array", "uniqueItems": true }));
    }));
    assert!(error.starts_with("tools") && error.contains("uniqueItems"), "{error}");
    let error = refused(chat("Hi", |chat| {
        with_tools(ToolChoice::Required)(chat);
        chat.decoding.ignore_eos = true;
    }));
    assert!(error.starts_with("ignore_eos"), "{error}");
}
