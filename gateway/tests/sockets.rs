//! Chats over a WebSocket, at a running gateway whose chain is away.

use std::{fs, net::TcpListener, time::Duration};

use chainference_chain::{Endpoints, Keypair, Signer};
use chainference_gateway::{Options, run};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::Response},
};
use tokio_util::sync::CancellationToken;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const BODY_BYTES_MAX: usize = 4_096;

struct Gateway {
    address: String,
    api_key: String,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    _home: TempDir,
}

impl Gateway {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = Keypair::new();
        let key_file = home.path().join("gateway.json");
        fs::write(&key_file, serde_json::to_string(&key.to_bytes().to_vec()).unwrap()).unwrap();
        // Nothing listens on port 1.
        let chain =
            Endpoints { rpc_url: "http://127.0.0.1:1".into(), ws_url: "ws://127.0.0.1:1".into() };
        let [api_key, ledger] = ["api-key", "ledger.sqlite"].map(|name| home.path().join(name));
        let mut options = Options::new(chain, key.pubkey(), key_file, api_key.clone(), ledger);
        options.listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        options.body_bytes_max = BODY_BYTES_MAX;
        options.concurrency_max = 1;
        let address = options.listen.to_string();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let running = tokio::spawn(async move { run(options, stop).await.unwrap() });
        while TcpStream::connect(&address).await.is_err() {
            assert!(!running.is_finished(), "the gateway did not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let api_key = fs::read_to_string(api_key).unwrap().trim().to_owned();
        Self { address, api_key, shutdown, running, _home: home }
    }

    async fn open(&self, key: &str) -> Result<Socket, Response<Option<Vec<u8>>>> {
        let url = format!("ws://{}/v1/chat/completions", self.address);
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        match connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("{error}"),
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(10), self.running).await.expect("it takes long").unwrap();
    }
}

/// Sends one message; gives the error that comes back, and the code that the socket closes with.
async fn refusal(socket: &mut Socket, message: Message) -> (Value, u16) {
    socket.send(message).await.unwrap();
    let mut error = Value::Null;
    loop {
        match socket.next().await.expect("a goodbye").unwrap() {
            Message::Text(text) => error = serde_json::from_str(&text).unwrap(),
            Message::Close(close) => return (error, close.expect("a code").code.into()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_socket_tells_an_error_and_closes() {
    let gateway = Gateway::start().await;
    let key = gateway.api_key.clone();
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "a"}]}).to_string();
    for (message, error_code, code) in [
        (Message::text("{"), "invalid_json", 1008),
        (Message::text(" ".repeat(BODY_BYTES_MAX + 1)), "request_too_large", 1008),
        (Message::text(chat.clone()), "chain_unavailable", 1011),
        (Message::binary(chat.into_bytes()), "chain_unavailable", 1011),
    ] {
        let mut socket = loop {
            // The last one's place is free again shortly after its end.
            match gateway.open(&key).await {
                Ok(socket) => break socket,
                Err(busy) => assert_eq!(busy.status().as_u16(), 429),
            }
        };
        let (error, closed) = refusal(&mut socket, message).await;
        assert_eq!((error["error"]["code"].as_str(), closed), (Some(error_code), code), "{error}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_socket_needs_the_key() {
    let gateway = Gateway::start().await;
    let refused = gateway.open("sk-cf-x").await.unwrap_err();
    assert_eq!(refused.status().as_u16(), 401);
    gateway.stop().await;
}

#[tokio::test]
async fn an_open_socket_holds_its_place_until_it_is_closed() {
    let gateway = Gateway::start().await;
    let key = gateway.api_key.clone();
    let mut first = gateway.open(&key).await.unwrap();
    let refused = gateway.open(&key).await.unwrap_err();
    assert_eq!(refused.status().as_u16(), 429);
    first.close(None).await.unwrap();
    let again = timeout(Duration::from_secs(5), async {
        while gateway.open(&key).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    again.await.expect("its place is free again");
    gateway.stop().await;
}
