//! A chat that is ready for the model's vocabulary: prompt, grammar, and the form of the answer.

use chainference_protocol::{Chat, ResponseFormat};
use serde::Deserialize;

use super::{ChatError, Reader, Thinking, request};

/// What [`super::ChatTemplate::prepare`] makes of a chat. Not `Debug`: prompts don't belong in logs.
pub struct Prepared {
    /// Ends where the assistant is to begin.
    pub prompt: String,
    pub grammar: Option<Grammar>,
    pub form: Form,
}

/// What the answer must follow, in GBNF.
#[derive(Clone, PartialEq, Eq)]
pub struct Grammar {
    pub text: String,
    pub start: GrammarStart,
    /// The parameter that it comes from.
    pub param: &'static str,
}

/// From where on a grammar holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrammarStart {
    /// From the first token.
    Answer,
    /// From the first token, but its text begins with the end of the prompt.
    Prompt,
    /// Once the model has thought, if it does.
    Thought,
    /// Once one of these comes, outside of thoughts.
    Trigger(Vec<Trigger>),
}

/// What sets a lazy grammar off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    Word(String),
    /// A regular expression that is matched from the answer's beginning.
    Pattern(String),
}

/// How answers are read.
#[derive(Clone, Debug)]
pub struct Form {
    format: i32,
    parser: String,
    /// The end of the prompt that belongs to the answer's form.
    pub generation_prompt: String,
    /// Special tokens that are part of the form, and so of the text that is read.
    pub preserved_tokens: Vec<String>,
    /// Texts that end every answer of this form.
    pub stops: Vec<String>,
    thinking_start: String,
    thinking_ends: Vec<String>,
    /// What tool calls begin with.
    marks: Vec<String>,
}

impl Form {
    /// A reader for one answer.
    ///
    /// # Errors
    /// llama.cpp can't read its own parser: never seen.
    pub fn reader(&self) -> Result<Reader, ChatError> {
        Reader::new(self.format, &self.parser, &self.generation_prompt, self.marks.clone())
            .map_err(ChatError::Template)
    }

    /// Follows one answer's thoughts, which may have begun in the prompt.
    pub fn thinking(&self) -> Thinking {
        let mut thinking = Thinking::new(&self.thinking_start, &self.thinking_ends);
        thinking.push(&self.generation_prompt);
        thinking
    }
}

/// As the shim writes it.
#[derive(Deserialize)]
struct Applied {
    prompt: String,
    format: i32,
    parser: String,
    generation_prompt: String,
    grammar: String,
    grammar_is_lazy: bool,
    triggers: Vec<AppliedTrigger>,
    preserved_tokens: Vec<String>,
    stops: Vec<String>,
    thinking_start: String,
    thinking_ends: Vec<String>,
}

#[derive(Deserialize)]
struct AppliedTrigger {
    kind: i32,
    value: String,
}

impl Prepared {
    pub(super) fn read(applied: &str, chat: &Chat) -> Result<Self, ChatError> {
        let applied: Applied = serde_json::from_str(applied)
            .map_err(|error| ChatError::Template(error.to_string()))?;
        Ok(Self {
            grammar: grammar(&applied, chat),
            prompt: applied.prompt,
            form: Form {
                format: applied.format,
                parser: applied.parser,
                generation_prompt: applied.generation_prompt,
                preserved_tokens: applied.preserved_tokens,
                stops: applied.stops,
                thinking_start: applied.thinking_start,
                thinking_ends: applied.thinking_ends,
                marks: applied
                    .triggers
                    .into_iter()
                    .filter(|it| it.kind == WORD)
                    .map(|it| it.value)
                    .collect(),
            },
        })
    }
}

fn grammar(applied: &Applied, chat: &Chat) -> Option<Grammar> {
    if let Some(text) = &chat.decoding.grammar {
        return Some(Grammar { text: text.clone(), start: GrammarStart::Answer, param: "grammar" });
    }
    let offers_tools = request::offers_tools(chat);
    // Some templates have a grammar for plain text as well: it would only slow the answer down.
    if applied.grammar.is_empty() || !offers_tools && chat.response_format == ResponseFormat::Text {
        return None;
    }
    let start = if applied.grammar_is_lazy {
        GrammarStart::Trigger(applied.triggers.iter().filter_map(trigger).collect())
    } else if request::is_forced(chat) {
        GrammarStart::Thought
    } else {
        GrammarStart::Prompt
    };
    let param = if offers_tools { "tools" } else { "response_format" };
    Some(Grammar { text: applied.grammar.clone(), start, param })
}

// llama.cpp's `common_grammar_trigger_type`; 0, a token, is never written by a template.
const WORD: i32 = 1;
const PATTERN: i32 = 2;
const PATTERN_FULL: i32 = 3;

fn trigger(trigger: &AppliedTrigger) -> Option<Trigger> {
    let value = trigger.value.clone();
    match trigger.kind {
        WORD => Some(Trigger::Word(value)),
        PATTERN => Some(Trigger::Pattern(value)),
        PATTERN_FULL => {
            let anchored = value.trim_start_matches('^').trim_end_matches('$');
            Some(Trigger::Pattern(format!("^{anchored}$")))
        }
        _ => None,
    }
}
