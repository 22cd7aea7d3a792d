//! Answers counted again, by the vocabulary alone: as a worker might bill them. As they come they are counted in
//! every test of an answer, see [`super::engine`].

use chainference_protocol::{
    Answered, FinishReason, RecountedAnswer, Shown, ShownCall, Task, Tool, ToolChoice,
};
use serde_json::json;

use super::engine::{ask, ask_all, chat, completion, recount};

/// Tokens of one letter each, as the quickstart model has them behind 17 special ones.
fn letters(text: &str) -> Vec<u32> {
    let token = |letter: u8| if letter == b' ' { 216 } else { 17 + u32::from(letter - b'!') };
    text.bytes().map(token).collect()
}

const END: u32 = 2;
const HIDDEN: u32 = 1;

fn answered(tokens: Vec<u32>, text: &str, finish: FinishReason) -> Answered {
    let said = Shown { text: text.into(), ..Shown::default() };
    Answered { choice: 0, tokens, said, finish: Some(finish) }
}

fn again(task: &Task, answer: Answered) -> RecountedAnswer {
    recount(task, vec![answer]).expect("told").answers[0]
}

#[test]
fn an_answer_cut_into_letters_is_as_shown_but_has_the_tokens_of_its_text() {
    let task = chat("Which city is the capital of France?", |_| ());
    let honest = ask(task.clone());
    let billed = [letters(&honest.text), vec![END]].concat();
    let cut = again(&task, answered(billed.clone(), &honest.text, FinishReason::Stop));
    assert!(cut.is_as_shown);
    assert_eq!(cut.tokens, honest.tokens.len() as u64);
    assert_eq!(cut.shown_tokens, cut.tokens);
    assert!(billed.len() as u64 > 3 * cut.tokens, "{} for {}", billed.len(), cut.tokens);
}

#[test]
fn tokens_that_show_nothing_count_for_nothing() {
    let task = chat("Hi", |_| ());
    let billed = [vec![HIDDEN; 40], letters("yes"), vec![END]].concat();
    let padded = again(&task, answered(billed, "yes", FinishReason::Stop));
    assert!(padded.is_as_shown && padded.tokens <= 4, "{padded:?}");
}

#[test]
fn made_up_tokens_are_not_what_was_shown() {
    let task = chat("Hi", |chat| chat.decoding.stop = vec!["!".into()]);
    let yes = letters("yes");
    let stop = FinishReason::Stop;
    for (why, billed, text, finish, is_as_shown) in [
        ("as it is", yes.clone(), "yes", FinishReason::Length, true),
        ("another text", yes.clone(), "no", stop, false),
        ("more than was shown", letters("yes yes"), "yes", stop, false),
        ("less than was shown", letters("ye"), "yes", stop, false),
        ("behind the end", [yes.clone(), vec![END, END]].concat(), "yes", stop, false),
        ("no token", [yes.clone(), vec![u32::MAX]].concat(), "yes", stop, false),
        ("up to a stop text", letters("yes!"), "yes", stop, true),
        ("behind a stop text", letters("yes!!"), "yes", stop, false),
        ("a stop text that was shown", letters("yes!"), "yes!", stop, false),
    ] {
        let again = again(&task, answered(billed, text, finish));
        assert_eq!(again.is_as_shown, is_as_shown, "{why}");
    }
    let running = Answered { finish: None, ..answered(yes, "ye", FinishReason::Stop) };
    assert!(again(&task, running).is_as_shown, "what is held back may come still");
}

#[test]
fn a_call_of_a_tool_is_read_out_of_its_tokens() {
    let parameters = json!({"type": "object", "properties": {"city": {"enum": ["Rome", "Paris"]}},
        "required": ["city"], "additionalProperties": false});
    let tool = Tool {
        name: "weather".into(),
        description: None,
        parameters: Some(parameters),
        strict: true,
    };
    let task = chat("How is the weather in Rome?", |chat| {
        chat.tools = vec![tool];
        chat.tool_choice = ToolChoice::Required;
        chat.decoding.max_tokens = Some(60);
    });
    let honest = ask(task.clone());
    let [(_, name, arguments)] = &honest.calls[..] else { panic!("one call") };
    for (city, is_as_shown) in [(arguments.clone(), true), (r#"{"city":"Oslo"}"#.into(), false)] {
        let call = ShownCall { name: name.clone(), arguments: city };
        let said = Shown { tool_calls: vec![call], ..Shown::default() };
        let tokens = honest.tokens.clone();
        let told = Answered { choice: 0, tokens, said, finish: honest.reason };
        assert_eq!(again(&task, told).is_as_shown, is_as_shown);
    }
}

#[test]
fn what_the_model_refuses_is_counted_by_nobody_and_the_next_question_is_answered() {
    let refused = chat("Hi", |chat| chat.tool_choice = ToolChoice::Named("nobody".into()));
    assert_eq!(recount(&refused, Vec::new()), None);
    let (before, odd) = ("Monday,", "Zwölf 🎌 \u{301}\u{200b} \u{0} ﷽");
    for text in [before, odd] {
        let task = completion(text, |it| it.decoding.max_tokens = Some(1));
        let counted = recount(&task, Vec::new()).expect("told").tokens_in;
        assert_eq!(counted, ask_all(task).tokens_in, "{text:?}");
    }
}
