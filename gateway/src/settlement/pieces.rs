//! Which pieces of an answer have come, and which may come still. No clock, no I/O.

use chainference_protocol::{Completion, Decoding, Delta, Prompt, Task};
use thiserror::Error;

use super::stake;
use crate::limits::{DIMENSIONS_MAX, SPARE_BYTES, TOKEN_BYTES_MAX};

/// A worker sent what was not asked for, or left out what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PieceError {
    #[error("answer {choice} was not asked for")]
    Choice { choice: u32 },
    #[error("answer {choice} goes on after its end")]
    Ended { choice: u32 },
    #[error("answer {choice} has {sent} tokens, at most {most} were asked for")]
    TooLong { choice: u32, sent: u64, most: u64 },
    #[error("answer {choice} has {bytes} bytes, more than its tokens can be")]
    TooMuch { choice: u32, bytes: u64 },
    #[error("tool call {index} of answer {choice} begins without a name, or out of order")]
    ToolCall { choice: u32, index: u32 },
    #[error("embedding {index} was not asked for, or came twice")]
    Embedding { index: u32 },
    #[error("an embedding has {bytes} bytes, which are not as many numbers as were asked for")]
    Dimensions { bytes: usize },
    #[error("{missing} answers or embeddings have not come")]
    Missing { missing: usize },
}

/// The pieces of one call's answer.
#[derive(Debug)]
pub enum Pieces {
    Texts { answers: Vec<Text>, tokens_max: u64, room: Room },
    Vectors { came: Vec<bool>, dimensions: Option<u32> },
}

/// What has come of one answer.
#[derive(Clone, Debug, Default)]
pub struct Text {
    tokens: u64,
    bytes: u64,
    tool_calls: u32,
    ended: bool,
}

/// How many bytes an answer may have: else a worker could fill the memory with text that it counts no tokens
/// for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Of prompts that come back in front of their answers.
    echo: u64,
    /// The most for each token, what is told of how likely it was included.
    per_token: u64,
}

impl Room {
    /// For answers whose tokens nobody counts, and whose bytes are bounded elsewhere.
    pub const ANY: Self = Self { echo: u64::MAX, per_token: 0 };

    fn new(decoding: &Decoding, echo: u64) -> Self {
        let told = decoding.logprobs.map_or(1, |top| u64::from(top) + 2);
        let per_token = TOKEN_BYTES_MAX.saturating_mul(told);
        Self { echo: echo.saturating_mul(told), per_token }
    }

    fn holds(self, text: &Text) -> bool {
        let tokens = text.tokens.saturating_mul(self.per_token);
        text.bytes <= tokens.saturating_add(self.echo).saturating_add(SPARE_BYTES)
    }
}

/// The longest prompt's bytes, where prompts come back.
fn echoed(completion: &Completion) -> u64 {
    let bytes = |prompt: &Prompt| match prompt {
        // A token of each byte, at worst, each told by itself.
        Prompt::Text(text) => (text.len() as u64).saturating_mul(ENTRY_BYTES),
        Prompt::Tokens(ids) => (ids.len() as u64).saturating_mul(TOKEN_BYTES_MAX),
    };
    let longest = completion.prompts.iter().map(bytes).max().unwrap_or(0);
    if completion.echo { longest } else { 0 }
}

/// What an entry in a list takes beside its own bytes.
const ENTRY_BYTES: u64 = 64;

/// About what a piece takes in memory, where it is kept.
fn bytes(delta: &Delta) -> u64 {
    let entry = |bytes: usize| bytes as u64 + ENTRY_BYTES;
    let calls = delta.tool_calls.iter().map(|call| {
        let once = [&call.id, &call.name].into_iter().flatten().map(String::len).sum::<usize>();
        entry(call.arguments.len() + once)
    });
    let logprobs =
        delta.logprobs.iter().flat_map(|one| std::iter::once(&one.chosen).chain(&one.top));
    let logprobs = logprobs.map(|candidate| entry(candidate.bytes.len()));
    let texts = (delta.text.len() + delta.reasoning.len()) as u64;
    calls.chain(logprobs).fold(texts, u64::saturating_add)
}

impl Pieces {
    pub fn new(task: &Task, context_tokens: u32) -> Self {
        let context = u64::from(context_tokens);
        let texts = |answers: usize, decoding, echo| Self::Texts {
            answers: vec![Text::default(); answers],
            tokens_max: stake::answer_tokens(decoding, context),
            room: Room::new(decoding, echo),
        };
        match task {
            Task::Chat(chat) => texts(chat.decoding.n as usize, &chat.decoding, 0),
            Task::Complete(completion) => {
                let n = completion.decoding.n as usize;
                let answers = n.saturating_mul(completion.prompts.len());
                texts(answers, &completion.decoding, echoed(completion))
            }
            Task::Embed(embedding) => Self::Vectors {
                came: vec![false; embedding.inputs.len()],
                dimensions: embedding.dimensions,
            },
        }
    }

    /// Whether they are vectors, which come once their input is vouched for.
    pub fn are_vectors(&self) -> bool {
        matches!(self, Self::Vectors { .. })
    }

    pub fn delta(&mut self, delta: &Delta) -> Result<(), PieceError> {
        let choice = delta.choice;
        let (text, most, room) = self.text(choice)?;
        text.tokens = text.tokens.saturating_add(delta.tokens.len() as u64);
        if text.tokens > most {
            return Err(PieceError::TooLong { choice, sent: text.tokens, most });
        }
        text.bytes = text.bytes.saturating_add(bytes(delta));
        if !room.holds(text) {
            return Err(PieceError::TooMuch { choice, bytes: text.bytes });
        }
        for call in &delta.tool_calls {
            let begins = call.index == text.tool_calls && call.id.is_some() && call.name.is_some();
            let goes_on = call.index < text.tool_calls && call.id.is_none();
            if !begins && !goes_on {
                return Err(PieceError::ToolCall { choice, index: call.index });
            }
            text.tool_calls += u32::from(begins);
        }
        Ok(())
    }

    pub fn finished(&mut self, choice: u32) -> Result<(), PieceError> {
        let (text, ..) = self.text(choice)?;
        text.ended = true;
        Ok(())
    }

    pub fn embedding(&mut self, index: u32, vector: &[u8]) -> Result<(), PieceError> {
        let unasked = PieceError::Embedding { index };
        let Self::Vectors { came, dimensions } = self else { return Err(unasked) };
        let Some(came) = came.get_mut(index as usize).filter(|came| !**came) else {
            return Err(unasked);
        };
        *came = true;
        let bytes = vector.len();
        let (numbers, rest) = (bytes / 4, bytes % 4);
        let asked = dimensions.map_or(numbers, |dimensions| dimensions as usize);
        if numbers == 0 || rest != 0 || numbers != asked || numbers > DIMENSIONS_MAX {
            return Err(PieceError::Dimensions { bytes });
        }
        Ok(())
    }

    /// Whether nothing is missing, once the worker says that it has ended.
    pub fn all(&self) -> Result<(), PieceError> {
        let missing = match self {
            Self::Texts { answers, .. } => answers.iter().filter(|text| !text.ended).count(),
            Self::Vectors { came, .. } => came.iter().filter(|came| !**came).count(),
        };
        if missing == 0 { Ok(()) } else { Err(PieceError::Missing { missing }) }
    }

    /// An answer that goes on, and the most tokens and bytes that it may have.
    fn text(&mut self, choice: u32) -> Result<(&mut Text, u64, Room), PieceError> {
        let unasked = PieceError::Choice { choice };
        let Self::Texts { answers, tokens_max, room } = self else { return Err(unasked) };
        let text = answers.get_mut(choice as usize).ok_or(unasked)?;
        if text.ended { Err(PieceError::Ended { choice }) } else { Ok((text, *tokens_max, *room)) }
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Candidate, Chat, Embedding, TokenLogprob, ToolCallDelta};

    use super::*;

    fn chat(n: u32, max_tokens: u32) -> Pieces {
        let decoding = Decoding { n, max_tokens: Some(max_tokens), ..Decoding::default() };
        Pieces::new(&Task::Chat(Chat { decoding, ..Chat::default() }), 100)
    }

    fn delta(choice: u32, tokens: usize) -> Delta {
        Delta { choice, tokens: vec![1; tokens], ..Delta::default() }
    }

    #[test]
    fn each_answer_is_counted_for_itself() {
        let mut pieces = chat(2, 3);
        pieces.delta(&delta(0, 3)).unwrap();
        let long = PieceError::TooLong { choice: 0, sent: 4, most: 3 };
        assert_eq!(pieces.delta(&delta(0, 1)), Err(long), "the other's tokens are not its own");
        pieces.delta(&delta(1, 3)).unwrap();
        assert_eq!(pieces.delta(&delta(2, 0)), Err(PieceError::Choice { choice: 2 }));
        assert!(chat(1, 1_000).delta(&delta(0, 101)).is_err(), "the context is a bound too");
    }

    #[test]
    fn text_without_tokens_is_taken_no_further_than_memory_allows() {
        let text = |bytes: u64| Delta { text: "x".repeat(bytes as usize), ..Delta::default() };
        let mut pieces = chat(1, 3);
        pieces.delta(&text(SPARE_BYTES)).unwrap();
        assert!(matches!(pieces.delta(&text(1)), Err(PieceError::TooMuch { .. })));
        let mut pieces = chat(1, 3);
        pieces.delta(&delta(0, 3)).unwrap();
        pieces.delta(&text(3 * TOKEN_BYTES_MAX)).unwrap();
        let likely = |top: usize| {
            let one = Candidate { id: 1, bytes: vec![b'x'; 64], logprob: None };
            let logprob = TokenLogprob { chosen: one.clone(), top: vec![one; top] };
            Delta { logprobs: vec![logprob; 100], ..Delta::default() }
        };
        assert!(
            matches!(pieces.delta(&likely(20)), Err(PieceError::TooMuch { .. })),
            "not asked for"
        );
    }

    #[test]
    fn a_prompt_that_comes_back_has_room_with_all_that_is_told_of_it() {
        let prompts = vec![Prompt::Text("ab".repeat(20_000))];
        let decoding = Decoding { logprobs: Some(20), ..Decoding::default() };
        let asked = |echo| {
            let (prompts, decoding) = (prompts.clone(), decoding.clone());
            Task::Complete(Completion { prompts, suffix: None, echo, decoding })
        };
        let one = Candidate { id: 1, bytes: vec![b'x'], logprob: None };
        let logprob = TokenLogprob { chosen: one.clone(), top: vec![one; 20] };
        let text = "x".repeat(40_000);
        let echo = Delta { text, logprobs: vec![logprob; 20_000], ..Delta::default() };
        assert_eq!(Pieces::new(&asked(true), 100).delta(&echo), Ok(()));
        assert!(Pieces::new(&asked(false), 100).delta(&echo).is_err());
    }

    #[test]
    fn an_answer_ends_once_and_all_must_end() {
        let mut pieces = chat(2, 3);
        pieces.finished(0).unwrap();
        assert_eq!(pieces.all(), Err(PieceError::Missing { missing: 1 }));
        assert_eq!(pieces.delta(&delta(0, 1)), Err(PieceError::Ended { choice: 0 }));
        assert_eq!(pieces.finished(0), Err(PieceError::Ended { choice: 0 }));
        pieces.finished(1).unwrap();
        assert_eq!(pieces.all(), Ok(()));
    }

    #[test]
    fn a_tool_call_begins_with_its_name_and_in_order() {
        let call = |index, named: bool| Delta {
            tool_calls: vec![ToolCallDelta {
                index,
                id: named.then(|| "c".into()),
                name: named.then(|| "f".into()),
                arguments: "{}".into(),
            }],
            ..Delta::default()
        };
        let mut pieces = chat(1, 3);
        let wrong = |index| Err(PieceError::ToolCall { choice: 0, index });
        assert_eq!(pieces.delta(&call(0, false)), wrong(0));
        assert_eq!(pieces.delta(&call(1, true)), wrong(1));
        pieces.delta(&call(0, true)).unwrap();
        pieces.delta(&call(0, false)).unwrap();
        assert_eq!(pieces.delta(&call(0, true)), wrong(0), "it has begun already");
        pieces.delta(&call(1, true)).unwrap();
    }

    #[test]
    fn each_input_has_one_vector_of_the_asked_length() {
        let pieces = |dimensions| {
            let inputs = vec![Prompt::Text("a".into()), Prompt::Text("b".into())];
            Pieces::new(&Task::Embed(Embedding { inputs, dimensions }), 100)
        };
        let mut two = pieces(Some(2));
        two.embedding(1, &[0; 8]).unwrap();
        assert_eq!(two.embedding(1, &[0; 8]), Err(PieceError::Embedding { index: 1 }));
        assert_eq!(two.embedding(2, &[0; 8]), Err(PieceError::Embedding { index: 2 }));
        assert_eq!(two.all(), Err(PieceError::Missing { missing: 1 }));
        for bytes in [0, 4, 7, 12] {
            let wrong = Err(PieceError::Dimensions { bytes });
            assert_eq!(pieces(Some(2)).embedding(0, &vec![0; bytes]), wrong);
        }
        assert_eq!(pieces(None).embedding(0, &[0; 12]), Ok(()));
        assert!(pieces(None).embedding(0, &vec![0; 4 * DIMENSIONS_MAX + 4]).is_err());
        assert_eq!(pieces(None).delta(&delta(0, 1)), Err(PieceError::Choice { choice: 0 }));
        assert_eq!(chat(1, 1).embedding(0, &[0; 8]), Err(PieceError::Embedding { index: 0 }));
    }
}
