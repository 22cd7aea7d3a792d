//! An answer as a row of blocks, for the shapes that tell thoughts, text and tool calls one after
//! another. Pure.

use chainference_protocol::{Delta, TokenLogprob, ToolCall, ToolCallDelta};

use super::answers::Answer;

/// One stretch of an answer.
pub(super) enum Block {
    Reasoning(String),
    Text { text: String, logprobs: Vec<TokenLogprob> },
    Call(ToolCall),
}

/// What became of the blocks with a piece of the answer.
pub(super) enum Step {
    Opened(usize),
    Grew {
        at: usize,
        piece: String,
        logprobs: Vec<TokenLogprob>,
    },
    /// Nothing is added to it any more.
    Closed(usize),
}

/// The blocks of one answer; at most the last one is open.
#[derive(Default)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
    open: bool,
}

// An answer must never reach a log.
impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} blocks", self.blocks.len())
    }
}

impl Blocks {
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Block)> {
        self.blocks.iter().enumerate()
    }

    pub fn get(&self, at: usize) -> Option<&Block> {
        self.blocks.get(at)
    }

    pub fn is_last(&self, at: usize) -> bool {
        at + 1 == self.blocks.len()
    }

    /// A whole answer's, in the order in which models speak.
    pub fn of(answer: &Answer) -> Self {
        let mut blocks = Vec::new();
        if !answer.reasoning.is_empty() {
            blocks.push(Block::Reasoning(answer.reasoning.clone()));
        }
        if !answer.text.is_empty() {
            let (text, logprobs) = (answer.text.clone(), answer.logprobs.clone());
            blocks.push(Block::Text { text, logprobs });
        }
        blocks.extend(answer.tool_calls.iter().cloned().map(Block::Call));
        Self { blocks, open: false }
    }

    pub fn take(&mut self, delta: Delta) -> Vec<Step> {
        let mut steps = Vec::new();
        if !delta.reasoning.is_empty() {
            self.think(delta.reasoning, &mut steps);
        }
        if !delta.text.is_empty() {
            self.say(delta.text, delta.logprobs, &mut steps);
        }
        for piece in delta.tool_calls {
            self.call(piece, &mut steps);
        }
        steps
    }

    /// The answer is complete.
    pub fn close(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.close_last(&mut steps);
        steps
    }

    fn think(&mut self, piece: String, steps: &mut Vec<Step>) {
        if !matches!(self.last(), Some(Block::Reasoning(_))) {
            self.open(Block::Reasoning(String::new()), steps);
        }
        if let Some(Block::Reasoning(text)) = self.blocks.last_mut() {
            text.push_str(&piece);
        }
        self.grew(piece, Vec::new(), steps);
    }

    fn say(&mut self, piece: String, new: Vec<TokenLogprob>, steps: &mut Vec<Step>) {
        if !matches!(self.last(), Some(Block::Text { .. })) {
            self.open(Block::Text { text: String::new(), logprobs: Vec::new() }, steps);
        }
        if let Some(Block::Text { text, logprobs }) = self.blocks.last_mut() {
            text.push_str(&piece);
            logprobs.extend(new.iter().cloned());
        }
        self.grew(piece, new, steps);
    }

    /// A worker sends each call's pieces in a row: the relay has checked their order.
    fn call(&mut self, piece: ToolCallDelta, steps: &mut Vec<Step>) {
        if let (Some(id), Some(name)) = (piece.id, piece.name) {
            self.open(Block::Call(ToolCall { id, name, arguments: String::new() }), steps);
        }
        if let Some(Block::Call(call)) = self.blocks.last_mut() {
            call.arguments.push_str(&piece.arguments);
            if !piece.arguments.is_empty() {
                self.grew(piece.arguments, Vec::new(), steps);
            }
        }
    }

    fn last(&self) -> Option<&Block> {
        self.blocks.last().filter(|_| self.open)
    }

    fn open(&mut self, block: Block, steps: &mut Vec<Step>) {
        self.close_last(steps);
        steps.push(Step::Opened(self.blocks.len()));
        self.blocks.push(block);
        self.open = true;
    }

    fn grew(&self, piece: String, logprobs: Vec<TokenLogprob>, steps: &mut Vec<Step>) {
        steps.push(Step::Grew { at: self.blocks.len().saturating_sub(1), piece, logprobs });
    }

    fn close_last(&mut self, steps: &mut Vec<Step>) {
        if std::mem::take(&mut self.open) {
            steps.push(Step::Closed(self.blocks.len().saturating_sub(1)));
        }
    }
}
