//! The most that a call may cost, from what is known before a worker has seen it.

use chainference_market::{Lamports, MarketError, Prices, Totals};
use chainference_protocol::{Chat, ContentPart, Decoding, Message, MessageContent, Prompt, Task};

use crate::limits::{TEMPLATE_TOKENS, TEMPLATE_TOKENS_PER_MESSAGE};

/// Upper bounds of a call's tokens: a tokenizer makes no more tokens than there are bytes, a
/// template adds a bounded text, and nothing exceeds the context.
pub fn bounds(task: &Task, context_tokens: u32) -> Totals {
    let context = u64::from(context_tokens);
    match task {
        Task::Chat(chat) => Totals {
            tokens_in: chat_tokens(chat).min(context),
            tokens_out: answers_tokens(&chat.decoding, context),
        },
        Task::Complete(completion) => {
            let suffix = completion.suffix.as_ref().map_or(0, |suffix| suffix.len() as u64);
            let answers = answers_tokens(&completion.decoding, context);
            Totals {
                tokens_in: prompts_tokens(&completion.prompts, suffix, context),
                tokens_out: answers.saturating_mul(completion.prompts.len() as u64),
            }
        }
        Task::Embed(embedding) => {
            Totals { tokens_in: prompts_tokens(&embedding.inputs, 0, context), tokens_out: 0 }
        }
    }
}

fn answers_tokens(decoding: &Decoding, context: u64) -> u64 {
    let one = decoding.max_tokens.map_or(context, u64::from).min(context);
    one.saturating_mul(u64::from(decoding.n))
}

fn prompts_tokens(prompts: &[Prompt], more_bytes: u64, context: u64) -> u64 {
    let tokens = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.len() as u64,
        Prompt::Tokens(tokens) => tokens.len() as u64,
    };
    let one = |prompt| (tokens(prompt) + more_bytes + TEMPLATE_TOKENS_PER_MESSAGE).min(context);
    prompts.iter().map(one).fold(0, u64::saturating_add)
}

fn chat_tokens(chat: &Chat) -> u64 {
    let bytes: u64 = chat.messages.iter().map(bytes).sum();
    let per_message = TEMPLATE_TOKENS_PER_MESSAGE.saturating_mul(chat.messages.len() as u64);
    bytes.saturating_add(per_message).saturating_add(TEMPLATE_TOKENS)
}

fn bytes(message: &Message) -> u64 {
    let content = match &message.content {
        None => 0,
        Some(MessageContent::Text(text)) => text.len(),
        Some(MessageContent::Parts(parts)) => {
            parts.iter().map(|ContentPart::Text { text }| text.len()).sum()
        }
    };
    (content + message.role.len() + message.name.as_ref().map_or(0, String::len)) as u64
}

/// The stake that covers `bounds` at `prices`.
///
/// # Errors
/// [`MarketError::Overflow`], for prices that no amount can hold.
pub fn stake(prices: &Prices, bounds: Totals) -> Result<Lamports, MarketError> {
    prices.cost(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str, max_tokens: Option<u32>) -> Task {
        let messages = vec![Message::text("user", text)];
        let decoding = Decoding { max_tokens, ..Decoding::default() };
        Task::Chat(Chat { messages, decoding, ..Chat::default() })
    }

    #[test]
    fn input_is_bounded_by_bytes_and_context() {
        let overhead = TEMPLATE_TOKENS + TEMPLATE_TOKENS_PER_MESSAGE + "user".len() as u64;
        for (text, context, tokens_in) in [
            ("", 4_096, overhead),
            ("ab", 4_096, overhead + 2),
            ("é", 4_096, overhead + 2),
            (&"a".repeat(10_000), 4_096, 4_096),
        ] {
            assert_eq!(bounds(&chat(text, None), context).tokens_in, tokens_in);
        }
    }

    #[test]
    fn output_is_bounded_by_the_request_and_the_context() {
        for (max_tokens, tokens_out) in [(None, 2_048), (Some(7), 7), (Some(9_999), 2_048)] {
            assert_eq!(bounds(&chat("a", max_tokens), 2_048).tokens_out, tokens_out);
        }
    }

    #[test]
    fn stake_covers_every_cost_within_the_bounds() {
        let prices =
            Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 };
        let most = bounds(&chat("hello", Some(100)), 2_048);
        let staked = stake(&prices, most).unwrap();
        for tokens_in in [0, 1, most.tokens_in] {
            for tokens_out in [0, 1, most.tokens_out] {
                assert!(prices.cost(Totals { tokens_in, tokens_out }).unwrap() <= staked);
            }
        }
        let dear = Prices { input_per_mtok: u64::MAX, output_per_mtok: u64::MAX, charge_min: 0 };
        let huge = Totals { tokens_in: 1 << 32, tokens_out: 1 << 32 };
        assert_eq!(stake(&dear, huge), Err(MarketError::Overflow));
    }
}
