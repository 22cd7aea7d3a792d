//! What a task asks of a model, in the words of its offer. Pure.

use chainference_chain::Abilities;
use chainference_protocol::{Chat, Decoding, ResponseFormat, Task, ToolChoice};

pub fn needs(task: &Task) -> Abilities {
    match task {
        Task::Chat(chat) => {
            let tools = !chat.tools.is_empty() && chat.tool_choice != ToolChoice::None;
            let formed = chat.response_format != ResponseFormat::Text;
            Abilities::CHAT
                | of_decoding(&chat.decoding)
                | only_if(is_to_think(chat), Abilities::REASONING)
                | only_if(tools, Abilities::TOOLS)
                | only_if(formed, Abilities::STRUCTURED)
        }
        Task::Complete(completion) => {
            Abilities::COMPLETIONS
                | of_decoding(&completion.decoding)
                | only_if(completion.suffix.is_some(), Abilities::INFILL)
        }
        Task::Embed(_) => Abilities::EMBEDDINGS,
    }
}

/// Not to think is what every other model does anyway.
fn is_to_think(chat: &Chat) -> bool {
    let variables = &chat.template_variables;
    let thinking = variables.get("enable_thinking").is_some_and(|value| *value == true);
    thinking || variables.contains_key("reasoning_effort")
}

fn of_decoding(decoding: &Decoding) -> Abilities {
    only_if(decoding.grammar.is_some(), Abilities::STRUCTURED)
        | only_if(decoding.logprobs.is_some(), Abilities::LOGPROBS)
}

fn only_if(needed: bool, ability: Abilities) -> Abilities {
    if needed { ability } else { Abilities::empty() }
}

/// What `offered` lacks of it, in a client's words: the parameter at fault and the reason.
pub fn lacking(missing: Abilities) -> (&'static str, &'static str) {
    [
        (Abilities::CHAT, "model", "it doesn't chat; it has other endpoints"),
        (Abilities::COMPLETIONS, "model", "it doesn't complete texts; it has other endpoints"),
        (Abilities::EMBEDDINGS, "model", "it makes no embeddings; it has other endpoints"),
        (Abilities::INFILL, "suffix", "it can't fill a gap between two texts"),
        (Abilities::TOOLS, "tools", "it calls no tools"),
        (Abilities::REASONING, "reasoning_effort", "it doesn't think before it answers"),
        (Abilities::LOGPROBS, "logprobs", "it tells no log-probabilities"),
    ]
    .into_iter()
    .find(|(ability, ..)| missing.contains(*ability))
    .map_or(("response_format", "it can't be held to a form"), |(_, param, why)| (param, why))
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Completion, Embedding, Prompt, Tool};

    use super::*;

    fn chat(change: fn(&mut Chat)) -> Abilities {
        let mut chat = Chat::default();
        change(&mut chat);
        needs(&Task::Chat(chat))
    }

    fn complete(change: fn(&mut Completion)) -> Abilities {
        let prompts = vec![Prompt::Text("a".into())];
        let decoding = Decoding::default();
        let mut completion = Completion { prompts, suffix: None, echo: false, decoding };
        change(&mut completion);
        needs(&Task::Complete(completion))
    }

    fn tool() -> Tool {
        Tool { name: "f".into(), description: None, parameters: None, strict: false }
    }

    #[test]
    fn a_task_needs_what_it_asks_for() {
        use Abilities as A;
        for (needed, expected) in [
            (chat(|_| ()), A::CHAT),
            (chat(|chat| chat.tools = vec![tool()]), A::CHAT | A::TOOLS),
            (
                chat(|chat| {
                    chat.tools = vec![tool()];
                    chat.tool_choice = ToolChoice::None;
                }),
                A::CHAT,
            ),
            (
                chat(|chat| chat.response_format = ResponseFormat::JsonObject),
                A::CHAT | A::STRUCTURED,
            ),
            (
                chat(|chat| chat.decoding.grammar = Some("root ::= \"a\"".into())),
                A::CHAT | A::STRUCTURED,
            ),
            (chat(|chat| chat.decoding.logprobs = Some(0)), A::CHAT | A::LOGPROBS),
            (
                chat(|chat| {
                    chat.template_variables.insert("reasoning_effort".into(), "low".into());
                }),
                A::CHAT | A::REASONING,
            ),
            (
                chat(|chat| {
                    chat.template_variables.insert("enable_thinking".into(), true.into());
                }),
                A::CHAT | A::REASONING,
            ),
            (
                chat(|chat| {
                    chat.template_variables.insert("enable_thinking".into(), false.into());
                }),
                A::CHAT,
            ),
            (complete(|_| ()), A::COMPLETIONS),
            (complete(|one| one.suffix = Some("b".into())), A::COMPLETIONS | A::INFILL),
            (needs(&Task::Embed(Embedding { inputs: vec![], dimensions: None })), A::EMBEDDINGS),
        ] {
            assert_eq!(needed, expected);
        }
    }

    #[test]
    fn what_a_model_lacks_is_named_as_the_client_named_it() {
        use Abilities as A;
        for (missing, param) in [
            (A::CHAT | A::TOOLS, "model"),
            (A::EMBEDDINGS, "model"),
            (A::INFILL, "suffix"),
            (A::TOOLS, "tools"),
            (A::REASONING, "reasoning_effort"),
            (A::STRUCTURED, "response_format"),
            (A::LOGPROBS | A::STRUCTURED, "logprobs"),
        ] {
            assert_eq!(lacking(missing).0, param, "{missing}");
        }
    }
}
