//! Frames over stdin and stdout.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::{Mutex, PoisonError};

use super::super::wire::{FRAME_BYTES_MAX, Reply, Request};
use super::ChildError;

pub(super) struct Input(BufReader<io::Stdin>);

/// Shared by both threads; a frame is written whole.
pub(super) struct Output(Mutex<BufWriter<File>>);

/// Takes stdin and stdout for frames, and lets whatever else writes to stdout (a library's stray
/// print) write to stderr instead.
pub(super) fn claim() -> io::Result<(Input, Output)> {
    let stdout = File::from(nix::unistd::dup(io::stdout())?);
    nix::unistd::dup2_stdout(io::stderr())?;
    Ok((Input(BufReader::new(io::stdin())), Output(Mutex::new(BufWriter::new(stdout)))))
}

impl Input {
    /// The next request; `None` when stdin has closed.
    pub fn next(&mut self) -> Result<Option<Request>, ChildError> {
        let mut length = [0; 4];
        match self.0.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long").into());
        }
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame)?;
        Ok(Some(serde_json::from_slice(&frame)?))
    }
}

impl Output {
    /// Sends a reply now.
    pub fn send(&self, reply: &Reply) -> io::Result<()> {
        let mut stdout = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut stdout, reply)?;
        stdout.flush()
    }

    /// Sends replies together: one wake-up of the parent for all that a step brought.
    pub fn send_all(&self, replies: &[Reply]) -> io::Result<()> {
        let mut stdout = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        replies.iter().try_for_each(|reply| write(&mut stdout, reply))?;
        stdout.flush()
    }
}

fn write(stdout: &mut BufWriter<File>, reply: &Reply) -> io::Result<()> {
    let frame = serde_json::to_vec(reply)?;
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    stdout.write_all(&length.to_be_bytes())?;
    stdout.write_all(&frame)
}
