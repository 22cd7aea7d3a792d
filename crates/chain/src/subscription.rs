//! One websocket for all signatures that somebody waits for. It is opened at the first wait and again after it
//! broke; whoever waits polls meanwhile, so that a broken socket costs time and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use solana_commitment_config::CommitmentConfig;
use solana_pubsub_client::nonblocking::pubsub_client::PubsubClient;
use solana_rpc_client_api::config::RpcSignatureSubscribeConfig;
use solana_rpc_client_api::response::RpcSignatureResult;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use crate::Signature;

/// How long the node may take to open the socket and to take a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct Subscriptions {
    urls: Arc<[String]>,
    /// Which of them is tried next.
    at: Arc<AtomicUsize>,
    socket: Arc<Mutex<Option<Arc<PubsubClient>>>>,
}

/// What the node said of a signature that was waited for: the transaction's error, if it failed.
pub(crate) type Landed = Option<String>;

impl Subscriptions {
    pub fn new(urls: Vec<String>) -> Self {
        Self { urls: urls.into(), at: Arc::default(), socket: Arc::default() }
    }

    /// A channel that yields once the transaction has landed. It closes without a word where the
    /// subscription can't be had or broke. Returns when the node has taken the subscription.
    pub async fn landed(
        &self,
        signature: Signature,
        commitment: CommitmentConfig,
    ) -> oneshot::Receiver<Landed> {
        let (sender, receiver) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let subscriptions = self.clone();
        tokio::spawn(
            async move { subscriptions.watch(signature, commitment, ready, sender).await },
        );
        let _ = timeout(SUBSCRIBE_TIMEOUT, is_ready).await;
        receiver
    }

    /// Ends when the transaction landed, the socket broke, or nobody waits any more.
    async fn watch(
        &self,
        signature: Signature,
        commitment: CommitmentConfig,
        ready: oneshot::Sender<()>,
        mut sender: oneshot::Sender<Landed>,
    ) {
        let Some(socket) = self.connect().await else { return };
        let config = RpcSignatureSubscribeConfig {
            commitment: Some(commitment),
            enable_received_notification: Some(false),
        };
        let subscribed =
            timeout(SUBSCRIBE_TIMEOUT, socket.signature_subscribe(&signature, Some(config))).await;
        let Ok(Ok((mut stream, unsubscribe))) = subscribed else {
            self.forget(&socket).await;
            return;
        };
        let _ = ready.send(());
        tokio::select! {
            message = stream.next() => match message.map(|message| message.value) {
                Some(RpcSignatureResult::ProcessedSignature(result)) => {
                    let _ = sender.send(result.err.map(|error| error.to_string()));
                }
                Some(RpcSignatureResult::ReceivedSignature(_)) => {}
                None => self.forget(&socket).await,
            },
            () = sender.closed() => unsubscribe().await,
        }
    }

    async fn connect(&self) -> Option<Arc<PubsubClient>> {
        let mut socket = self.socket.lock().await;
        if socket.is_none() {
            let at = self.at.load(Ordering::Relaxed).checked_rem(self.urls.len())?;
            let url = self.urls.get(at)?;
            match timeout(SUBSCRIBE_TIMEOUT, PubsubClient::new(url)).await {
                Ok(Ok(client)) => *socket = Some(Arc::new(client)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, url, "no websocket to the chain, polling")
                }
                Err(_) => tracing::debug!(url, "the chain's websocket does not answer, polling"),
            }
            if socket.is_none() {
                self.at.fetch_add(1, Ordering::Relaxed);
            }
        }
        socket.clone()
    }

    /// Drops a socket that broke, unless somebody has already opened another.
    async fn forget(&self, broken: &Arc<PubsubClient>) {
        let mut socket = self.socket.lock().await;
        if socket.as_ref().is_some_and(|current| Arc::ptr_eq(current, broken)) {
            self.at.fetch_add(1, Ordering::Relaxed);
            *socket = None;
        }
    }
}
