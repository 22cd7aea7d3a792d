//! Which pieces of an answer have come, and which may come still. No clock, no I/O.

use chainference_protocol::{Delta, Task};
use thiserror::Error;

use super::stake;

/// A worker sent what was not asked for, or left out what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PieceError {
    #[error("answer {choice} was not asked for")]
    Choice { choice: u32 },
    #[error("answer {choice} goes on after its end")]
    Ended { choice: u32 },
    #[error("answer {choice} has {sent} tokens, at most {most} were asked for")]
    TooLong { choice: u32, sent: u64, most: u64 },
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
    Texts { answers: Vec<Text>, tokens_max: u64 },
    Vectors { came: Vec<bool>, dimensions: Option<u32> },
}

/// What has come of one answer.
#[derive(Clone, Debug, Default)]
pub struct Text {
    tokens: u64,
    tool_calls: u32,
    ended: bool,
}

impl Pieces {
    pub fn new(task: &Task, context_tokens: u32) -> Self {
        let context = u64::from(context_tokens);
        let texts = |answers: usize, decoding| Self::Texts {
            answers: vec![Text::default(); answers],
            tokens_max: stake::answer_tokens(decoding, context),
        };
        match task {
            Task::Chat(chat) => texts(chat.decoding.n as usize, &chat.decoding),
            Task::Complete(completion) => {
                let n = completion.decoding.n as usize;
                texts(n.saturating_mul(completion.prompts.len()), &completion.decoding)
            }
            Task::Embed(embedding) => Self::Vectors {
                came: vec![false; embedding.inputs.len()],
                dimensions: embedding.dimensions,
            },
        }
    }

    pub fn delta(&mut self, delta: &Delta) -> Result<(), PieceError> {
        let choice = delta.choice;
        let (text, most) = self.text(choice)?;
        text.tokens = text.tokens.saturating_add(delta.tokens.len() as u64);
        if text.tokens > most {
            return Err(PieceError::TooLong { choice, sent: text.tokens, most });
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
        let (text, _) = self.text(choice)?;
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
        if numbers == 0 || rest != 0 || numbers != asked {
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

    /// An answer that goes on, and the most tokens that it may have.
    fn text(&mut self, choice: u32) -> Result<(&mut Text, u64), PieceError> {
        let unasked = PieceError::Choice { choice };
        let Self::Texts { answers, tokens_max } = self else { return Err(unasked) };
        let text = answers.get_mut(choice as usize).ok_or(unasked)?;
        if text.ended { Err(PieceError::Ended { choice }) } else { Ok((text, *tokens_max)) }
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Chat, Decoding, Embedding, Prompt, ToolCallDelta};

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
        assert_eq!(pieces(None).delta(&delta(0, 1)), Err(PieceError::Choice { choice: 0 }));
        assert_eq!(chat(1, 1).embedding(0, &[0; 8]), Err(PieceError::Embedding { index: 0 }));
    }
}
