//! A whole chat completion. Written by hand, since OpenAI's schema wants fields present and null
//! (`refusal`, `logprobs`, …) that the usual type crates leave out.

use chainference_protocol::{FinishReason, ToolCall};
use serde::Serialize;

use super::super::{
    answers::{Answer, Answers},
    call::{finish_reason, json},
    logprobs::ChatLogprobs,
    usage::{Facts, Usage},
};

pub(in super::super) fn completion(
    facts: &Facts,
    answers: &Answers,
    logprobs: bool,
    usage: &Usage,
) -> String {
    json(&Completion {
        id: &facts.id,
        object: "chat.completion",
        created: facts.created_unix_s,
        model: &facts.model,
        choices: answers.iter().map(|(index, answer)| choice(index, answer, logprobs)).collect(),
        usage,
        service_tier: "default",
    })
}

fn choice(index: u32, answer: &Answer, logprobs: bool) -> Choice<'_> {
    let calls = &answer.tool_calls;
    // Beside tool calls, no text is no content.
    let silent = answer.text.is_empty() && !calls.is_empty();
    Choice {
        index,
        message: Message {
            role: "assistant",
            content: (!silent).then_some(&answer.text),
            refusal: None,
            annotations: [],
            reasoning_content: (!answer.reasoning.is_empty()).then_some(&answer.reasoning),
            tool_calls: (!calls.is_empty()).then(|| calls.iter().map(tool_call).collect()),
        },
        logprobs: logprobs.then(|| ChatLogprobs::new(&answer.logprobs)),
        finish_reason: finish_reason(answer.reason.unwrap_or(FinishReason::Stop)),
    }
}

fn tool_call(call: &ToolCall) -> Call<'_> {
    let function = Function { name: &call.name, arguments: &call.arguments };
    Call { id: &call.id, kind: "function", function }
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    usage: &'a Usage,
    service_tier: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    annotations: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Delta, ToolCallDelta};
    use serde_json::{Value, json};

    use super::*;
    use crate::openai::tests::{facts, logprob, usage};

    fn render(answers: &Answers, logprobs: bool) -> Value {
        serde_json::from_str(&completion(&facts(), answers, logprobs, &usage())).unwrap()
    }

    fn text(choice: u32, text: &str) -> Delta {
        Delta { choice, text: text.into(), ..Delta::default() }
    }

    #[test]
    fn completion_has_what_the_schema_requires() {
        let mut answers = Answers::new(1);
        answers.take(text(0, "hel"));
        answers.take(text(0, "lo"));
        answers.finish(0, FinishReason::Length, None);
        let answer = render(&answers, false);
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"]["content"], "hello");
        assert_eq!(choice["finish_reason"], "length");
        for (object, field) in [(&choice["message"], "refusal"), (choice, "logprobs")] {
            assert_eq!(object.as_object().unwrap().get(field), Some(&Value::Null), "{field}");
        }
        for absent in ["tool_calls", "reasoning_content"] {
            assert!(choice["message"].get(absent).is_none(), "{absent}");
        }
        assert_eq!(answer["usage"]["total_tokens"], 7);
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
        assert_eq!(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 1);
        assert_eq!(answer["usage"]["chainference"]["cost_lamports"], 2_000);
    }

    #[test]
    fn each_answer_is_a_choice_of_its_own() {
        let mut answers = Answers::new(2);
        for delta in [text(1, "b"), text(0, "a"), text(1, "c")] {
            answers.take(delta);
        }
        answers.finish(1, FinishReason::Length, None);
        answers.finish(0, FinishReason::Stop, None);
        let choices = render(&answers, false)["choices"].clone();
        let seen = |at: usize| {
            let choice = &choices[at];
            json!([choice["index"], choice["message"]["content"], choice["finish_reason"]])
        };
        assert_eq!((seen(0), seen(1)), (json!([0, "a", "stop"]), json!([1, "bc", "length"])));
    }

    #[test]
    fn tool_calls_and_reasoning_stand_beside_the_text() {
        let piece = |index, id: Option<&str>, arguments: &str| ToolCallDelta {
            index,
            id: id.map(str::to_owned),
            name: id.map(|_| "f".to_owned()),
            arguments: arguments.into(),
        };
        let mut answers = Answers::new(1);
        answers.take(Delta { reasoning: "hm".into(), ..Delta::default() });
        for pieces in [
            vec![piece(0, Some("call_a"), "{\"x\"")],
            vec![piece(0, None, ":1}"), piece(1, Some("call_b"), "{}")],
        ] {
            answers.take(Delta { tool_calls: pieces, ..Delta::default() });
        }
        answers.finish(0, FinishReason::ToolCalls, None);
        let choice = render(&answers, false)["choices"][0].clone();
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], Value::Null);
        assert_eq!(choice["message"]["reasoning_content"], "hm");
        let call = |id: &str, arguments: &str| {
            json!({"id": id, "type": "function",
                "function": {"name": "f", "arguments": arguments}})
        };
        assert_eq!(
            choice["message"]["tool_calls"],
            json!([call("call_a", "{\"x\":1}"), call("call_b", "{}")])
        );
    }

    #[test]
    fn logprobs_are_told_where_asked() {
        let mut answers = Answers::new(1);
        answers.take(Delta { logprobs: vec![logprob("a", -0.5)], ..text(0, "a") });
        let choice = render(&answers, true)["choices"][0].clone();
        assert_eq!(choice["logprobs"]["content"][0]["token"], "a");
        assert_eq!(choice["logprobs"]["refusal"], Value::Null);
        assert_eq!(render(&answers, false)["choices"][0]["logprobs"], Value::Null);
    }
}
