//! Reasoning: the quickstart model with the template of one that thinks, taught to by example.

use chainference_protocol::{FinishReason, Message};

use super::engine::{Answered, ask_engine, chat, model, start_with};

const THINKING: &str = include_str!("../../src/chat/tests/thinking.jinja");

#[test]
fn what_a_model_thinks_comes_apart_from_what_it_says_and_is_counted() {
    let engine = start_with(model(), |options| options.chat_template = Some(THINKING.into()));
    let turn = |question: &str, thought: &str, answer: &str| {
        let reasoning_content = Some(thought.to_owned());
        let said = Message { reasoning_content, ..Message::text("assistant", answer) };
        [Message::text("user", question), said]
    };
    let ask = |max_tokens| {
        let task = chat("Which city is the capital of France?", |chat| {
            let asked = chat.messages.split_off(0);
            chat.messages.extend(turn("What is 2 + 2?", "Two and two make four.", "It is 4."));
            chat.messages.extend(turn("Is snow hot?", "Snow is frozen water.", "No, it is cold."));
            chat.messages.extend(turn("Do fish fly?", "Fish live in water.", "No, they swim."));
            chat.messages.extend(asked);
            chat.decoding.max_tokens = Some(max_tokens);
        });
        let Answered { mut answers, .. } = ask_engine(&engine, task).expect("answered");
        answers.remove(0)
    };
    let whole = ask(96);
    assert!(!whole.reasoning.trim().is_empty() && !whole.text.trim().is_empty(), "{}", whole.text);
    for half in [&whole.text, &whole.reasoning] {
        assert!(!half.contains("think>"), "no mark is shown: {half}");
    }
    let tokens = whole.tokens.len() as u64;
    assert!(
        (1..tokens).contains(&whole.tokens_reasoning),
        "{} of {tokens}",
        whole.tokens_reasoning
    );

    let cut = ask(5);
    assert_eq!((cut.text.as_str(), cut.reason), ("", Some(FinishReason::Length)));
    assert!(!cut.reasoning.is_empty() && whole.reasoning.starts_with(cut.reasoning.trim_end()));
    assert_eq!(cut.tokens.len(), 5, "what was thought is billed, said or not");
    // The mark that opens it takes the first ones.
    assert!((1..5).contains(&cut.tokens_reasoning), "{}", cut.tokens_reasoning);
}
