//! Chats and the model's own template for them.

mod shim;

use chainference_protocol::Message;

use shim::Templates;

/// What llama.cpp says about a template, or about messages that don't fit it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    templates: Templates,
    bos: String,
}

impl ChatTemplate {
    /// `source` is the Jinja text of the model's file, `None` for ChatML; `bos` and `eos` are the
    /// texts of its special tokens.
    ///
    /// # Errors
    /// A template that can't be parsed.
    pub fn new(source: Option<&str>, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let templates =
            Templates::new(source.unwrap_or("chatml"), bos, eos).map_err(TemplateError)?;
        Ok(Self { templates, bos: bos.to_owned() })
    }

    /// The begin-of-text token's text.
    pub fn bos(&self) -> &str {
        &self.bos
    }

    /// The prompt for these messages, ending where the assistant is to begin.
    ///
    /// # Errors
    /// Messages that the template refuses, such as two answers in a row or an unknown role.
    pub fn apply(&self, messages: &[Message]) -> Result<String, TemplateError> {
        let json =
            serde_json::to_string(messages).map_err(|error| TemplateError(error.to_string()))?;
        self.templates.apply(&json).map_err(TemplateError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SmolLM2's own, which puts its default system message first when the caller gives none.
    const SMOLLM2: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn message(role: &str, content: &str) -> Message {
        Message::text(role, content)
    }

    #[test]
    fn the_models_default_system_message_comes_first() {
        let template =
            ChatTemplate::new(Some(SMOLLM2), "<|im_start|>", "<|im_end|>").expect("a template");
        let prompt = template.apply(&[message("user", "Häuser? \"\n\u{1F600}")]).expect("a prompt");
        assert_eq!(
            prompt,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
             <|im_start|>user\nHäuser? \"\n\u{1F600}<|im_end|>\n<|im_start|>assistant\n"
        );
        let prompt = template
            .apply(&[message("system", "Be brief."), message("user", "Hi")])
            .expect("a prompt");
        assert_eq!(
            prompt,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn a_model_without_a_template_gets_chatml() {
        let template = ChatTemplate::new(None, "", "").expect("a template");
        let prompt = template.apply(&[message("user", "Hi")]).expect("a prompt");
        assert_eq!(prompt, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn a_template_that_refuses_is_an_error_with_its_reason() {
        let source = "{% for m in messages %}{% if m['role'] == 'bad' %}{{ raise_exception('unknown role') }}{% endif %}{{ m['content'] }}{% endfor %}";
        let template = ChatTemplate::new(Some(source), "", "").expect("a template");
        let error = template.apply(&[message("bad", "x")]).expect_err("refused");
        assert!(error.to_string().contains("unknown role"), "{error}");
    }

    #[test]
    fn a_broken_template_is_an_error() {
        ChatTemplate::new(Some("{% for %}"), "", "").expect_err("can't be parsed");
    }
}
