//! What an offer's `abilities` mean: the one place where the bits are given out. A bit is never given
//! another meaning; what a reader doesn't know it ignores.

use std::fmt;

use bitflags::bitflags;

use crate::accounts::Offer;

bitflags! {
    /// What a model, as its worker serves it, can be asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Abilities: u32 {
        /// Conversations, by the model's own template.
        const CHAT = 1 << 0;
        /// Tools in a conversation, and choices that force one.
        const TOOLS = 1 << 1;
        /// Answers held to a JSON schema or a grammar.
        const STRUCTURED = 1 << 2;
        /// Thinks before it answers; the thoughts come apart from the answer.
        const REASONING = 1 << 3;
        /// Text to continue, without a template.
        const COMPLETIONS = 1 << 4;
        /// A gap between two texts to fill.
        const INFILL = 1 << 5;
        /// Vectors of texts.
        const EMBEDDINGS = 1 << 6;
        /// Log-probabilities of tokens.
        const LOGPROBS = 1 << 7;
        /// Chats are put into text by a template of the worker's, not the one in the model's file: how many
        /// tokens a prompt has is for the worker alone to know.
        const OWN_TEMPLATE = 1 << 8;
    }
}

impl Abilities {
    /// As the chain says it, where 0 is plain chat.
    pub fn of(offer: &Offer) -> Self {
        match offer.abilities {
            0 => Self::CHAT,
            bits => Self::from_bits_retain(bits),
        }
    }

    /// A word for each, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let known = [
            (Self::CHAT, "chat"),
            (Self::TOOLS, "tools"),
            (Self::STRUCTURED, "structured"),
            (Self::REASONING, "reasoning"),
            (Self::COMPLETIONS, "completions"),
            (Self::INFILL, "infill"),
            (Self::EMBEDDINGS, "embeddings"),
            (Self::LOGPROBS, "logprobs"),
            (Self::OWN_TEMPLATE, "own-template"),
        ];
        known.into_iter().filter(move |(ability, _)| self.contains(*ability)).map(|(_, name)| name)
    }
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(abilities: u32) -> Abilities {
        let offer = bytemuck::Zeroable::zeroed();
        Abilities::of(&Offer { abilities, ..offer })
    }

    #[test]
    fn bits_keep_their_meaning() {
        for (bit, name) in [
            "chat",
            "tools",
            "structured",
            "reasoning",
            "completions",
            "infill",
            "embeddings",
            "logprobs",
            "own-template",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(of(1 << bit).to_string(), name);
        }
        assert_eq!(Abilities::all().names().count(), 9, "each ability has a word");
    }

    #[test]
    fn nothing_said_is_plain_chat_and_what_is_not_known_is_kept() {
        assert_eq!(of(0), Abilities::CHAT);
        assert_eq!(of(1 << 31 | 1).bits(), 1 << 31 | 1);
        assert_eq!(of(1 << 31 | 1).to_string(), "chat");
        assert_eq!(of(0b111).to_string(), "chat, tools, structured");
    }
}
