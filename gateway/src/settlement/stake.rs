//! The most that a call may cost, from what is known before a worker has seen it.

use chainference_market::{Lamports, MarketError, Prices, Totals};
use chainference_protocol::{
    Chat, Decoding, Message, MessageContent, Prompt, ResponseFormat, Task, Tool, ToolCall,
};

use super::printed::{printed_json, printed_text};
use crate::limits::{
    TEMPLATE_TOKENS, TEMPLATE_TOKENS_PER_MESSAGE, TEMPLATE_TOKENS_PER_TOOL, TEMPLATE_TOKENS_TOOLS,
};

/// Some templates print the tools twice: to tell of them, and as the form of a call.
const TOOLS_PRINTED: u64 = 2;

/// Upper bounds of a call's tokens: a tokenizer makes no more tokens than there are bytes, a
/// template adds a bounded text, and nothing exceeds the context.
pub fn bounds(task: &Task, context_tokens: u32) -> Totals {
    let context = u64::from(context_tokens);
    match task {
        Task::Chat(chat) => Totals {
            tokens_in: chat_tokens(chat).min(context),
            tokens_out: answers_tokens(&chat.decoding, 1, context),
        },
        Task::Complete(completion) => {
            let suffix = completion.suffix.as_ref().map_or(0, |suffix| length(suffix));
            Totals {
                tokens_in: prompts_tokens(&completion.prompts, suffix, context),
                tokens_out: answers_tokens(
                    &completion.decoding,
                    completion.prompts.len() as u64,
                    context,
                ),
            }
        }
        Task::Embed(embedding) => {
            Totals { tokens_in: prompts_tokens(&embedding.inputs, 0, context), tokens_out: 0 }
        }
    }
}

/// The most tokens of one answer.
pub fn answer_tokens(decoding: &Decoding, context: u64) -> u64 {
    decoding.max_tokens.map_or(context, u64::from).min(context)
}

fn answers_tokens(decoding: &Decoding, prompts: u64, context: u64) -> u64 {
    let each = answer_tokens(decoding, context).saturating_mul(u64::from(decoding.n));
    each.saturating_mul(prompts)
}

fn prompts_tokens(prompts: &[Prompt], more_bytes: u64, context: u64) -> u64 {
    let tokens = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => length(text),
        Prompt::Tokens(tokens) => tokens.len() as u64,
    };
    let one = |prompt| (tokens(prompt) + more_bytes + TEMPLATE_TOKENS_PER_MESSAGE).min(context);
    prompts.iter().map(one).fold(0, u64::saturating_add)
}

fn chat_tokens(chat: &Chat) -> u64 {
    let messages = chat.messages.iter().map(message_tokens);
    let tools = chat.tools.iter().map(tool_tokens);
    let variables = chat.template_variables.values().map(printed_json);
    let format = match &chat.response_format {
        ResponseFormat::Text | ResponseFormat::JsonObject => 0,
        ResponseFormat::JsonSchema(schema) => printed_json(schema),
    };
    let fixed = if chat.tools.is_empty() { 0 } else { TEMPLATE_TOKENS_TOOLS };
    let parts = messages.chain(tools).chain(variables);
    parts.chain([format, fixed]).fold(TEMPLATE_TOKENS, u64::saturating_add)
}

fn message_tokens(message: &Message) -> u64 {
    // Some templates print what a tool said as a string of JSON.
    let bytes = if message.tool_call_id.is_some() { printed_text } else { length };
    let content = match &message.content {
        None => 0,
        // A template may put a line's end between parts.
        Some(MessageContent::Parts(parts)) => bytes(&message_text(message)) + parts.len() as u64,
        Some(MessageContent::Text(text)) => bytes(text),
    };
    let small = [&message.name, &message.reasoning_content, &message.tool_call_id];
    let small = small.into_iter().flatten().map(|text| length(text));
    let calls = message.tool_calls.iter().map(call_tokens);
    small
        .chain(calls)
        .chain([content, length(&message.role)])
        .fold(TEMPLATE_TOKENS_PER_MESSAGE, u64::saturating_add)
}

fn message_text(message: &Message) -> String {
    message.content.as_ref().map(MessageContent::text).unwrap_or_default()
}

fn tool_tokens(tool: &Tool) -> u64 {
    let description = tool.description.as_deref().map_or(0, printed_text);
    let parameters = tool.parameters.as_ref().map_or(0, printed_json);
    let printed = length(&tool.name).saturating_add(description).saturating_add(parameters);
    printed.saturating_mul(TOOLS_PRINTED).saturating_add(TEMPLATE_TOKENS_PER_TOOL)
}

/// A template prints a call's arguments as they are, as a string, or parsed and printed anew.
fn call_tokens(call: &ToolCall) -> u64 {
    let anew = serde_json::from_str(&call.arguments).map_or(0, |value| printed_json(&value));
    let arguments = printed_text(&call.arguments).max(anew);
    let names = length(&call.id).saturating_add(length(&call.name));
    arguments.saturating_add(names).saturating_add(TEMPLATE_TOKENS_PER_TOOL)
}

fn length(text: &str) -> u64 {
    text.len() as u64
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
    use chainference_protocol::{Completion, Embedding};
    use serde_json::json;

    use super::*;

    fn chat(text: &str, max_tokens: Option<u32>) -> Chat {
        let messages = vec![Message::text("user", text)];
        let decoding = Decoding { max_tokens, ..Decoding::default() };
        Chat { messages, decoding, ..Chat::default() }
    }

    fn chat_bounds(chat: Chat, context_tokens: u32) -> Totals {
        bounds(&Task::Chat(chat), context_tokens)
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
            assert_eq!(chat_bounds(chat(text, None), context).tokens_in, tokens_in);
        }
    }

    #[test]
    fn output_is_bounded_by_the_request_and_the_context() {
        for (max_tokens, n, tokens_out) in
            [(None, 1, 2_048), (Some(7), 1, 7), (Some(9_999), 1, 2_048), (Some(7), 3, 21)]
        {
            let mut chat = chat("a", max_tokens);
            chat.decoding.n = n;
            assert_eq!(chat_bounds(chat, 2_048).tokens_out, tokens_out);
        }
    }

    #[test]
    fn every_prompt_counts_and_has_its_own_answers() {
        let prompts = vec![Prompt::Text("abcd".into()), Prompt::Tokens(vec![1, 2])];
        let decoding = Decoding { max_tokens: Some(10), n: 3, ..Decoding::default() };
        let completion = Completion {
            prompts: prompts.clone(),
            suffix: Some("xy".into()),
            echo: false,
            decoding,
        };
        let overhead = 2 * TEMPLATE_TOKENS_PER_MESSAGE;
        let expected = Totals { tokens_in: overhead + (4 + 2) + (2 + 2), tokens_out: 60 };
        assert_eq!(bounds(&Task::Complete(completion), 4_096), expected);
        let embedding = Embedding { inputs: prompts, dimensions: None };
        let expected = Totals { tokens_in: overhead + 6, tokens_out: 0 };
        assert_eq!(bounds(&Task::Embed(embedding), 4_096), expected);
    }

    /// Prints a chat with tools as the most talkative templates do; each byte may be a token.
    #[test]
    fn tools_printed_twice_and_indented_are_within_the_bound() {
        let tool = json!({"name": "get_weather", "description": "Says \"how\" it is: <é>",
            "parameters": {"type": "object", "properties": {"città": {"type": "string",
                "enum": ["Rome", "Zürich"]}}, "required": ["città"]}});
        let arguments = "{\"città\":\"Rome\"}";
        let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: arguments.into() };
        let asked =
            Message { role: "assistant".into(), tool_calls: vec![call], ..Message::default() };
        let said =
            Message { tool_call_id: Some("c1".into()), ..Message::text("tool", "\"dry\"\n") };
        let tools = vec![serde_json::from_value::<Tool>(tool.clone()).unwrap(); 3];
        let most = chat_bounds(
            Chat { messages: vec![asked, said.clone()], tools, ..chat("", None) },
            100_000,
        );
        let indented = serde_json::to_string_pretty(&json!([&tool, &tool, &tool])).unwrap();
        let printed_arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
        let rest =
            serde_json::to_string_pretty(&json!({"id": "c1", "arguments": printed_arguments,
            "said": message_text(&said), "asked": arguments}))
            .unwrap();
        assert!(most.tokens_in >= (2 * indented.len() + rest.len()) as u64);
        assert!(most.tokens_in < 10_000, "and not far beyond: {most:?}");
    }

    #[test]
    fn what_else_a_template_may_print_is_counted() {
        let plain = chat_bounds(chat("a", None), 100_000).tokens_in;
        let long = "x".repeat(500);
        let schema = json!({"description": long});
        let mut variables = serde_json::Map::new();
        variables.insert("tone".into(), long.clone().into());
        let thought = Message { reasoning_content: Some(long), ..Message::text("user", "a") };
        for more in [
            Chat { response_format: ResponseFormat::JsonSchema(schema), ..chat("a", None) },
            Chat { template_variables: variables, ..chat("a", None) },
            Chat { messages: vec![thought], ..chat("a", None) },
        ] {
            assert!(chat_bounds(more, 100_000).tokens_in >= plain + 500);
        }
    }

    #[test]
    fn stake_covers_every_cost_within_the_bounds() {
        let prices =
            Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 };
        let most = chat_bounds(chat("hello", Some(100)), 2_048);
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
