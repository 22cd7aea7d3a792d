//! From what is asked to prompts in tokens and answers that are ready to begin.

use chainference_protocol::{Chat, Completion, Decoding, Prompt, Task};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::LlamaVocab;

use super::super::Generate;
use super::super::error::CallError;
use super::grammar;
use super::model::Model;
use super::sampler::Sampler;
use super::sequence::{Echo, Sequence};
use super::text::AnswerText;
use crate::chat::{ChatError, Form, Grammar, GrammarStart, Thinking};

/// A call that is ready to be computed.
pub(super) struct Ready {
    pub scope: [u8; 32],
    pub allowed_tokens: u64,
    /// One for each answer.
    pub prompts: Vec<Vec<LlamaToken>>,
    pub answers: Vec<Sequence>,
    /// Answers to one prompt.
    pub answers_each: u32,
    /// Nothing that was computed before may be used again: each of the prompt's rows is asked for, or
    /// the answer must be the same as another time.
    pub reads_anew: bool,
    /// Tokens of all prompts, each counted once however many answers it gets.
    pub tokens_in: u64,
}

pub(super) fn ready(model: &Model, request: Generate) -> Result<Ready, CallError> {
    let Generate { task, scope, allowed_tokens } = request;
    let (decoding, asks) = match task {
        Task::Chat(chat) => {
            let ask = Ask::chat(model, &chat)?;
            (chat.decoding, vec![ask])
        }
        Task::Complete(completion) => {
            let ask = |prompt: &Prompt| Ask::completion(model, &completion, prompt);
            let asks = completion.prompts.iter().map(ask).collect::<Result<_, _>>()?;
            (completion.decoding, asks)
        }
        Task::Embed(_) => {
            return Err(invalid("model", "this worker's model makes no embeddings"));
        }
    };
    let n = decoding.n.max(1);
    let mut ready = Ready {
        scope,
        allowed_tokens,
        prompts: Vec::new(),
        answers: Vec::new(),
        answers_each: n,
        reads_anew: false,
        tokens_in: asks.iter().map(|ask| ask.prompt.len() as u64).sum(),
    };
    for ask in &asks {
        ask.check_length(model)?;
        for choice in 0..n {
            let index = u32::try_from(ready.answers.len()).unwrap_or(u32::MAX);
            ready.prompts.push(ask.prompt.clone());
            ready.answers.push(ask.answer(model, &decoding, choice, index)?);
        }
    }
    // How a prompt was cut into pieces shows in the last bits: a seed promises the same answer.
    ready.reads_anew = decoding.sampling.seed.is_some()
        || ready.answers.iter().any(Sequence::wants_prompt_logprobs);
    Ok(ready)
}

/// One prompt and all that its answers have in common.
struct Ask {
    prompt: Vec<LlamaToken>,
    grammar: Option<LlamaSampler>,
    grammar_waits: bool,
    /// `None` shows answers as they are.
    form: Option<Form>,
    preserved: Vec<LlamaToken>,
    /// The prompt's text, if it is to come back.
    echo: Option<String>,
}

impl Ask {
    fn chat(model: &Model, chat: &Chat) -> Result<Self, CallError> {
        let prepared = model.template.prepare(chat)?;
        let (grammar, form) = (prepared.grammar, prepared.form);
        check_ignore_eos(&chat.decoding, grammar.as_ref())?;
        let waits = |grammar: &Grammar| {
            matches!(grammar.start, GrammarStart::Thought | GrammarStart::Trigger(_))
        };
        let grammar_waits = grammar.as_ref().is_some_and(waits);
        let sampler = |grammar| grammar::sampler(model, &grammar, &form.generation_prompt);
        Ok(Self {
            prompt: model.tokenize(&prepared.prompt),
            grammar_waits,
            grammar: grammar.map(sampler).transpose()?,
            preserved: preserved(model, &form),
            form: Some(form),
            echo: None,
        })
    }

    fn completion(
        model: &Model,
        completion: &Completion,
        prompt: &Prompt,
    ) -> Result<Self, CallError> {
        let tokens = completion_tokens(model, completion, prompt)?;
        let text = prompt_text(model, prompt, &tokens);
        let grammar = completion.decoding.grammar.as_ref().map(|text| Grammar {
            text: text.clone(),
            start: GrammarStart::Answer,
            param: "grammar",
        });
        check_ignore_eos(&completion.decoding, grammar.as_ref())?;
        Ok(Self {
            prompt: tokens,
            grammar: grammar.map(|it| grammar::sampler(model, &it, "")).transpose()?,
            grammar_waits: false,
            form: None,
            preserved: Vec::new(),
            echo: completion.echo.then_some(text),
        })
    }

    fn check_length(&self, model: &Model) -> Result<(), CallError> {
        let (tokens_in, context_tokens) = (self.prompt.len() as u64, model.context_tokens);
        if self.prompt.is_empty() {
            return Err(invalid("prompt", "must not be empty"));
        }
        if tokens_in >= u64::from(context_tokens) {
            return Err(CallError::ContextOverflow { tokens_in, context_tokens });
        }
        Ok(())
    }

    /// The answer `choice` to this prompt, the `index`-th of the call.
    fn answer(
        &self,
        model: &Model,
        decoding: &Decoding,
        choice: u32,
        index: u32,
    ) -> Result<Sequence, CallError> {
        let room = (model.context_tokens as usize).saturating_sub(self.prompt.len());
        let asked = decoding.max_tokens.map_or(usize::MAX, |max| max as usize);
        let echo = |text: &String| Echo {
            text: text.clone(),
            prompt: self.prompt.clone(),
            logprobs: Vec::new(),
        };
        Ok(Sequence {
            choice: index,
            sampler: Sampler::new(decoding, choice, &self.prompt, self.grammar.clone(), model),
            text: answer_text(self.form.as_ref(), decoding)?,
            tokens_left: room.min(asked),
            logprobs: decoding.logprobs,
            thinking: self.form.as_ref().map_or_else(Thinking::default, Form::thinking),
            grammar_waits: self.grammar_waits,
            preserved: self.preserved.clone(),
            echo: self.echo.as_ref().map(echo),
            tokens_reasoning: 0,
        })
    }
}

/// The special tokens whose text is read.
pub(super) fn preserved(model: &Model, form: &Form) -> Vec<LlamaToken> {
    form.preserved_tokens.iter().filter_map(|it| model.token(it)).collect()
}

/// What makes an answer's text of its tokens' bytes.
pub(super) fn answer_text(
    form: Option<&Form>,
    decoding: &Decoding,
) -> Result<AnswerText, CallError> {
    let reader = form.map(Form::reader).transpose()?;
    let mut stops = decoding.stop.clone();
    stops.extend(form.iter().flat_map(|form| form.stops.iter().cloned()));
    Ok(AnswerText::new(stops, reader))
}

/// A prompt of a completion, as the model reads it.
pub(super) fn completion_tokens(
    model: &Model,
    completion: &Completion,
    prompt: &Prompt,
) -> Result<Vec<LlamaToken>, CallError> {
    let vocab = model.llama.vocab();
    match &completion.suffix {
        Some(suffix) => infill(&vocab, prompt, suffix),
        None => tokens(&vocab, prompt, true),
    }
}

/// A prompt as an echo shows it; `tokens` are those of it.
pub(super) fn prompt_text(model: &Model, prompt: &Prompt, tokens: &[LlamaToken]) -> String {
    match prompt {
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(_) => text(&model.llama.vocab(), tokens),
    }
}

/// An answer that a grammar ends can't go on after it.
fn check_ignore_eos(decoding: &Decoding, grammar: Option<&Grammar>) -> Result<(), CallError> {
    match grammar {
        Some(grammar) if decoding.ignore_eos => {
            Err(invalid("ignore_eos", &format!("can't be combined with {}", grammar.param)))
        }
        _ => Ok(()),
    }
}

fn tokens(
    vocab: &LlamaVocab<'_>,
    prompt: &Prompt,
    with_special: bool,
) -> Result<Vec<LlamaToken>, CallError> {
    let known = vocab.n_tokens().unsigned_abs();
    match prompt {
        Prompt::Text(text) => Ok(vocab.tokenize(text.as_bytes(), with_special, with_special)),
        Prompt::Tokens(ids) if ids.iter().any(|&id| id >= known) => {
            Err(invalid("prompt", "names a token that the model doesn't have"))
        }
        Prompt::Tokens(ids) => Ok(ids.iter().map(|&id| LlamaToken(id.cast_signed())).collect()),
    }
}

/// Prompt and suffix around the gap, as llama-server puts them.
fn infill(
    vocab: &LlamaVocab<'_>,
    prompt: &Prompt,
    suffix: &str,
) -> Result<Vec<LlamaToken>, CallError> {
    let marks = [vocab.fim_pre(), vocab.fim_suf(), vocab.fim_mid()];
    if marks.iter().any(|mark| mark.0 < 0) {
        return Err(invalid("suffix", "this model can't fill in between two texts"));
    }
    let [before, after, gap] = marks;
    let bos = Some(vocab.bos()).filter(|bos| vocab.should_add_bos() && bos.0 >= 0);
    let mut infill: Vec<LlamaToken> = bos.into_iter().collect();
    infill.push(before);
    infill.extend(tokens(vocab, prompt, false)?);
    infill.push(after);
    infill.extend(vocab.tokenize(suffix.as_bytes(), false, false));
    infill.push(gap);
    Ok(infill)
}

fn text(vocab: &LlamaVocab<'_>, tokens: &[LlamaToken]) -> String {
    let bytes: Vec<u8> =
        tokens.iter().flat_map(|&token| vocab.token_to_piece(token, true, None)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn invalid(param: &str, detail: &str) -> CallError {
    CallError::Invalid { param: param.to_owned(), detail: detail.to_owned() }
}

impl From<ChatError> for CallError {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::Template(detail) => Self::Template { detail },
            ChatError::Invalid { param, detail } => invalid(param, &detail),
        }
    }
}
