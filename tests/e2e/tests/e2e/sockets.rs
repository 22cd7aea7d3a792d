//! A chat over a WebSocket.

use chainference_e2e::{
    client::{QUESTION, chat, stream_of},
    eventually,
    market::{Market, block_on},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// Sends one request; takes at most so many chunks. Gives them, and the code of the goodbye.
async fn take(market: &Market, body: Value, most: usize) -> (Vec<Value>, Option<u16>) {
    let url = format!("{}/chat/completions", market.base_url().replace("http://", "ws://"));
    let mut request = url.into_client_request().expect("a request");
    let bearer = format!("Bearer {}", market.key()).parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = connect_async(request).await.expect("a socket");
    socket.send(Message::text(body.to_string())).await.expect("sent");
    let mut chunks = Vec::new();
    while chunks.len() < most {
        match socket.next().await.expect("a goodbye").expect("a message") {
            Message::Text(text) => chunks.push(serde_json::from_str(&text).expect("JSON")),
            Message::Close(close) => return (chunks, close.map(|close| close.code.into())),
            _ => {}
        }
    }
    socket.close(None).await.expect("closed");
    (chunks, None)
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|one| one["choices"][0]["delta"]["content"].as_str()).collect()
}

#[test]
fn a_socket_has_the_chunks_of_a_stream() {
    let market = Market::new();
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let body = chat(QUESTION, more);
    let (chunks, goodbye) = block_on(take(&market, body.clone(), usize::MAX));
    assert_eq!(goodbye, Some(1000), "{chunks:?}");
    let told = stream_of(&market, "/chat/completions", &body);
    assert_eq!((text(&chunks), chunks.len()), (text(&told), told.len()));
    assert!(text(&chunks).contains("Paris"), "{chunks:?}");
    let usage =
        |chunks: &[Value]| chunks.last().expect("chunks")["usage"]["completion_tokens"].clone();
    assert!(usage(&chunks).is_u64() && usage(&chunks) == usage(&told), "{chunks:?}");
}

#[test]
fn closing_a_socket_ends_its_call_and_pays_for_what_came() {
    let market = Market::new();
    let body =
        chat("Count from one to a thousand.", json!({"max_tokens": 1_500, "ignore_eos": true}));
    let (chunks, goodbye) = block_on(take(&market, body, 20));
    assert!(chunks.len() == 20 && goodbye.is_none(), "{chunks:?}");
    let job = eventually("the job is paid", 30, || {
        market.jobs().into_iter().find(|job| job["paid"].as_u64() > Some(0))
    });
    let out = job["tokens_out"].as_u64().expect("a count");
    assert!((19..500).contains(&out), "no more than was on its way: {job}");
}
