//! How a conversation begins: its later calls go where its first one went, since the worker may still have
//! what it computed of the beginning.

use std::hash::{BuildHasher, Hash, Hasher};

use chainference_protocol::{Chat, MessageContent, Prompt, Task};

/// So much of a prompt that is no conversation tells it from others.
const PROMPT_BYTES: usize = 1_024;
const PROMPT_TOKENS: usize = 256;

/// A hash of what stays the same while a conversation goes on: everything up to the first thing that the user
/// said. `None` where nothing is computed twice.
pub fn beginning(task: &Task, model: &str, seed: &impl BuildHasher) -> Option<u64> {
    let mut hasher = seed.build_hasher();
    model.hash(&mut hasher);
    match task {
        Task::Chat(chat) => hash_chat(chat, &mut hasher),
        Task::Complete(completion) => match completion.prompts.as_slice() {
            [Prompt::Text(text)] => {
                text.as_bytes().get(..PROMPT_BYTES).unwrap_or(text.as_bytes()).hash(&mut hasher);
            }
            [Prompt::Tokens(tokens)] => {
                tokens.get(..PROMPT_TOKENS).unwrap_or(tokens).hash(&mut hasher);
            }
            _ => return None,
        },
        Task::Embed(_) => return None,
    }
    Some(hasher.finish())
}

fn hash_chat(chat: &Chat, hasher: &mut impl Hasher) {
    for message in &chat.messages {
        message.role.hash(hasher);
        match &message.content {
            Some(MessageContent::Text(text)) => text.hash(hasher),
            Some(parts) => parts.text().hash(hasher),
            None => {}
        }
        if message.role == "user" {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use chainference_protocol::{Completion, Decoding, Embedding, Message};

    use super::*;

    fn chat(said: &[(&str, &str)]) -> Task {
        let messages = said.iter().map(|(role, text)| Message::text(*role, *text)).collect();
        Task::Chat(Chat { messages, ..Chat::default() })
    }

    fn complete(text: &str) -> Task {
        let prompts = vec![Prompt::Text(text.into())];
        let decoding = Decoding::default();
        Task::Complete(Completion { prompts, suffix: None, echo: false, decoding })
    }

    #[test]
    fn a_conversation_that_goes_on_begins_as_it_began() {
        let seed = RandomState::new();
        let of = |task: &Task| beginning(task, "a/b", &seed);
        let first = of(&chat(&[("system", "Be kind."), ("user", "Hello.")]));
        let later = [
            ("system", "Be kind."),
            ("user", "Hello."),
            ("assistant", "Hi."),
            ("user", "Who are you?"),
        ];
        assert!(first.is_some());
        assert_eq!(of(&chat(&later)), first);
        for other in [
            &[("system", "Be kind."), ("user", "Bye.")][..],
            &[("system", "Be brief."), ("user", "Hello.")],
            &[("user", "Hello.")],
        ] {
            assert_ne!(of(&chat(other)), first, "{other:?}");
        }
        let same = chat(&[("system", "Be kind."), ("user", "Hello.")]);
        assert_ne!(beginning(&same, "a/c", &seed), first, "another model");
    }

    #[test]
    fn a_prompt_is_told_by_its_first_part_and_embeddings_have_no_beginning() {
        let seed = RandomState::new();
        let of = |task: &Task| beginning(task, "a/b", &seed);
        let long = "é".repeat(PROMPT_BYTES);
        assert_eq!(of(&complete(&long)), of(&complete(&format!("{long} and more"))));
        assert_ne!(of(&complete("a")), of(&complete("b")));
        assert_eq!(of(&Task::Embed(Embedding { inputs: vec![], dimensions: None })), None);
    }
}
