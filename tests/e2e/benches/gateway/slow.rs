//! Sockets that trickle their headers, and what they do to others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chainference_testkit::bench::quantile;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::client::Connection;
use crate::target::Target;
use crate::workload::{Failed, Kind, Size};

const SOCKETS: usize = 500;
/// Between two bytes of one.
const TRICKLE: Duration = Duration::from_millis(200);
/// Who asks meanwhile.
const CONNECTIONS: usize = 4;
/// They take longer than a slow socket's pause, so that each of those has its say.
const CALLS: usize = 3_000;
/// Each with and without.
const TIMES: usize = 4;

/// The p99 of others' calls, in ms.
pub struct Slow {
    pub without_ms: f64,
    pub with_ms: f64,
}

impl Slow {
    pub async fn measure(target: &Target) -> Result<Self, Failed> {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        ask(target).await?;
        for _ in 0..TIMES {
            without.extend(ask(target).await?);
            let crowd = Crowd::gather(target.address)?;
            with.extend(ask(target).await?);
            crowd.leave();
        }
        let p99 = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            quantile(&all, 0.99)
        };
        Ok(Self { without_ms: p99(without), with_ms: p99(with) })
    }

    pub fn ratio(&self) -> f64 {
        self.with_ms / self.without_ms
    }

    pub fn json(&self) -> Value {
        json!({
            "sockets": SOCKETS,
            "p99_ms_without": self.without_ms,
            "p99_ms_with": self.with_ms,
            "ratio": self.ratio(),
        })
    }

    pub fn sentence(&self) -> String {
        format!(
            "With {SOCKETS} sockets that trickle their headers beside them, the p99 of {CONNECTIONS} clients' calls was {:.2} ms; without, {:.2} ms: {:.2} ×.",
            self.with_ms,
            self.without_ms,
            self.ratio()
        )
    }
}

async fn ask(target: &Target) -> Result<Vec<f64>, Failed> {
    let request: Arc<[u8]> = target.request(Kind::Whole, Size::Kb1).into();
    let asking = [(); CONNECTIONS].map(|()| {
        let (mut connection, request) = (Connection::new(target.address), Arc::clone(&request));
        tokio::spawn(async move {
            let mut took = Vec::new();
            for _ in 0..CALLS {
                took.push(connection.ask(&request).await?.whole.as_secs_f64() * 1e3);
            }
            Ok::<_, Failed>(took)
        })
    });
    let mut all = Vec::new();
    for asked in asking {
        all.extend(asked.await??);
    }
    Ok(all)
}

/// All the slow sockets, on a thread of their own.
struct Crowd(CancellationToken, std::thread::JoinHandle<()>);

impl Crowd {
    /// Returns once all are connected.
    fn gather(address: SocketAddr) -> Result<Self, Failed> {
        let (leave, there) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (left, counted) = (leave.clone(), Arc::clone(&there));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                for number in 0..SOCKETS {
                    let first = TRICKLE * number as u32 / SOCKETS as u32;
                    tokio::spawn(trickle(address, first, Arc::clone(&counted)));
                }
                left.cancelled().await;
            });
        });
        for _ in 0..500 {
            if there.load(Ordering::Relaxed) == SOCKETS {
                return Ok(Self(leave, thread));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        leave.cancel();
        Err("not all slow sockets could connect".into())
    }

    fn leave(self) {
        self.0.cancel();
        self.1.join().ok();
    }
}

/// The first byte comes after a while that is each socket's own: they are strangers to each other.
async fn trickle(
    address: SocketAddr,
    first: Duration,
    there: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-slow: ").await?;
    there.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(first).await;
    loop {
        tokio::time::sleep(TRICKLE).await;
        stream.write_all(b"a").await?;
    }
}
