//! One websocket for all signatures and accounts that somebody waits for. It is opened at the first wait and
//! again after it broke; whoever waits polls meanwhile, so that a broken socket costs time and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use solana_commitment_config::CommitmentConfig;
use solana_pubsub_client::nonblocking::pubsub_client::PubsubClient;
use solana_rpc_client_api::config::{RpcProgramAccountsConfig, RpcSignatureSubscribeConfig};
use solana_rpc_client_api::response::RpcSignatureResult;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::{PROGRAM_ID, Signature};

/// How long the node may take to open the socket and to take a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long nobody asks again for a subscription that was refused or broke.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Subscriptions {
    urls: Arc<[String]>,
    /// Which of them is tried next.
    at: Arc<AtomicUsize>,
    socket: Arc<Mutex<Option<Arc<PubsubClient>>>>,
}

/// What the node said of a signature that was waited for: the transaction's error, if it failed.
pub(crate) type Landed = Option<String>;

/// Tells that accounts have changed, as soon as the node says so. It may tell too seldom (the socket is away)
/// and too often: whoever is told looks for himself.
#[derive(Debug)]
pub struct Changes(mpsc::Receiver<()>);

impl Changes {
    /// Waits for the next change; several at once are one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

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

    /// Watches the program's accounts that pass the filters, until nobody listens any more.
    pub fn changes(&self, config: RpcProgramAccountsConfig) -> Changes {
        let (sender, receiver) = mpsc::channel(1);
        let subscriptions = self.clone();
        tokio::spawn(async move {
            while !sender.is_closed() {
                subscriptions.follow(config.clone(), &sender).await;
                tokio::select! {
                    () = sleep(RESUBSCRIBE_AFTER) => {}
                    () = sender.closed() => return,
                }
            }
        });
        Changes(receiver)
    }

    /// Ends when the subscription broke or nobody listens any more.
    async fn follow(&self, config: RpcProgramAccountsConfig, sender: &mpsc::Sender<()>) {
        let Some(socket) = self.connect().await else { return };
        let subscribe = socket.program_subscribe(&PROGRAM_ID, Some(config));
        let Ok(Ok((mut stream, unsubscribe))) = timeout(SUBSCRIBE_TIMEOUT, subscribe).await else {
            self.forget(&socket).await;
            return;
        };
        loop {
            // Full: a change that nobody has looked at yet. The first time is for what came before.
            let _ = sender.try_send(());
            tokio::select! {
                message = stream.next() => if message.is_none() {
                    self.forget(&socket).await;
                    return;
                },
                () = sender.closed() => {
                    unsubscribe().await;
                    return;
                }
            }
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
