//! The chunks of a streamed chat completion.

use chainference_protocol::{Delta, FinishReason, ToolCallDelta};
use serde::Serialize;

use super::super::{
    call::{Chunks, Form, finish_reason, json},
    logprobs::ChatLogprobs,
    usage::{Facts, Usage},
};

#[derive(Debug)]
pub(in super::super) struct ChatChunks {
    facts: Facts,
    form: Form,
}

impl ChatChunks {
    pub fn new(facts: Facts, form: Form) -> Self {
        Self { facts, form }
    }

    fn chunk(&self, choice: Choice<'_>) -> String {
        self.render(&[choice], self.form.include_usage.then_some(None))
    }

    fn render(&self, choices: &[Choice<'_>], usage: Option<Option<&Usage>>) -> String {
        json(&Chunk {
            id: &self.facts.id,
            object: "chat.completion.chunk",
            created: self.facts.created_unix_s,
            model: &self.facts.model,
            choices,
            service_tier: "default",
            usage,
        })
    }
}

impl Chunks for ChatChunks {
    /// Who speaks, in each answer.
    fn begin(&self) -> Vec<String> {
        let content = || Content {
            role: Some("assistant"),
            content: Some(""),
            refusal: Some(None),
            ..Content::default()
        };
        (0..self.form.answers).map(|index| self.chunk(Choice::new(index, content()))).collect()
    }

    fn delta(&mut self, delta: Delta) -> Option<String> {
        let logprobs = self.form.logprobs.map(|_| delta.logprobs).filter(|them| !them.is_empty());
        let (text, reasoning) = (&delta.text, &delta.reasoning);
        let calls: Vec<Call<'_>> = delta.tool_calls.iter().map(tool_call).collect();
        let quiet = text.is_empty() && reasoning.is_empty() && calls.is_empty();
        if quiet && logprobs.is_none() {
            return None;
        }
        let content = Content {
            content: (quiet || !text.is_empty()).then_some(text),
            reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
            tool_calls: (!calls.is_empty()).then_some(calls),
            ..Content::default()
        };
        let logprobs = logprobs.map(|them| ChatLogprobs::new(&them));
        Some(self.chunk(Choice { logprobs, ..Choice::new(delta.choice, content) }))
    }

    fn finish(&self, choice: u32, reason: FinishReason) -> String {
        let finish_reason = Some(finish_reason(reason));
        self.chunk(Choice { finish_reason, ..Choice::new(choice, Content::default()) })
    }

    fn usage(&self, usage: &Usage) -> Option<String> {
        self.form.include_usage.then(|| self.render(&[], Some(Some(usage))))
    }
}

/// Its id, type and name come once, with the first piece.
fn tool_call(piece: &ToolCallDelta) -> Call<'_> {
    let function = Function { name: piece.name.as_deref(), arguments: &piece.arguments };
    let kind = piece.id.as_ref().map(|_| "function");
    Call { index: piece.index, id: piece.id.as_deref(), kind, function }
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    service_tier: &'static str,
    /// Absent, null or filled: the outer `None` is for clients that did not ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<&'a Usage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Content<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
}

impl<'a> Choice<'a> {
    fn new(index: u32, delta: Content<'a>) -> Self {
        Self { index, delta, logprobs: None, finish_reason: None }
    }
}

#[derive(Default, Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Serialize)]
struct Call<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::{
        call::Style,
        tests::{facts, logprob, usage},
    };

    fn chunks(answers: u32, logprobs: Option<u32>, include_usage: bool) -> ChatChunks {
        ChatChunks::new(facts(), Form { style: Style::Chat, answers, logprobs, include_usage })
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn text(text: &str) -> Delta {
        Delta { text: text.into(), ..Delta::default() }
    }

    #[test]
    fn first_chunk_has_the_role_and_later_ones_have_not() {
        let mut chunks = chunks(1, None, false);
        let first = value(&chunks.begin()[0]);
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(first["choices"][0]["finish_reason"], Value::Null);
        assert!(first.get("usage").is_none());
        let next = value(&chunks.delta(text("é")).unwrap());
        assert_eq!(next["choices"][0]["delta"], json!({"content": "é"}));
        let last = value(&chunks.finish(0, FinishReason::Length));
        assert_eq!(last["choices"][0]["delta"], json!({}));
        assert_eq!(last["choices"][0]["finish_reason"], "length");
    }

    #[test]
    fn each_answer_has_its_own_role_text_and_end() {
        let mut chunks = chunks(2, None, false);
        let roles: Vec<Value> = chunks
            .begin()
            .iter()
            .map(|chunk| value(chunk)["choices"][0]["index"].clone())
            .collect();
        assert_eq!(roles, [json!(0), json!(1)]);
        let second = value(&chunks.delta(Delta { choice: 1, ..text("b") }).unwrap());
        assert_eq!(second["choices"][0]["index"], 1);
        assert_eq!(value(&chunks.finish(1, FinishReason::Stop))["choices"][0]["index"], 1);
    }

    #[test]
    fn a_tool_call_has_its_name_once_and_grows() {
        let mut chunks = chunks(1, None, false);
        let mut sent = |id: Option<&str>, arguments: &str| {
            let piece = ToolCallDelta {
                index: 0,
                id: id.map(str::to_owned),
                name: id.map(|_| "f".to_owned()),
                arguments: arguments.into(),
            };
            let delta = Delta { tool_calls: vec![piece], ..Delta::default() };
            value(&chunks.delta(delta).unwrap())["choices"][0]["delta"].clone()
        };
        let first = json!({"index": 0, "id": "call_a", "type": "function",
            "function": {"name": "f", "arguments": ""}});
        assert_eq!(sent(Some("call_a"), ""), json!({"tool_calls": [first]}));
        let next = json!({"index": 0, "function": {"arguments": "{}"}});
        assert_eq!(sent(None, "{}"), json!({"tool_calls": [next]}));
    }

    #[test]
    fn reasoning_is_apart_and_what_shows_nothing_is_no_chunk() {
        let mut chunks = chunks(1, None, false);
        let thought = Delta { reasoning: "hm".into(), ..Delta::default() };
        let chunk = value(&chunks.delta(thought).unwrap());
        assert_eq!(chunk["choices"][0]["delta"], json!({"reasoning_content": "hm"}));
        let held_back = Delta { tokens: vec![1], ..Delta::default() };
        assert_eq!(chunks.delta(held_back), None);
    }

    #[test]
    fn logprobs_come_with_their_text_where_asked() {
        let delta = || Delta { logprobs: vec![logprob("a", -0.5)], ..text("a") };
        let asked = value(&chunks(1, Some(1), false).delta(delta()).unwrap());
        assert_eq!(asked["choices"][0]["logprobs"]["content"][0]["logprob"], -0.5);
        let unasked = value(&chunks(1, None, false).delta(delta()).unwrap());
        assert_eq!(unasked["choices"][0]["logprobs"], Value::Null);
        let silent = Delta { text: String::new(), ..delta() };
        let chunk = value(&chunks(1, Some(1), false).delta(silent).unwrap());
        assert_eq!(chunk["choices"][0]["delta"], json!({"content": ""}));
    }

    #[test]
    fn usage_is_null_in_each_chunk_and_filled_in_the_last_where_asked() {
        let mut asked = chunks(1, None, true);
        assert!(value(&asked.delta(text("a")).unwrap()).as_object().unwrap()["usage"].is_null());
        let last = value(&asked.usage(&usage()).unwrap());
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], 4);
        assert!(chunks(1, None, false).usage(&usage()).is_none());
    }
}
