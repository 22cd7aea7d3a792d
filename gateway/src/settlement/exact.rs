//! Whether a worker counts as its model's tokenizer does. No clock, no I/O.

use chainference_market::Totals;
use chainference_protocol::{Decoding, RecountedAnswer, Task};

/// What a template that is known may count otherwise: one that writes the date, at midnight.
const TEMPLATE_TOKENS: u64 = 4;
/// A model need not cut its words as the tokenizer would. Few answers are longer for it, by a thirtieth at most where
/// that was looked at; one part in so many, and a few tokens, are let pass.
const ODD_SHARE: u64 = 8;
const ODD_TOKENS: u64 = 8;
/// What marks a template that isn't known may put around a prompt, thoughts, and each call of a tool.
const UNKNOWN_SHARE: u64 = 2;
const UNKNOWN_TOKENS: u64 = 128;

/// How strictly a call can be judged.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    is_chat: bool,
    knows_template: bool,
    /// The client itself has the model say what it would not: any tokens may come.
    is_bent: bool,
}

/// One answer as the worker bills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billed {
    pub choice: u32,
    pub tokens: u64,
    pub tool_calls: u64,
}

/// What was found. `most` is the most that is owed for what was billed by then, and without limit where nothing is
/// wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub input: Option<String>,
    pub output: Option<String>,
    pub most: Totals,
}

impl Finding {
    pub const RIGHT: Self = Self {
        input: None,
        output: None,
        most: Totals { tokens_in: u64::MAX, tokens_out: u64::MAX },
    };

    pub fn is_right(&self) -> bool {
        self.input.is_none() && self.output.is_none()
    }

    /// In one word.
    pub fn verdict(&self) -> &'static str {
        if self.is_right() { "right" } else { "wrong" }
    }
}

impl Terms {
    pub fn of(task: &Task, knows_template: bool) -> Self {
        let is_bent =
            |decoding: &Decoding| decoding.ignore_eos || !decoding.sampling.logit_bias.is_empty();
        let (is_chat, is_bent) = match task {
            Task::Chat(chat) => (true, is_bent(&chat.decoding)),
            Task::Complete(completion) => (false, is_bent(&completion.decoding)),
            Task::Embed(_) => (false, false),
        };
        Self { is_chat, knows_template, is_bent }
    }

    /// Whether the text around prompts and answers is known.
    fn is_known(self) -> bool {
        !self.is_chat || self.knows_template
    }

    /// A worker says that the prompt has `said` tokens, the tokenizer `counted`. To count too few harms nobody.
    pub fn input(self, said: u64, counted: u64) -> Finding {
        let beside = match (self.is_chat, self.knows_template) {
            (false, _) => 0,
            (true, true) => TEMPLATE_TOKENS,
            (true, false) => counted / UNKNOWN_SHARE + UNKNOWN_TOKENS,
        };
        if said <= counted.saturating_add(beside) {
            return Finding::RIGHT;
        }
        let input = format!("{said} tokens of input are {counted} by the model's tokenizer");
        let most = Totals { tokens_in: counted, ..Finding::RIGHT.most };
        Finding { input: Some(input), most, ..Finding::RIGHT }
    }

    /// What was billed of each answer, and what the tokenizer says of it.
    pub fn output(self, answers: &[(Billed, RecountedAnswer)]) -> Finding {
        let found: Vec<_> = answers.iter().map(|(said, by)| self.answer(said, by)).collect();
        let Some(output) = found.iter().find_map(|(_, problem)| problem.clone()) else {
            return Finding::RIGHT;
        };
        let tokens_out = found.iter().fold(0, |sum: u64, (most, _)| sum.saturating_add(*most));
        let most = Totals { tokens_out, ..Finding::RIGHT.most };
        Finding { output: Some(output), most, ..Finding::RIGHT }
    }

    /// What is owed for an answer, and what is wrong with it.
    fn answer(self, said: &Billed, by: &RecountedAnswer) -> (u64, Option<String>) {
        let Billed { choice, tokens, tool_calls } = *said;
        if self.is_known() && !by.is_as_shown {
            let problem = format!("the tokens of answer {choice} are not the text that was shown");
            return (tokens.min(by.shown_tokens), Some(problem));
        }
        let (counted, beside) = if self.is_known() {
            (by.tokens, by.tokens / ODD_SHARE + ODD_TOKENS)
        } else {
            let marks = UNKNOWN_TOKENS.saturating_mul(tool_calls.saturating_add(1));
            (by.shown_tokens, by.shown_tokens / UNKNOWN_SHARE + marks)
        };
        if self.is_bent || tokens <= counted.saturating_add(beside) {
            return (tokens, None);
        }
        let problem =
            format!("{tokens} tokens of answer {choice} are {counted} by the model's tokenizer");
        (counted, Some(problem))
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{Chat, Completion};

    use super::*;

    fn chat(change: impl FnOnce(&mut Chat)) -> Task {
        let mut chat = Chat::default();
        change(&mut chat);
        Task::Chat(chat)
    }

    fn completion() -> Task {
        let decoding = Decoding::default();
        Task::Complete(Completion { prompts: Vec::new(), suffix: None, echo: false, decoding })
    }

    #[test]
    fn a_prompt_is_counted_exactly_where_its_template_is_known() {
        let known = Terms::of(&chat(|_| ()), true);
        let unknown = Terms::of(&chat(|_| ()), false);
        let raw = Terms::of(&completion(), false);
        for (terms, said, is_right) in [
            (raw, 100, true),
            (raw, 101, false),
            (raw, 7, true),
            (known, 104, true),
            (known, 105, false),
            (unknown, 278, true),
            (unknown, 279, false),
        ] {
            let finding = terms.input(said, 100);
            assert_eq!(finding.is_right(), is_right, "{terms:?} {said}");
            let owed = finding.most.tokens_in.min(said);
            assert_eq!(owed, if is_right { said } else { 100 }, "{terms:?} {said}");
            assert_eq!(finding.most.tokens_out, u64::MAX, "the answer is judged apart");
        }
    }

    fn by(tokens: u64, shown_tokens: u64) -> RecountedAnswer {
        RecountedAnswer { is_as_shown: true, tokens, shown_tokens }
    }

    fn said(choice: u32, tokens: u64) -> Billed {
        Billed { choice, tokens, tool_calls: 0 }
    }

    #[test]
    fn an_answer_may_be_cut_oddly_but_not_into_letters() {
        let known = Terms::of(&chat(|_| ()), true);
        for (tokens, counted, is_right) in
            [(8, 8, true), (17, 8, true), (18, 8, false), (120, 100, true), (121, 100, false)]
        {
            let finding = known.output(&[(said(0, tokens), by(counted, 1))]);
            assert_eq!(finding.is_right(), is_right, "{tokens} of {counted}");
            let owed = finding.most.tokens_out.min(tokens);
            assert_eq!(owed, if is_right { tokens } else { counted }, "{tokens} of {counted}");
        }
    }

    #[test]
    fn tokens_that_are_not_what_was_shown_are_worth_what_was_shown() {
        let made_up = RecountedAnswer { is_as_shown: false, ..by(90, 30) };
        let good = by(50, 50);
        let all = [(said(0, 52), good), (said(1, 90), made_up)];
        let finding = Terms::of(&chat(|_| ()), true).output(&all);
        assert_eq!((finding.most.tokens_out, finding.input.as_ref()), (52 + 30, None));
        assert!(finding.output.is_some_and(|text| text.contains("answer 1")));
        assert!(!Terms::of(&completion(), false).output(&all).is_right());
    }

    #[test]
    fn with_a_template_of_its_own_a_worker_is_held_to_what_was_shown() {
        let unknown = Terms::of(&chat(|_| ()), false);
        let read_otherwise = RecountedAnswer { is_as_shown: false, ..by(300, 100) };
        assert!(unknown.output(&[(said(0, 278), read_otherwise)]).is_right());
        assert!(!unknown.output(&[(said(0, 279), read_otherwise)]).is_right());
        let calls = Billed { tool_calls: 1, ..said(0, 279) };
        assert!(unknown.output(&[(calls, read_otherwise)]).is_right(), "a call has its own marks");
    }

    #[test]
    fn what_the_client_itself_bends_is_held_to_the_text_alone() {
        for task in [
            chat(|chat| chat.decoding.ignore_eos = true),
            chat(|chat| chat.decoding.sampling.logit_bias = [(7, 5.0)].into()),
        ] {
            let terms = Terms::of(&task, true);
            assert!(terms.output(&[(said(0, 500), by(9, 9))]).is_right());
            let made_up = RecountedAnswer { is_as_shown: false, ..by(9, 9) };
            assert!(!terms.output(&[(said(0, 500), made_up)]).is_right());
        }
    }
}
