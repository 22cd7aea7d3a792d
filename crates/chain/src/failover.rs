//! Several nodes as one: the first that is well answers. A node that can't be reached, or says that it is
//! behind, is left alone for a while; where all are, all are asked all the same.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use solana_rpc_client::http_sender::HttpSender;
use solana_rpc_client::rpc_sender::{RpcSender, RpcTransportStats};
use solana_rpc_client_api::client_error::{Error as RpcError, ErrorKind, Result as RpcResult};
use solana_rpc_client_api::custom_error::JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY;
use solana_rpc_client_api::request::{RpcError as NodeError, RpcRequest};
use tokio::time::Instant;

/// How long a node may take to answer one request, where it is the only one …
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// … and where another can be asked instead.
const REQUEST_TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(4);
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(1);
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

pub(crate) struct Failover {
    nodes: Vec<HttpSender>,
    health: Mutex<Vec<Health>>,
    began: Instant,
}

/// What a node has shown lately.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    failures: u32,
    /// Left alone until then.
    until: Duration,
}

impl Failover {
    pub fn new(urls: &[String]) -> Self {
        let timeout = if urls.len() > 1 { REQUEST_TIMEOUT_OF_SEVERAL } else { REQUEST_TIMEOUT };
        let node = |url| HttpSender::new_with_timeout(url, timeout);
        let health = Mutex::new(vec![Health::default(); urls.len()]);
        Self { nodes: urls.iter().map(node).collect(), health, began: Instant::now() }
    }

    fn health(&self) -> MutexGuard<'_, Vec<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, node: usize, failed: bool) {
        let now = self.began.elapsed();
        let Some(health) = self.health().get_mut(node).map(|health| {
            *health = if failed { health.failed(now) } else { Health::default() };
            *health
        }) else {
            return;
        };
        if failed && self.nodes.len() > 1 {
            let url = self.nodes.get(node).map(RpcSender::url);
            tracing::debug!(?url, failures = health.failures, "a node is left alone");
        }
    }
}

#[async_trait]
impl RpcSender for Failover {
    async fn send(
        &self,
        request: RpcRequest,
        params: serde_json::Value,
    ) -> RpcResult<serde_json::Value> {
        let began = self.began.elapsed();
        let order = order(&self.health(), began);
        let mut last = None;
        // What was lost on the way is asked for once more, unless it took long to be missed.
        let is_soon = |at: &(usize, bool)| !at.1 || self.began.elapsed() - began < ASK_AGAIN_WITHIN;
        let twice = order.iter().map(|at| (*at, false)).chain(order.iter().map(|at| (*at, true)));
        for (at, _) in twice.take_while(is_soon) {
            let Some(node) = self.nodes.get(at) else { continue };
            match node.send(request, params.clone()).await {
                Err(error) if is_the_nodes(&error) => {
                    self.note(at, true);
                    last = Some(error);
                }
                answer => {
                    self.note(at, false);
                    return answer;
                }
            }
        }
        let nobody = || NodeError::RpcRequestError("no node is named".to_owned()).into();
        Err(last.unwrap_or_else(nobody))
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        self.nodes.iter().map(RpcSender::url).collect::<Vec<_>>().join(", ")
    }
}

impl Health {
    fn failed(self, now: Duration) -> Self {
        let rest = FIRST_REST * (1 << self.failures.min(5));
        Self { failures: self.failures.saturating_add(1), until: now + rest.min(LONGEST_REST) }
    }
}

/// Which nodes to ask, best first: the well in the order in which they are named, then those that will be
/// asked again soonest.
fn order(health: &[Health], now: Duration) -> Vec<usize> {
    let mut order: Vec<_> = (0..health.len()).collect();
    let rest = |at: &usize| health.get(*at).map(|health| health.until.saturating_sub(now));
    order.sort_by_key(rest);
    order
}

/// Whether another node may do better: this one is away, overloaded, or behind its cluster.
fn is_the_nodes(error: &RpcError) -> bool {
    match error.kind() {
        ErrorKind::Io(_) | ErrorKind::Reqwest(_) | ErrorKind::Middleware(_) => true,
        ErrorKind::RpcError(NodeError::RpcResponseError { code, .. }) => {
            *code == JSON_RPC_SERVER_ERROR_NODE_UNHEALTHY
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_node_that_is_well_is_asked_first() {
        let well = Health::default();
        let ill = well.failed(at(10));
        for (health, now, asked) in [
            ([well, well, well], 10, [0, 1, 2]),
            ([ill, well, well], 10, [1, 2, 0]),
            ([ill, well, well], 11, [0, 1, 2]),
            ([ill.failed(at(10)), ill, ill], 10, [1, 2, 0]),
        ] {
            assert_eq!(order(&health, at(now)), asked, "{health:?}");
        }
    }

    #[test]
    fn each_failure_in_a_row_doubles_the_rest() {
        let mut health = Health::default();
        for rest in [1, 2, 4, 8, 16, 30, 30] {
            health = health.failed(at(100));
            assert_eq!(health.until, at(100 + rest));
        }
    }

    #[tokio::test]
    async fn a_node_that_is_away_costs_its_request_nothing() {
        // Nothing listens on the first; the second answers whatever is asked.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 4_096];
                let _ = stream.read(&mut buffer).await;
                let body = r#"{"jsonrpc":"2.0","id":0,"result":7}"#;
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
                let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let both = Failover::new(&["http://127.0.0.1:1".to_owned(), url]);
        for _ in 0..2 {
            let slot = both.send(RpcRequest::GetSlot, serde_json::json!([])).await.unwrap();
            assert_eq!(slot, 7);
        }
        assert!(both.health()[0].failures > 0 && both.health()[1].failures == 0);
    }
}
