//! Grammars as llama.cpp's sampler for them.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use super::super::error::CallError;
use super::model::Model;
use super::prepare::invalid;
use crate::chat::{Grammar, GrammarStart, Trigger};

/// A sampler at the grammar's beginning; `generation_prompt` is the end of the prompt that belongs
/// to the answer's form.
pub(super) fn sampler(
    model: &Model,
    grammar: &Grammar,
    generation_prompt: &str,
) -> Result<LlamaSampler, CallError> {
    let made = match &grammar.start {
        GrammarStart::Trigger(triggers) => {
            let (patterns, tokens) = triggers_of(model, triggers);
            LlamaSampler::grammar_lazy_patterns(
                &model.llama,
                &grammar.text,
                "root",
                &patterns,
                &tokens,
            )
        }
        _ => LlamaSampler::grammar(&model.llama, &grammar.text, "root"),
    };
    let mut sampler =
        made.map_err(|error| invalid(grammar.param, &format!("is no valid grammar ({error})")))?;
    if grammar.start == GrammarStart::Prompt {
        for token in beginning(model, generation_prompt) {
            sampler.try_accept(token).map_err(|_| {
                invalid(grammar.param, "this model's chat template can't be held to a form")
            })?;
        }
    }
    Ok(sampler)
}

/// The tokens of the prompt's end. Some tokenizers put a space before the first, which is none of it.
fn beginning(model: &Model, generation_prompt: &str) -> Vec<LlamaToken> {
    let vocab = model.llama.vocab();
    let mut tokens = vocab.tokenize(generation_prompt.as_bytes(), false, true);
    let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    let first = tokens.first().map(|&token| vocab.token_to_piece(token, true, None));
    if is_space(first.unwrap_or_default().first())
        && !is_space(generation_prompt.as_bytes().first())
    {
        tokens.remove(0);
    }
    tokens
}

/// A word that is one token of the model sets the grammar off as that token.
fn triggers_of(model: &Model, triggers: &[Trigger]) -> (Vec<String>, Vec<LlamaToken>) {
    let (mut patterns, mut tokens) = (Vec::new(), Vec::new());
    for trigger in triggers {
        match trigger {
            Trigger::Word(word) => match model.token(word) {
                Some(token) => tokens.push(token),
                None => patterns.push(escape(word)),
            },
            Trigger::Pattern(pattern) => patterns.push(pattern.clone()),
        }
    }
    (patterns, tokens)
}

/// As a regular expression that matches just this text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r".^$|()*+?[]{}\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_word_is_matched_as_it_is() {
        assert_eq!(super::escape("<tool_call>[x]{\"a\"}"), r#"<tool_call>\[x\]\{"a"\}"#);
    }
}
