//! Chats: the model's own template for the prompt, the grammar that holds the answer to what was
//! asked for, and the reader that takes the answer apart into text, reasoning and tool calls.

mod prepared;
mod reader;
mod request;
mod schema;
mod shim;
mod thinking;

#[cfg(test)]
mod tests;

use chainference_protocol::{Chat, ResponseFormat, ToolChoice};

pub use prepared::{Form, Grammar, GrammarStart, Prepared, Trigger};
pub use reader::{Reader, Said};
pub use thinking::Thinking;

pub(crate) use shim::log_without_answers;

use shim::Templates;

/// A template for models of the ChatML family whose own shows no tools, in Qwen 2.5's words: the most
/// common form of tool calls.
const CHATML_WITH_TOOLS: &str = include_str!("tools.jinja");

/// Why a chat can't be put to the model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// llama.cpp's words about a template, or about messages that don't fit it.
    #[error("{0}")]
    Template(String),
    /// A parameter that can't be honoured.
    #[error("{param}: {detail}")]
    Invalid { param: &'static str, detail: String },
}

fn invalid(param: &'static str, detail: impl Into<String>) -> ChatError {
    ChatError::Invalid { param, detail: detail.into() }
}

/// A model's own templates and special tokens' texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateSource<'a> {
    /// The Jinja text of the model's file, or what the operator gave instead; `None` for ChatML.
    pub text: Option<&'a str>,
    /// The template for chats with tools, where the model's file has one apart.
    pub tool_use: Option<&'a str>,
    pub bos: &'a str,
    pub eos: &'a str,
    /// Whether the vocabulary has ChatML's marks.
    pub is_chatml: bool,
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    plain: Templates,
    /// For chats with tools, where it is another.
    with_tools: Option<Templates>,
    knows_tools: bool,
    bos: String,
}

impl ChatTemplate {
    /// # Errors
    /// A template that can't be parsed.
    pub fn new(source: TemplateSource<'_>) -> Result<Self, ChatError> {
        let new = |text| Templates::new(text, source.bos, source.eos).map_err(ChatError::Template);
        let plain = new(source.text.unwrap_or("chatml"))?;
        let with_tools = match source.tool_use {
            Some(text) => Some(new(text)?),
            None if plain.knows_tools() => None,
            None if source.is_chatml || source.text.is_none() => Some(new(CHATML_WITH_TOOLS)?),
            None => None,
        };
        let knows_tools = with_tools.is_some() || plain.knows_tools();
        Ok(Self { plain, with_tools, knows_tools, bos: source.bos.to_owned() })
    }

    /// The begin-of-text token's text.
    pub fn bos(&self) -> &str {
        &self.bos
    }

    /// Everything that the model's vocabulary is not needed for.
    ///
    /// # Errors
    /// What can't be honoured, by the parameter's name, and messages that the template refuses, such
    /// as two answers in a row or an unknown role.
    pub fn prepare(&self, chat: &Chat) -> Result<Prepared, ChatError> {
        check(chat)?;
        let tells_of_tools = request::offers_tools(chat) || request::has_calls(chat);
        if tells_of_tools && !self.knows_tools {
            return Err(invalid("tools", "this model's chat template knows none"));
        }
        let templates = match &self.with_tools {
            Some(templates) if tells_of_tools => templates,
            _ => &self.plain,
        };
        let applied = templates.apply(&request::to_json(chat)).map_err(|reason| {
            // llama.cpp would quote from the call: what a client says belongs in no error.
            match request::has_broken_arguments(chat) {
                true => invalid("messages", "the arguments of a tool call are no JSON"),
                false => ChatError::Template(reason),
            }
        })?;
        Prepared::read(&applied, chat)
    }
}

/// Refuses what contradicts itself or can't be forced.
fn check(chat: &Chat) -> Result<(), ChatError> {
    if let ToolChoice::Named(name) = &chat.tool_choice
        && !chat.tools.iter().any(|tool| &tool.name == name)
    {
        return Err(invalid("tool_choice", format!("{name} is not among the tools")));
    }
    if chat.tool_choice == ToolChoice::Required && chat.tools.is_empty() {
        return Err(invalid("tool_choice", "is required, but there are no tools"));
    }
    let may_call = request::offers_tools(chat);
    if may_call && chat.decoding.grammar.is_some() {
        return Err(invalid("grammar", "can't be combined with tools that may be called"));
    }
    let has_format = chat.response_format != ResponseFormat::Text;
    if has_format && chat.decoding.grammar.is_some() {
        return Err(invalid("grammar", "can't be combined with a response_format"));
    }
    if has_format && may_call && chat.tool_choice == ToolChoice::Auto {
        let detail = "can't be combined with tools that may be called or not";
        return Err(invalid("response_format", detail));
    }
    if let ResponseFormat::JsonSchema(schema) = &chat.response_format {
        schema::check(schema).map_err(|detail| invalid("response_format", detail))?;
    }
    for tool in chat.tools.iter().filter(|_| may_call) {
        schema::check_tool(tool).map_err(|detail| invalid("tools", detail))?;
    }
    Ok(())
}
