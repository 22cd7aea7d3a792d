//! One answer's text: from tokens' bytes to what is shown. UTF-8 is never split, a part of a stop text
//! never shown, and what may become a tool call is held back.

use chainference_protocol::{FinishReason, TokenLogprob};
use encoding_rs::{Decoder, UTF_8};
use std::collections::VecDeque;

use super::super::stop::StopWatch;
use crate::chat::{Reader, Said};

pub(super) struct AnswerText {
    decoder: Decoder,
    stops: StopWatch,
    /// Takes the text apart; `None` shows it as it is.
    reader: Option<Reader>,
    /// Bytes that came in, and of these, those that are part of the answer for certain.
    bytes_in: usize,
    bytes_passed: usize,
    /// Of tokens whose bytes are not certain yet.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    from: usize,
    to: usize,
    logprob: TokenLogprob,
}

/// What can be shown now.
#[derive(Default)]
pub(super) struct Shown {
    pub said: Said,
    pub logprobs: Vec<TokenLogprob>,
    /// A stop text came: nothing of the answer follows but [`AnswerText::finish`].
    pub stopped: bool,
}

impl AnswerText {
    pub fn new(stops: Vec<String>, reader: Option<Reader>) -> Self {
        Self {
            decoder: UTF_8.new_decoder_without_bom_handling(),
            stops: StopWatch::new(stops),
            reader,
            bytes_in: 0,
            bytes_passed: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes a token's bytes.
    pub fn push(&mut self, bytes: &[u8], logprob: Option<TokenLogprob>) -> Shown {
        let from = self.bytes_in;
        self.bytes_in += bytes.len();
        let to = self.bytes_in;
        self.waiting.extend(logprob.map(|logprob| Waiting { from, to, logprob }));
        let text = self.decode(bytes);
        let passed = self.stops.push(&text);
        self.bytes_passed += passed.text.len();
        let said = self.say(passed.text);
        let certain = self.bytes_passed;
        let is_certain = |waiting: &Waiting| match passed.stopped {
            // A token that begins before the stop text is part of the answer.
            true => waiting.from < certain,
            false => waiting.to <= certain,
        };
        let count = self.waiting.iter().take_while(|waiting| is_certain(waiting)).count();
        let logprobs = self.waiting.drain(..count).map(|waiting| waiting.logprob).collect();
        if passed.stopped {
            self.waiting.clear();
        }
        Shown { said, logprobs, stopped: passed.stopped }
    }

    /// The rest, and why the answer ended.
    pub fn finish(&mut self, reason: FinishReason) -> (Shown, FinishReason) {
        // What looked like the beginning of a stop text was none; after a stop text nothing is held.
        let text = self.stops.finish();
        let mut said = self.say(text);
        let mut reason = reason;
        if let Some(reader) = &mut self.reader {
            let rest = reader.finish(reason == FinishReason::Length);
            said.text.push_str(&rest.text);
            said.reasoning.push_str(&rest.reasoning);
            said.tool_calls.extend(rest.tool_calls);
            if reason == FinishReason::Stop && reader.calls() > 0 {
                reason = FinishReason::ToolCalls;
            }
        }
        let logprobs = self.waiting.drain(..).map(|waiting| waiting.logprob).collect();
        (Shown { said, logprobs, stopped: false }, reason)
    }

    /// The stop text that ended the answer, if one did.
    pub fn stopped_by(&self) -> Option<String> {
        self.stops.found().map(str::to_owned)
    }

    fn say(&mut self, text: String) -> Said {
        match &mut self.reader {
            Some(_) if text.is_empty() => Said::default(),
            Some(reader) => reader.push(&text),
            None => Said { text, ..Said::default() },
        }
    }

    /// Bytes to text; a character that is cut between tokens waits in the decoder, and one that the
    /// answer ends within is dropped.
    fn decode(&mut self, bytes: &[u8]) -> String {
        let needed = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(usize::MAX);
        let mut text = String::with_capacity(needed);
        let _ = self.decoder.decode_to_string(bytes, &mut text, false);
        text
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::Candidate;

    use super::*;

    fn logprob(id: u32) -> TokenLogprob {
        let chosen = Candidate { id, bytes: Vec::new(), logprob: Some(-1.0) };
        TokenLogprob { chosen, top: Vec::new() }
    }

    /// Text and ids of the logprobs of each step, the finish last.
    fn run(stops: &[&str], tokens: &[&[u8]]) -> Vec<(String, Vec<u32>)> {
        let stops = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut text = AnswerText::new(stops, None);
        let ids = |shown: &Shown| shown.logprobs.iter().map(|token| token.chosen.id).collect();
        let mut steps = Vec::new();
        for (id, bytes) in (0..).zip(tokens) {
            let shown = text.push(bytes, Some(logprob(id)));
            steps.push((shown.said.text.clone(), ids(&shown)));
            if shown.stopped {
                break;
            }
        }
        let (shown, _) = text.finish(FinishReason::Stop);
        steps.push((shown.said.text.clone(), ids(&shown)));
        steps
    }

    fn step(text: &str, ids: &[u32]) -> (String, Vec<u32>) {
        (text.to_owned(), ids.to_vec())
    }

    #[test]
    fn a_token_is_told_of_with_its_text() {
        let euro = "€".as_bytes();
        assert_eq!(
            run(&[], &[b"a", &euro[..1], &euro[1..]]),
            [step("a", &[0]), step("", &[]), step("€", &[1, 2]), step("", &[])]
        );
    }

    #[test]
    fn tokens_of_a_stop_text_are_not_told_of() {
        assert_eq!(
            run(&["STOP"], &[b"one ", b"two S", b"TO", b"P", b"never"]),
            [step("one ", &[0]), step("two ", &[]), step("", &[]), step("", &[1]), step("", &[])]
        );
        assert_eq!(run(&["STOP"], &[b"ST"]), [step("", &[]), step("ST", &[0])]);
    }
}
