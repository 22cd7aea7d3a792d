//! Stop strings: the text before the first one, never a part of one.

/// Watches a stream of text for stop strings and holds back what may still become one.
#[derive(Debug)]
pub(super) struct StopWatch {
    stops: Vec<String>,
    held: String,
    /// Which of them came.
    found: Option<usize>,
}

/// What a piece of text made certain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Text that can be shown now.
    pub text: String,
    /// A stop string came: this text is the last.
    pub stopped: bool,
}

impl StopWatch {
    /// `stops` must not be empty strings.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new(), found: None }
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, piece: &str) -> Passed {
        self.held.push_str(piece);
        if let Some((start, which)) = self.first_stop() {
            self.found = Some(which);
            self.held.truncate(start);
            return Passed { text: std::mem::take(&mut self.held), stopped: true };
        }
        let text = self.held.drain(..self.held.len() - self.undecided()).collect();
        Passed { text, stopped: false }
    }

    /// The stop string that came.
    pub fn found(&self) -> Option<&str> {
        self.stops.get(self.found?).map(String::as_str)
    }

    /// The rest, when the stream ended without a stop string.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string begins that is complete first, and which it is; that choice doesn't depend on how the
    /// text was cut into pieces.
    fn first_stop(&self) -> Option<(usize, usize)> {
        let matches = self.stops.iter().enumerate().filter_map(|(which, stop)| {
            let start = self.held.find(stop)?;
            Some((start + stop.len(), start, which))
        });
        matches.min().map(|(_, start, which)| (start, which))
    }

    /// Bytes at the end that are the beginning of some stop string.
    fn undecided(&self) -> usize {
        let longest = |stop: &String| {
            let mut ends = stop.char_indices().map(|(at, _)| at).rev();
            ends.find(|&end| self.held.ends_with(&stop[..end])).unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut watch = StopWatch::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let mut shown = Vec::new();
        for piece in pieces {
            let passed = watch.push(piece);
            shown.push(passed.text);
            if passed.stopped {
                return (shown, true);
            }
        }
        shown.push(watch.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_string_cut_in_pieces_is_never_shown_in_part() {
        assert_eq!(
            run(&["STOP"], &["one S", "TO", "P two"]),
            (vec!["one ".into(), "".into(), "".into()], true)
        );
    }

    #[test]
    fn what_turns_out_to_be_no_stop_string_is_shown_late_but_whole() {
        assert_eq!(
            run(&["STOP"], &["a ST", "ART"]),
            (vec!["a ".into(), "START".into(), "".into()], false)
        );
        assert_eq!(run(&["STOP"], &["a ST"]), (vec!["a ".into(), "ST".into()], false));
    }

    #[test]
    fn the_first_complete_one_of_several_counts() {
        assert_eq!(run(&["abcd", "c"], &["abcd"]), (vec!["ab".into()], true));
        assert_eq!(run(&["abcd", "c"], &["ab", "cd"]), (vec!["".into(), "ab".into()], true));
        assert_eq!(run(&["bc", "abc"], &["abc"]), (vec!["".into()], true));
    }

    #[test]
    fn a_repeated_beginning_is_found() {
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]).0.concat(), "a");
        assert_eq!(run(&["ää!"], &["ä", "ä", "ä", "!"]).0.concat(), "ä");
    }

    proptest! {
        /// However the text is cut: shown is what stands before the stop string that is complete
        /// first.
        #[test]
        fn shown_text_is_the_text_before_the_first_stop(
            text in "[abä]{0,24}",
            stops in prop::collection::vec("[abä]{1,4}", 0..4),
            cuts in prop::collection::vec(0..24usize, 0..8),
        ) {
            let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
            let expected = ends
                .filter_map(|end| {
                    let start = |stop: &String| text[..end].ends_with(stop.as_str()).then(|| end - stop.len());
                    stops.iter().filter_map(start).min()
                })
                .next();

            let chars: Vec<char> = text.chars().collect();
            let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (chars.len() + 1)).collect();
            bounds.extend([0, chars.len()]);
            bounds.sort_unstable();
            let pieces: Vec<String> = bounds.windows(2).map(|w| chars[w[0]..w[1]].iter().collect()).collect();

            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let (shown, stopped) = run(&stops, &pieces.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(stopped, expected.is_some());
            prop_assert_eq!(shown.concat(), &text[..expected.unwrap_or(text.len())]);
        }
    }
}
