//! Templates of the common families, through llama.cpp.

mod forms;
mod prompts;

use chainference_protocol::{Chat, Message, Tool, ToolChoice};
use serde_json::{Value, json};

use super::*;

/// SmolLM2's own, which knows no tools and puts a system message of its own first when the caller
/// gives none.
const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const LLAMA3: &str = include_str!("llama3.jinja");
const MISTRAL: &str = include_str!("mistral.jinja");
const THINKING: &str = include_str!("thinking.jinja");

fn template(text: &str) -> ChatTemplate {
    let is_chatml = text.contains("<|im_start|>");
    let source = TemplateSource {
        text: Some(text),
        is_chatml,
        bos: "<s>",
        eos: "</s>",
        ..Default::default()
    };
    ChatTemplate::new(source).expect("a template")
}

fn chat(messages: &[(&str, &str)]) -> Chat {
    let messages = messages.iter().map(|&(role, text)| Message::text(role, text)).collect();
    Chat { messages, ..Chat::default() }
}

fn tool(name: &str, parameters: Value) -> Tool {
    Tool { name: name.into(), description: None, parameters: Some(parameters), strict: false }
}

/// Weather and clock.
fn with_tools(choice: ToolChoice) -> Chat {
    let place = json!({
        "type": "object",
        "properties": { "city": { "type": "string" }, "days": { "type": "integer" } },
        "required": ["city"],
    });
    Chat {
        tools: vec![tool("weather", place), tool("clock", json!({ "type": "object" }))],
        tool_choice: choice,
        parallel_tool_calls: true,
        ..chat(&[("user", "What is the weather in Graz?")])
    }
}

fn prepare(text: &str, chat: &Chat) -> Prepared {
    template(text).prepare(chat).map_err(|error| error.to_string()).expect("prepared")
}

fn refused(text: &str, chat: &Chat) -> String {
    template(text).prepare(chat).err().expect("refused").to_string()
}
