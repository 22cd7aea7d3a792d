//! The child of a tokenizer: says of calls how many tokens they have, by the model's vocabulary and its chat
//! template. It computes nothing, and reads no weights.

use chainference_protocol::{
    Answered, Decoding, Delta, FinishReason, Recounted, RecountedAnswer, Shown, Task,
};
use llama_cpp_2::token::LlamaToken;

use super::super::error::CallError;
use super::super::wire::{Reply, Request};
use super::ChildError;
use super::embedder;
use super::front::quietly;
use super::model::Model;
use super::pipe::{Input, Output};
use super::prepare;
use crate::chat::{Form, Said};

/// Serves until stdin closes.
pub(super) fn serve(model: &Model, mut input: Input, output: &Output) -> Result<(), ChildError> {
    while let Some(request) = input.next()? {
        if let Request::Recount { task, answers } = request {
            output.send(&Reply::Recounted(quietly(|| recount(model, &task, &answers)).ok()))?;
        }
    }
    Ok(())
}

fn recount(model: &Model, task: &Task, answers: &[Answered]) -> Result<Recounted, CallError> {
    let asked = Asked::new(model, task)?;
    let answers = answers.iter().map(|answer| asked.recount(answer)).collect::<Result<_, _>>()?;
    Ok(Recounted { tokens_in: asked.tokens_in, answers })
}

/// A call, as far as its answers are read by it.
struct Asked<'a> {
    model: &'a Model,
    decoding: Decoding,
    tokens_in: u64,
    form: Option<Form>,
    preserved: Vec<LlamaToken>,
    /// The prompts that come back in front of their answers.
    echoes: Vec<String>,
}

/// What an answer's tokens become.
struct Read {
    bytes: Vec<u8>,
    /// Tokens at its end that show nothing.
    ends: u64,
    is_as_shown: bool,
}

impl<'a> Asked<'a> {
    fn new(model: &'a Model, task: &Task) -> Result<Self, CallError> {
        let mut asked = Self {
            model,
            decoding: Decoding::default(),
            tokens_in: 0,
            form: None,
            preserved: Vec::new(),
            echoes: Vec::new(),
        };
        match task {
            Task::Chat(chat) => {
                let prepared = model.template.prepare(chat)?;
                asked.tokens_in = model.tokenize(&prepared.prompt).len() as u64;
                asked.preserved = prepare::preserved(model, &prepared.form);
                asked.form = Some(prepared.form);
                asked.decoding = chat.decoding.clone();
            }
            Task::Complete(completion) => {
                for prompt in &completion.prompts {
                    let tokens = prepare::completion_tokens(model, completion, prompt)?;
                    asked.tokens_in += tokens.len() as u64;
                    if completion.echo {
                        asked.echoes.push(prepare::prompt_text(model, prompt, &tokens));
                    }
                }
                asked.decoding = completion.decoding.clone();
            }
            Task::Embed(embedding) => {
                for input in &embedding.inputs {
                    asked.tokens_in += embedder::tokenize(model, input)?.len() as u64;
                }
            }
        }
        Ok(asked)
    }

    fn recount(&self, answer: &Answered) -> Result<RecountedAnswer, CallError> {
        let Read { bytes, ends, is_as_shown } = self.read(answer)?;
        let said = answer.said.all();
        let said = said.strip_prefix(self.echo(answer.choice)).unwrap_or(&said);
        let vocab = self.model.llama.vocab();
        let count = |text: &[u8]| vocab.tokenize(text, false, true).len() as u64 + ends;
        let (tokens, shown_tokens) = (count(&bytes), count(said.as_bytes()));
        Ok(RecountedAnswer { is_as_shown, tokens, shown_tokens })
    }

    /// Reads the tokens again, as the engine did when it chose them. What an answer that goes on shows is not looked
    /// at: some of it is held back still.
    fn read(&self, answer: &Answered) -> Result<Read, CallError> {
        let vocab = self.model.llama.vocab();
        let known = vocab.n_tokens().unsigned_abs();
        let text = || prepare::answer_text(self.form.as_ref(), &self.decoding);
        let mut text = answer.finish.map(|_| text()).transpose()?;
        let mut shown = Shown { text: self.echo(answer.choice).to_owned(), ..Shown::default() };
        let mut read = Read { bytes: Vec::new(), ends: 0, is_as_shown: true };
        let mut is_over = false;
        for &id in &answer.tokens {
            let token = LlamaToken(id.cast_signed());
            // What is no token, or comes behind the end, is none of the answer.
            if is_over || id >= known {
                read.is_as_shown = false;
                return Ok(read);
            }
            if vocab.is_eog(token) {
                (is_over, read.ends) = (true, 1);
                continue;
            }
            let piece = vocab.token_to_piece(token, self.preserved.contains(&token), None);
            if let Some(text) = &mut text {
                let now = text.push(&piece, None);
                is_over = now.stopped;
                add(&mut shown, now.said);
            }
            read.bytes.extend(piece);
        }
        if let (Some(mut text), Some(reason)) = (text, answer.finish) {
            let is_cut = reason == FinishReason::Length;
            // A worker that cuts an answer for want of stake shows nothing that it held back.
            let is_cut_as_shown = is_cut && shown == answer.said;
            let reason = if is_cut { reason } else { FinishReason::Stop };
            add(&mut shown, text.finish(reason).0.said);
            read.is_as_shown = is_cut_as_shown || shown == answer.said;
        }
        Ok(read)
    }

    /// What stands in front of an answer.
    fn echo(&self, choice: u32) -> &str {
        let prompt = choice / self.decoding.n.max(1);
        self.echoes.get(prompt as usize).map_or("", String::as_str)
    }
}

fn add(shown: &mut Shown, said: Said) {
    let Said { text, reasoning, tool_calls } = said;
    shown.push(&Delta { text, reasoning, tool_calls, ..Delta::default() });
}
