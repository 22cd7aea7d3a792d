//! Completions, whole and in chunks.

use chainference_protocol::{Delta, FinishReason};
use serde::Serialize;

use super::super::{
    answers::Answers,
    call::{Chunks, Form, finish_reason, json},
    logprobs::TextLogprobs,
    usage::{Facts, Usage},
};

pub(in super::super) fn completion(
    facts: &Facts,
    answers: &Answers,
    logprobs: Option<u32>,
    usage: &Usage,
) -> String {
    let choices: Vec<_> = answers
        .iter()
        .map(|(index, answer)| Choice {
            text: &answer.text,
            index,
            logprobs: logprobs.map(|top| TextLogprobs::new(&answer.logprobs, top, &mut 0)),
            finish_reason: Some(finish_reason(answer.reason.unwrap_or(FinishReason::Stop))),
        })
        .collect();
    render(facts, &choices, Some(Some(usage)))
}

/// The chunks of a streamed completion.
#[derive(Debug)]
pub(in super::super) struct TextChunks {
    facts: Facts,
    form: Form,
    /// How much of each answer was told, in characters.
    told: Vec<u64>,
}

impl TextChunks {
    pub fn new(facts: Facts, form: Form) -> Self {
        let told = (0..form.answers).map(|_| 0).collect();
        Self { facts, form, told }
    }

    fn chunk(&self, choice: Choice<'_>) -> String {
        render(&self.facts, &[choice], self.form.include_usage.then_some(None))
    }
}

impl Chunks for TextChunks {
    fn begin(&self) -> Vec<String> {
        Vec::new()
    }

    fn delta(&mut self, delta: Delta) -> Option<String> {
        let asked = self.form.logprobs.filter(|_| !delta.logprobs.is_empty());
        if delta.text.is_empty() && asked.is_none() {
            return None;
        }
        let index = delta.choice;
        let mut unknown = 0;
        let told = self.told.get_mut(index as usize).unwrap_or(&mut unknown);
        let logprobs = asked.map(|top| TextLogprobs::new(&delta.logprobs, top, told));
        Some(self.chunk(Choice { text: &delta.text, index, logprobs, finish_reason: None }))
    }

    fn finish(&self, choice: u32, reason: FinishReason) -> String {
        let finish_reason = Some(finish_reason(reason));
        self.chunk(Choice { text: "", index: choice, logprobs: None, finish_reason })
    }

    fn usage(&self, usage: &Usage) -> Option<String> {
        self.form.include_usage.then(|| render(&self.facts, &[], Some(Some(usage))))
    }
}

fn render(facts: &Facts, choices: &[Choice<'_>], usage: Option<Option<&Usage>>) -> String {
    json(&Completion {
        id: &facts.id,
        object: "text_completion",
        created: facts.created_unix_s,
        model: &facts.model,
        choices,
        usage,
    })
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// Absent, null or filled: the outer `None` is for streams whose client did not ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<&'a Usage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::{
        call::Style,
        tests::{facts, logprob, usage},
    };

    fn form(logprobs: Option<u32>) -> Form {
        Form { style: Style::Completion, answers: 2, logprobs, include_usage: true }
    }

    fn delta(choice: u32, text: &str) -> Delta {
        let logprobs = vec![logprob(text, -0.5)];
        Delta { choice, text: text.into(), logprobs, ..Delta::default() }
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_completion_has_what_the_schema_requires() {
        let mut answers = Answers::new(2);
        for piece in [delta(0, "ab"), delta(1, "x"), delta(0, "c")] {
            answers.take(piece);
        }
        answers.finish(0, FinishReason::Length, None);
        answers.finish(1, FinishReason::Stop, None);
        let answer = value(&completion(&facts(), &answers, Some(1), &usage()));
        assert_eq!(
            (&answer["object"], &answer["model"]),
            (&json!("text_completion"), &json!("a/b"))
        );
        let choice = &answer["choices"][0];
        assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("abc"), &json!("length")));
        assert_eq!(choice["logprobs"]["text_offset"], json!([0, 2]));
        assert_eq!(answer["choices"][1]["text"], "x");
        assert_eq!(answer["usage"]["total_tokens"], 7);
        let plain = value(&completion(&facts(), &answers, None, &usage()));
        let choice = plain["choices"][0].as_object().unwrap();
        assert_eq!(choice.get("logprobs"), Some(&Value::Null));
    }

    #[test]
    fn chunks_go_on_counting_where_the_last_one_ended() {
        let mut chunks = TextChunks::new(facts(), form(Some(0)));
        assert!(chunks.begin().is_empty());
        let mut offset = |piece| {
            value(&chunks.delta(piece).unwrap())["choices"][0]["logprobs"]["text_offset"].clone()
        };
        assert_eq!(offset(delta(0, "ab")), json!([0]));
        assert_eq!(offset(delta(1, "x")), json!([0]));
        assert_eq!(offset(delta(0, "c")), json!([2]));
        let last = value(&chunks.finish(0, FinishReason::Length));
        assert_eq!(last["choices"][0]["finish_reason"], "length");
        assert_eq!(last.as_object().unwrap().get("usage"), Some(&Value::Null));
        assert_eq!(value(&chunks.usage(&usage()).unwrap())["choices"], json!([]));
    }

    #[test]
    fn what_shows_nothing_is_no_chunk() {
        let mut chunks = TextChunks::new(facts(), form(None));
        assert_eq!(chunks.delta(delta(0, "")), None);
    }
}
