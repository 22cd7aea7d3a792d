//! Whether a model thinks or answers, by the marks that its template puts around thoughts.

/// Follows one answer.
#[derive(Clone, Default)]
pub struct Thinking {
    start: String,
    ends: Vec<String>,
    is_inside: bool,
    /// The end of the text, which may be the beginning of a mark.
    tail: String,
}

impl Thinking {
    /// Without marks there are no thoughts to be told apart.
    pub fn new(start: &str, ends: &[String]) -> Self {
        let ends: Vec<String> = ends.iter().filter(|end| !end.is_empty()).cloned().collect();
        let start = if ends.is_empty() { "" } else { start };
        Self { start: start.to_owned(), ends, is_inside: false, tail: String::new() }
    }

    pub fn is_inside(&self) -> bool {
        self.is_inside
    }

    pub fn push(&mut self, piece: &str) {
        if self.start.is_empty() {
            return;
        }
        self.tail.push_str(piece);
        while let Some(end) = self.next_mark() {
            self.tail.drain(..end);
            self.is_inside = !self.is_inside;
        }
        let longest = self.ends.iter().chain([&self.start]).map(String::len).max().unwrap_or(0);
        let mut cut = self.tail.len().saturating_sub(longest.saturating_sub(1));
        while !self.tail.is_char_boundary(cut) {
            cut -= 1;
        }
        self.tail.drain(..cut);
    }

    /// Where the next mark ends that changes anything.
    fn next_mark(&self) -> Option<usize> {
        let end_of = |mark: &String| self.tail.find(mark.as_str()).map(|at| at + mark.len());
        if self.is_inside { self.ends.iter().filter_map(end_of).min() } else { end_of(&self.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&str]) -> Vec<bool> {
        let mut thinking = Thinking::new("<think>", &["</think>".to_owned(), "[END]".to_owned()]);
        pieces
            .iter()
            .map(|piece| {
                thinking.push(piece);
                thinking.is_inside()
            })
            .collect()
    }

    #[test]
    fn thoughts_are_what_stands_between_the_marks_however_they_are_cut() {
        assert_eq!(
            run(&["a <th", "ink> b", " </thi", "nk>", " c"]),
            [false, true, true, false, false]
        );
        assert_eq!(run(&["<think>a</think>b"]), [false]);
        assert_eq!(
            run(&["<think>", "ä[EN", "D]", "</think>", "<think>"]),
            [true, true, false, false, true]
        );
        assert_eq!(run(&["no", " </think>"]), [false, false]);
    }

    #[test]
    fn without_marks_nothing_is_a_thought() {
        let mut thinking = Thinking::new("<think>", &[String::new()]);
        thinking.push("<think>");
        assert!(!thinking.is_inside());
    }
}
