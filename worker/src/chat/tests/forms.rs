//! Answers of the common forms, taken apart however they are cut.

use std::collections::BTreeMap;

use chainference_protocol::ResponseFormat;

use super::*;

/// An answer, put together from what was told of it.
#[derive(Debug, Default, PartialEq)]
struct Whole {
    text: String,
    reasoning: String,
    /// Name and arguments.
    calls: Vec<(String, Value)>,
}

/// Reads an answer in pieces of so many characters; checks that ids and names come once.
fn read(form: &Form, answer: &str, piece_chars: usize, is_cut: bool) -> Whole {
    let mut reader = form.reader().expect("a reader");
    let chars: Vec<char> = answer.chars().collect();
    let mut said: Vec<Said> = chars
        .chunks(piece_chars)
        .map(|piece| reader.push(&piece.iter().collect::<String>()))
        .collect();
    said.push(reader.finish(is_cut));
    let mut whole = Whole::default();
    let mut calls: BTreeMap<u32, (String, String)> = BTreeMap::new();
    for said in said {
        whole.text.push_str(&said.text);
        whole.reasoning.push_str(&said.reasoning);
        for call in said.tool_calls {
            assert_eq!(call.id.is_some(), !calls.contains_key(&call.index), "an id comes once");
            assert_eq!(call.id.is_some(), call.name.is_some());
            assert!(call.id.is_none_or(|id| !id.is_empty()));
            let entry = calls.entry(call.index).or_default();
            entry.0.push_str(&call.name.unwrap_or_default());
            entry.1.push_str(&call.arguments);
        }
    }
    let parsed = |(name, arguments): (String, String)| {
        (name, serde_json::from_str(&arguments).unwrap_or(Value::String(arguments)))
    };
    whole.calls = calls.into_values().map(parsed).collect();
    whole
}

fn check(form: &Form, answer: &str, expected: &Whole) {
    for piece_chars in [1, 2, 3, 7, 10_000] {
        assert_eq!(&read(form, answer, piece_chars, false), expected, "pieces of {piece_chars}");
    }
}

fn calls(text: &str, calls: &[(&str, Value)]) -> Whole {
    let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), arguments.clone()));
    Whole { text: text.into(), reasoning: String::new(), calls: calls.collect() }
}

#[test]
fn tool_calls_of_each_family_are_read() {
    let graz = || ("weather", json!({ "city": "Graz", "days": 2 }));
    let clock = || ("clock", json!({}));
    for (template, answer, expected) in [
        (
            SMOLLM2,
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\", \"days\": 2}}\n</tool_call>",
            calls("", &[graz()]),
        ),
        (
            SMOLLM2,
            "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\", \"days\": 2}}\n</tool_call>\n<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>",
            calls("I look.\n", &[graz(), clock()]),
        ),
        (
            SMOLLM2,
            "Just <b>text</b>, {\"no\": \"call\"}.",
            calls("Just <b>text</b>, {\"no\": \"call\"}.", &[]),
        ),
        (
            LLAMA3,
            "{\"name\": \"weather\", \"parameters\": {\"city\": \"Graz\", \"days\": 2}}",
            calls("", &[graz()]),
        ),
        (LLAMA3, "No need of a call.", calls("No need of a call.", &[])),
        (
            MISTRAL,
            "[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"Graz\", \"days\": 2}, \"id\": \"abcdef123\"}]",
            calls("", &[graz()]),
        ),
        (MISTRAL, "Fine.", calls("Fine.", &[])),
    ] {
        let prepared = prepare(template, &with_tools(ToolChoice::Auto));
        check(&prepared.form, answer, &expected);
    }
}

#[test]
fn thoughts_are_told_apart_from_text_and_calls() {
    let form = prepare(THINKING, &with_tools(ToolChoice::Auto)).form;
    let answer = "<think>\nHm, 2 < 3.\n</think>\n\nIt is late.";
    let expected =
        Whole { text: "It is late.".into(), reasoning: "Hm, 2 < 3.".into(), calls: Vec::new() };
    check_trimmed(&form, answer, &expected);
    let answer = "<think>\nI ask.\n</think>\n\n<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>";
    let expected = Whole {
        text: String::new(),
        reasoning: "I ask.".into(),
        calls: vec![("clock".into(), json!({}))],
    };
    check_trimmed(&form, answer, &expected);
    let plain = prepare(THINKING, &chat(&[("user", "Hi")])).form;
    let expected = Whole { text: "Hi.".into(), reasoning: "A greeting.".into(), calls: Vec::new() };
    check_trimmed(&plain, "<think>\nA greeting.\n</think>\n\nHi.", &expected);
    let mut thinking = plain.thinking();
    thinking.push("<think>\nA");
    assert!(thinking.is_inside());
    thinking.push(" greeting.\n</think>\n");
    assert!(!thinking.is_inside());
}

/// White space around thoughts is the template's own.
fn check_trimmed(form: &Form, answer: &str, expected: &Whole) {
    for piece_chars in [1, 3, 10_000] {
        let mut whole = read(form, answer, piece_chars, false);
        whole.text = whole.text.trim().to_owned();
        whole.reasoning = whole.reasoning.trim().to_owned();
        assert_eq!(&whole, expected, "pieces of {piece_chars}");
    }
}

#[test]
fn what_may_become_a_call_is_held_back_and_then_shown_if_it_is_none() {
    let form = prepare(SMOLLM2, &with_tools(ToolChoice::Auto)).form;
    let mut reader = form.reader().expect("a reader");
    assert_eq!(reader.push("so <tool").text, "so ");
    assert_eq!(reader.push("box").text, "<toolbox");
    assert_eq!(reader.push(" <tool_c").text, " ");
    assert_eq!(reader.finish(true).text, "<tool_c");
    let mut reader = form.reader().expect("a reader");
    assert_eq!(reader.push("<").text, "");
    assert_eq!(reader.finish(false).text, "<");
}

#[test]
fn an_answer_of_no_known_form_is_shown_whole() {
    let form = prepare(LLAMA3, &with_tools(ToolChoice::Auto)).form;
    let answer = "Braces {like these} are no call.";
    check(&form, answer, &calls(answer, &[]));
}

#[test]
fn arguments_grow_as_they_come() {
    let form = prepare(SMOLLM2, &with_tools(ToolChoice::Auto)).form;
    let mut reader = form.reader().expect("a reader");
    let mut arguments = Vec::new();
    for piece in [
        "<tool_call>\n{\"name\": \"weather\", ",
        "\"arguments\": {\"city\": \"Gr",
        "az\"",
        "}}\n</tool_call>",
    ] {
        arguments.extend(reader.push(piece).tool_calls.into_iter().map(|call| call.arguments));
    }
    assert!(arguments.len() > 1, "{arguments:?}");
    assert_eq!(arguments.concat(), "{\"city\": \"Graz\"}");
}

#[test]
fn a_call_that_is_cut_off_is_told_as_far_as_it_came() {
    let form = prepare(SMOLLM2, &with_tools(ToolChoice::Auto)).form;
    let whole =
        read(&form, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Gr", 4, true);
    let [(name, Value::String(arguments))] = &whole.calls[..] else { panic!("{whole:?}") };
    assert_eq!((name.as_str(), whole.text.as_str()), ("weather", ""));
    assert!("{\"city\": \"Gr".starts_with(arguments.as_str()), "{arguments}");
}

#[test]
fn a_forced_call_comes_first_and_may_be_of_one_tool_only() {
    for template in [SMOLLM2, LLAMA3, MISTRAL, THINKING] {
        let grammar =
            prepare(template, &with_tools(ToolChoice::Required)).grammar.expect("a grammar");
        assert!(grammar.start == GrammarStart::Thought, "from the first token");
        let root = grammar.text.lines().find(|line| line.starts_with("root ::=")).expect("a root");
        assert!(root.contains("tool-call"), "{root}");
        assert!(grammar.text.contains("weather") && grammar.text.contains("clock"));
        let mut one = with_tools(ToolChoice::Required);
        one.parallel_tool_calls = false;
        let text = prepare(template, &one).grammar.expect("a grammar").text;
        assert!(text.contains("root ::= tool-call\n"), "one call only: {text}");
        let chat = with_tools(ToolChoice::Named("clock".into()));
        let prepared = prepare(template, &chat);
        let grammar = prepared.grammar.expect("a grammar");
        assert!(!grammar.text.contains("weather"), "{}", grammar.text);
        assert!(prepared.prompt.contains("weather"), "the prompt shows all");
    }
}

#[test]
fn a_free_choice_has_a_grammar_that_waits_for_the_call() {
    let prepared = prepare(SMOLLM2, &with_tools(ToolChoice::Auto));
    let start = prepared.grammar.expect("a grammar").start;
    assert!(start == GrammarStart::Trigger(vec![Trigger::Word("<tool_call>\n".into())]));
    assert!(prepare(SMOLLM2, &with_tools(ToolChoice::None)).grammar.is_none());
    assert!(prepare(SMOLLM2, &chat(&[("user", "Hi")])).grammar.is_none());
}

#[test]
fn a_format_has_a_grammar_from_the_prompt_on() {
    let mut chat = chat(&[("user", "Hi")]);
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    for format in [ResponseFormat::JsonObject, ResponseFormat::JsonSchema(schema)] {
        chat.response_format = format;
        let prepared = prepare(SMOLLM2, &chat);
        assert!(prepared.grammar.is_some_and(|it| it.start == GrammarStart::Prompt));
        check(&prepared.form, "{\"n\": 3}", &calls("{\"n\": 3}", &[]));
    }
}
