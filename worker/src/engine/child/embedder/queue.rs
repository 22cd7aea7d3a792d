//! Which texts are computed next, pure: calls take turns, so that one with a thousand texts doesn't
//! keep one with a single text waiting.

use std::collections::VecDeque;

use llama_cpp_2::token::LlamaToken;

/// One text of a call. Texts of a call are computed in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub call: u64,
    pub index: u32,
    pub tokens: Vec<LlamaToken>,
    /// What to cut the vector to.
    pub dimensions: Option<usize>,
    pub is_last: bool,
}

/// A call and the texts that are still to be taken; at least one.
#[derive(Debug)]
pub(super) struct Call {
    pub id: u64,
    pub texts: VecDeque<Text>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    calls: VecDeque<Call>,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub fn add(&mut self, call: Call) {
        if !call.texts.is_empty() {
            self.calls.push_back(call);
        }
    }

    pub fn remove(&mut self, id: u64) {
        self.calls.retain(|call| call.id != id);
    }

    /// The next batch. A text fits into a batch of its own, so there is always one if there is a
    /// call.
    pub fn take(&mut self, tokens_max: usize, texts_max: usize) -> Vec<Text> {
        let (mut taken, mut tokens, mut passed) = (Vec::new(), 0, 0);
        // Once a whole round brought nothing, nothing fits any more.
        while taken.len() < texts_max && passed < self.calls.len() {
            let Some(mut call) = self.calls.pop_front() else { break };
            let fits = |text: &mut Text| tokens + text.tokens.len() <= tokens_max;
            match call.texts.pop_front_if(fits) {
                Some(text) => {
                    tokens += text.tokens.len();
                    taken.push(text);
                    passed = 0;
                }
                None => passed += 1,
            }
            if !call.texts.is_empty() {
                self.calls.push_back(call);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: u64, lengths: &[usize]) -> Call {
        let text = |(index, &length): (usize, &usize)| Text {
            call: id,
            index: index as u32,
            tokens: vec![LlamaToken(1); length],
            dimensions: None,
            is_last: index + 1 == lengths.len(),
        };
        Call { id, texts: lengths.iter().enumerate().map(text).collect() }
    }

    fn take(queue: &mut Queue, tokens_max: usize, texts_max: usize) -> Vec<(u64, u32)> {
        queue.take(tokens_max, texts_max).iter().map(|text| (text.call, text.index)).collect()
    }

    #[test]
    fn calls_take_turns_and_each_keeps_its_order() {
        let mut queue = Queue::default();
        queue.add(call(1, &[5, 5, 5, 5]));
        queue.add(call(2, &[5]));
        queue.add(call(3, &[5, 5]));
        assert_eq!(take(&mut queue, 20, 9), [(1, 0), (2, 0), (3, 0), (1, 1)]);
        assert_eq!(take(&mut queue, 20, 2), [(3, 1), (1, 2)]);
        assert_eq!(take(&mut queue, 20, 2), [(1, 3)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_does_not_fit_waits_and_lets_shorter_ones_by() {
        let mut queue = Queue::default();
        queue.add(call(1, &[8, 20]));
        queue.add(call(2, &[2, 2, 9]));
        assert_eq!(take(&mut queue, 20, 9), [(1, 0), (2, 0), (2, 1)]);
        assert_eq!(take(&mut queue, 20, 9), [(1, 1)]);
        assert_eq!(take(&mut queue, 20, 9), [(2, 2)]);
    }

    #[test]
    fn a_cancelled_call_is_gone() {
        let mut queue = Queue::default();
        queue.add(call(1, &[1, 1]));
        queue.add(call(2, &[1]));
        queue.remove(1);
        assert_eq!(take(&mut queue, 20, 9), [(2, 0)]);
        assert!(take(&mut queue, 20, 9).is_empty());
    }
}
