//! The events of a worker's answer, cut out of bytes that it may send as it likes. No clock, no I/O.

use std::collections::VecDeque;

use memchr::{memchr, memchr2};
use thiserror::Error;

/// A worker's event grew beyond all sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an event is longer than {bytes_max} bytes")]
pub struct TooLong {
    bytes_max: usize,
}

/// Cuts server-sent events into their data; names, ids and comments are passed over. Work is linear in what
/// comes, and what is held is bounded, however lines and chunks are cut.
#[derive(Debug)]
pub struct EventReader {
    bytes_max: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of an event whose end has not come, each line with a line feed behind.
    data: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
    /// The last chunk ended in the first half of what may be one line's end.
    after_return: bool,
    is_first_line: bool,
}

impl EventReader {
    /// Takes events of up to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            line: Vec::new(),
            data: Vec::new(),
            ready: VecDeque::new(),
            after_return: false,
            is_first_line: true,
        }
    }

    /// The data of the next event that has come whole.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// More bytes have come.
    ///
    /// # Errors
    /// [`TooLong`]; the stream can't be read any further.
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        let Some(first) = chunk.first() else { return Ok(()) };
        let mut rest = if self.after_return && *first == b'\n' { &chunk[1..] } else { chunk };
        self.after_return = chunk.last() == Some(&b'\r');
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let (begun, end) = rest.split_at(at);
            let end_bytes = if end.starts_with(b"\r\n") { 2 } else { 1 };
            rest = &end[end_bytes..];
            self.check(self.line.len() + begun.len())?;
            if self.line.is_empty() {
                self.line_ended(begun)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(begun);
                self.line_ended(&line)?;
            }
        }
        self.line.extend_from_slice(rest);
        self.check(self.line.len())
    }

    fn check(&self, bytes: usize) -> Result<(), TooLong> {
        let bytes_max = self.bytes_max;
        if bytes > bytes_max { Err(TooLong { bytes_max }) } else { Ok(()) }
    }

    fn line_ended(&mut self, line: &[u8]) -> Result<(), TooLong> {
        let is_first = std::mem::take(&mut self.is_first_line);
        let bom = line.strip_prefix("\u{feff}".as_bytes()).filter(|_| is_first);
        let line = bom.unwrap_or(line);
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            if data.pop().is_some() {
                self.ready.push_back(data);
            }
            return Ok(());
        }
        let colon = memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        if name == b"data" {
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            self.data.reserve(value.len() + 1);
            self.data.extend_from_slice(value);
            self.data.push(b'\n');
            self.check(self.data.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use eventsource_stream::Eventsource;
    use futures_util::{FutureExt, StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut reader = EventReader::new(64);
        for chunk in chunks {
            reader.take(chunk)?;
        }
        Ok(std::iter::from_fn(|| reader.pop()).collect())
    }

    #[test]
    fn events_are_their_data_however_lines_end_and_chunks_are_cut() {
        for (chunks, events) in [
            (&[&b"data: a\n\ndata:b\n\n"[..]][..], &["a", "b"][..]),
            (&[b"data: a\r\n\r\n", b"data\rdata: b\r\r"], &["a", "\nb"]),
            (&[b"data: a\r", b"\n\r", b"\ndata: b\n", b"\n"], &["a", "b"]),
            (&[b"event: x\nid: 1\n: words\ndata: a\ndata:  b\nretry: 9\n\n"], &["a\n b"]),
            (&[b"\n\n\ndata\n\ndatas: x\n\n"], &[""]),
            (&["\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes()], &["a"]),
            (&[b"data: cut off\n"], &[]),
        ] {
            let expected: Vec<Vec<u8>> =
                events.iter().map(|event| event.as_bytes().into()).collect();
            assert_eq!(read(chunks), Ok(expected), "{chunks:?}");
        }
    }

    #[test]
    fn what_never_ends_is_not_held() {
        let long = [b'a'; 65];
        assert!(read(&[&long]).is_err(), "a line");
        assert!(read(&[&b"data: abcdefg\n".repeat(9)]).is_err(), "an event of many short lines");
        assert!(read(&[&long[..40], &long[..40]]).is_err(), "a line in pieces");
        let mut reader = EventReader::new(64);
        for _ in 0..1_000 {
            reader.take(b": still here\n").unwrap();
        }
        assert_eq!((reader.line.len(), reader.data.len()), (0, 0), "comments are not kept");
    }

    proptest! {
        #[test]
        fn a_known_reader_finds_the_same(
            pieces in prop::collection::vec("data|: ?|[a\u{e9}]|\n|\r|\r\n|\n\n|event|id", 0..40),
            cut in 1_usize..9,
        ) {
            // Behind a return alone that other reader waits for more, and so may tell an event less.
            let text = pieces.concat() + "\n";
            let mut reader = EventReader::new(1_024);
            for chunk in text.as_bytes().chunks(cut) {
                reader.take(chunk).unwrap();
            }
            let ours = std::iter::from_fn(|| reader.pop());
            let ours: Vec<String> = ours.map(|data| String::from_utf8(data).unwrap()).collect();
            let chunks = [Ok::<_, std::convert::Infallible>(text.as_bytes())];
            let known = stream::iter(chunks).eventsource().map(|event| event.unwrap().data);
            let known: Vec<String> = known.collect().now_or_never().unwrap();
            prop_assert_eq!(ours, known);
        }
    }
}
