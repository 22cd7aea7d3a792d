//! What a call needs of a model, in the words of its offer.

use chainference_chain::Abilities;
use chainference_protocol::{Decoding, ResponseFormat, Task, ToolChoice};

/// All that a model must be able to do for this task.
pub fn needs(task: &Task) -> Abilities {
    match task {
        Task::Chat(chat) => {
            let calls_tools = !chat.tools.is_empty() && chat.tool_choice != ToolChoice::None;
            let is_structured = chat.response_format != ResponseFormat::Text;
            Abilities::CHAT
                | when(calls_tools, Abilities::TOOLS)
                | when(is_structured, Abilities::STRUCTURED)
                | decoded(&chat.decoding)
        }
        Task::Complete(completion) => {
            Abilities::COMPLETIONS
                | when(completion.suffix.is_some(), Abilities::INFILL)
                | decoded(&completion.decoding)
        }
        Task::Embed(_) => Abilities::EMBEDDINGS,
    }
}

fn decoded(decoding: &Decoding) -> Abilities {
    when(decoding.grammar.is_some(), Abilities::STRUCTURED)
        | when(decoding.logprobs.is_some(), Abilities::LOGPROBS)
}

fn when(is_needed: bool, ability: Abilities) -> Abilities {
    if is_needed { ability } else { Abilities::empty() }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Chat, Completion, Embedding, Prompt, Tool};

    use super::*;

    fn chat(change: impl FnOnce(&mut Chat)) -> Abilities {
        let mut chat = Chat::default();
        change(&mut chat);
        needs(&Task::Chat(chat))
    }

    #[test]
    fn a_conversation_needs_what_it_asks_for() {
        let tool = || Tool { name: "f".into(), description: None, parameters: None, strict: false };
        assert_eq!(chat(|_| ()), Abilities::CHAT);
        assert_eq!(chat(|c| c.tools = vec![tool()]), Abilities::CHAT | Abilities::TOOLS);
        let shown_only = |c: &mut Chat| {
            c.tools = vec![tool()];
            c.tool_choice = ToolChoice::None;
        };
        assert_eq!(chat(shown_only), Abilities::CHAT);
        let json = |c: &mut Chat| c.response_format = ResponseFormat::JsonObject;
        assert_eq!(chat(json), Abilities::CHAT | Abilities::STRUCTURED);
        let grammar = |c: &mut Chat| c.decoding.grammar = Some("root ::= \"x\"".into());
        assert_eq!(chat(grammar), Abilities::CHAT | Abilities::STRUCTURED);
        let logprobs = |c: &mut Chat| c.decoding.logprobs = Some(0);
        assert_eq!(chat(logprobs), Abilities::CHAT | Abilities::LOGPROBS);
    }

    #[test]
    fn other_tasks_need_their_own() {
        let complete = |suffix: Option<&str>| {
            needs(&Task::Complete(Completion {
                prompts: vec![Prompt::Text("x".into())],
                suffix: suffix.map(str::to_owned),
                echo: false,
                decoding: Decoding::default(),
            }))
        };
        assert_eq!(complete(None), Abilities::COMPLETIONS);
        assert_eq!(complete(Some("")), Abilities::COMPLETIONS | Abilities::INFILL);
        let embed = Task::Embed(Embedding { inputs: Vec::new(), dimensions: None });
        assert_eq!(needs(&embed), Abilities::EMBEDDINGS);
    }
}
