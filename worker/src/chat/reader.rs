//! Takes an answer apart as it grows: text, reasoning, tool calls.

use chainference_protocol::ToolCallDelta;
use serde::Deserialize;

use super::shim::RawAnswer;

/// What became certain. Not `Debug`: answers don't belong in logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    pub reasoning: String,
    pub tool_calls: Vec<ToolCallDelta>,
}

impl Said {
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.tool_calls.is_empty()
    }
}

/// Reads one answer with llama.cpp's parser for the model's form.
pub struct Reader {
    answer: RawAnswer,
    /// The answer as the model wrote it.
    raw: String,
    /// The text that was shown.
    text: String,
    reasoning: String,
    calls: u32,
    /// What tool calls begin with.
    marks: Vec<String>,
}

/// As the shim writes it: one change of the message.
#[derive(Deserialize)]
struct Change {
    text: String,
    reasoning: String,
    index: Option<u32>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    arguments: String,
}

impl Reader {
    pub(super) fn new(
        format: i32,
        parser: &str,
        prompt: &str,
        marks: Vec<String>,
    ) -> Result<Self, String> {
        let answer = RawAnswer::new(format, parser, prompt)?;
        let [raw, text, reasoning] = [(); 3].map(|()| String::new());
        Ok(Self { answer, raw, text, reasoning, calls: 0, marks })
    }

    /// How many tool calls the answer has so far.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Takes the next piece of the answer.
    pub fn push(&mut self, piece: &str) -> Said {
        self.raw.push_str(piece);
        // What can't be read yet may be readable with the next piece.
        self.feed(piece, false).unwrap_or_default()
    }

    /// The rest, once the answer is complete; `is_cut` when it ended before the model ended it.
    pub fn finish(&mut self, is_cut: bool) -> Said {
        if let Some(mut said) = self.feed("", !is_cut) {
            said.text.push_str(&self.held());
            return said;
        }
        // An answer of no known form, as from a model that calls tools in a way of its own: its
        // text is shown as it is, so that nothing is lost.
        Said { text: self.rest().to_owned(), ..Said::default() }
    }

    /// What looked like the beginning of a tool call, but the answer ended.
    fn held(&self) -> String {
        let rest = self.rest();
        let is_held = self.marks.iter().any(|mark| mark.starts_with(rest));
        if is_held { rest.to_owned() } else { String::new() }
    }

    /// What the model wrote after the text that was shown, as long as it called nothing.
    fn rest(&self) -> &str {
        match self.text.as_str() {
            _ if self.calls > 0 => "",
            "" if self.reasoning.is_empty() => &self.raw,
            "" => "",
            text => self.raw.rfind(text).map_or("", |at| &self.raw[at + text.len()..]),
        }
    }

    fn feed(&mut self, piece: &str, is_last: bool) -> Option<Said> {
        let changes = self.answer.feed(piece, is_last).ok()?;
        let changes: Vec<Change> = serde_json::from_str(&changes).ok()?;
        let mut said = Said::default();
        for change in changes {
            said.text.push_str(&change.text);
            said.reasoning.push_str(&change.reasoning);
            said.tool_calls.extend(self.call(change));
        }
        self.text.push_str(&said.text);
        self.reasoning.push_str(&said.reasoning);
        Some(said)
    }

    fn call(&mut self, change: Change) -> Option<ToolCallDelta> {
        let index = change.index?;
        // Id and name are given once, with the first piece.
        let is_new = index >= self.calls;
        self.calls = self.calls.max(index + 1);
        if !is_new && change.arguments.is_empty() {
            return None;
        }
        Some(ToolCallDelta {
            index,
            id: is_new.then_some(change.id),
            name: is_new.then_some(change.name),
            arguments: change.arguments,
        })
    }
}
