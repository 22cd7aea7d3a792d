//! A client that costs little: one connection, kept open, whose answers are read as bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::workload::Failed;

/// What every token's text has, in whatever form a gateway puts it.
const TOKEN: &[u8] = b"tok ";

pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    held: Vec<u8>,
}

/// When what came, since the request was sent.
#[derive(Debug)]
pub struct Answer {
    /// The arrival of each token.
    pub tokens: Vec<Duration>,
    pub whole: Duration,
}

/// How a body ends.
#[derive(Clone, Copy)]
enum Ends {
    AfterBytes(usize),
    WithLastChunk,
    WithConnection,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, held: Vec::with_capacity(64 * 1024) }
    }

    /// One request, and its answer to the end.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer, Failed> {
        self.ask_until(request, usize::MAX).await
    }

    /// Leaves after so many tokens.
    pub async fn ask_until(&mut self, request: &[u8], tokens: usize) -> Result<Answer, Failed> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let began = Instant::now();
        stream.write_all(request).await?;
        let (answer, keeps) = self.read(&mut stream, began, tokens).await?;
        self.stream = keeps.then_some(stream);
        Ok(answer)
    }

    async fn read(
        &mut self,
        stream: &mut TcpStream,
        began: Instant,
        tokens_most: usize,
    ) -> Result<(Answer, bool), Failed> {
        self.held.clear();
        let (mut tokens, mut seen) = (Vec::new(), 0);
        let mut head: Option<Head> = None;
        loop {
            let read = stream.read_buf(&mut self.held).await?;
            let whole = began.elapsed();
            if head.is_none() {
                head = Head::read(&self.held)?;
                seen = head.as_ref().map_or(0, |head| head.bytes);
            }
            if let Some(head) = &head {
                let found = count(&self.held, &mut seen);
                tokens.extend(std::iter::repeat_n(whole, found));
                if tokens.len() >= tokens_most {
                    return Ok((Answer { tokens, whole }, false));
                }
                if head.is_over(&self.held, read == 0) {
                    head.check(&self.held)?;
                    return Ok((Answer { tokens, whole }, head.keeps_alive));
                }
            }
            if read == 0 {
                return Err("the answer broke off".into());
            }
        }
    }
}

/// Tokens from there on; `seen` moves behind the last.
fn count(held: &[u8], seen: &mut usize) -> usize {
    let mut found = 0;
    while let Some(at) = find(&held[*seen..], TOKEN) {
        *seen += at + TOKEN.len();
        found += 1;
    }
    *seen = (*seen).max(held.len().saturating_sub(TOKEN.len() - 1));
    found
}

fn find(held: &[u8], wanted: &[u8]) -> Option<usize> {
    held.windows(wanted.len()).position(|window| window == wanted)
}

struct Head {
    bytes: usize,
    status: u16,
    ends: Ends,
    keeps_alive: bool,
}

impl Head {
    fn read(held: &[u8]) -> Result<Option<Self>, Failed> {
        let Some(end) = find(held, b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&held[..end])?.to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let header = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let ends = match header("content-length") {
            Some(length) => Ends::AfterBytes(length.parse()?),
            None if header("transfer-encoding").is_some() => Ends::WithLastChunk,
            None => Ends::WithConnection,
        };
        let keeps_alive =
            header("connection") != Some("close") && !matches!(ends, Ends::WithConnection);
        let status = status.ok_or("no status line")?;
        Ok(Some(Self { bytes: end + 4, status, ends, keeps_alive }))
    }

    fn is_over(&self, held: &[u8], is_closed: bool) -> bool {
        match self.ends {
            Ends::AfterBytes(length) => held.len() >= self.bytes + length,
            Ends::WithLastChunk => held.ends_with(b"0\r\n\r\n"),
            Ends::WithConnection => is_closed,
        }
    }

    fn check(&self, held: &[u8]) -> Result<(), Failed> {
        if self.status == 200 {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&held[self.bytes..]);
        Err(format!("{}: {body}", self.status).into())
    }
}
