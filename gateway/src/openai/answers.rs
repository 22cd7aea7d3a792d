//! A call's answers as they have come so far.

use chainference_protocol::{Delta, FinishReason, TokenLogprob, ToolCall};

/// All answers of one call.
#[derive(Default)]
pub struct Answers(Vec<Answer>);

/// One of them.
#[derive(Default)]
pub struct Answer {
    pub text: String,
    pub reasoning: String,
    pub tool_calls: Vec<ToolCall>,
    pub logprobs: Vec<TokenLogprob>,
    /// `None` until it has ended.
    pub reason: Option<FinishReason>,
    /// The stop text that ended it, as the worker says.
    pub stop: Option<String>,
}

impl Answers {
    pub fn new(answers: u32) -> Self {
        Self((0..answers).map(|_| Answer::default()).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Answer)> {
        (0..).zip(&self.0)
    }

    pub fn take(&mut self, delta: Delta) {
        let Some(answer) = self.at(delta.choice) else { return };
        answer.text.push_str(&delta.text);
        answer.reasoning.push_str(&delta.reasoning);
        answer.logprobs.extend(delta.logprobs);
        for piece in delta.tool_calls {
            let at = piece.index as usize;
            if at >= answer.tool_calls.len() {
                let id = piece.id.unwrap_or_default();
                let name = piece.name.unwrap_or_default();
                answer.tool_calls.push(ToolCall { id, name, arguments: piece.arguments });
            } else {
                answer.tool_calls[at].arguments.push_str(&piece.arguments);
            }
        }
    }

    pub fn finish(&mut self, choice: u32, reason: FinishReason, stop: Option<String>) {
        if let Some(answer) = self.at(choice) {
            answer.reason = Some(reason);
            answer.stop = stop;
        }
    }

    /// What is no answer of this call never comes this far.
    fn at(&mut self, choice: u32) -> Option<&mut Answer> {
        self.0.get_mut(choice as usize)
    }
}
