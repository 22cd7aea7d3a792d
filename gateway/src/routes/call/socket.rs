//! A streamed answer over a WebSocket: the first message is the request's body, each message back is
//! one chunk, and the socket closes at the end. Closing it earlier ends the call.

use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, WebSocket, close_code},
};
use tokio::time::timeout;

use super::{
    Begun, begin_sent,
    error::RouteError,
    stream::{End, Piece, Rendering, hear},
};
use crate::{access::Caller, limits, openai::Shape, state::App};

/// Serves one call on a socket, which its first message asks for.
pub async fn serve(app: App, caller: Caller, mut socket: WebSocket, shape: Shape) {
    let Some(asked) = first(&mut socket, app.body_bytes_max).await else { return };
    let code = match asked.and_then(|body| begin_sent(&app, caller, shape, body, Some(true))) {
        Ok(begun) => answer(&mut socket, begun).await,
        Err(error) => refuse(&mut socket, &error).await,
    };
    // A client that has left needs no goodbye.
    if let Some(code) = code {
        let close = CloseFrame { code, reason: "".into() };
        let _ = send(&mut socket, Message::Close(Some(close))).await;
    }
}

/// The first message; `None` where the client has left before it.
async fn first(socket: &mut WebSocket, bytes_max: usize) -> Option<Result<Bytes, RouteError>> {
    let wait = async {
        loop {
            match socket.recv().await? {
                Ok(Message::Text(text)) => return Some(Ok(Bytes::from(text))),
                Ok(Message::Binary(bytes)) => return Some(Ok(bytes)),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) => return None,
                Err(_) => return Some(Err(RouteError::BodyTooLarge { bytes_max })),
            }
        }
    };
    timeout(limits::BODY_DEADLINE, wait).await.unwrap_or(Some(Err(RouteError::BodyLate)))
}

async fn refuse(socket: &mut WebSocket, error: &RouteError) -> Option<u16> {
    let error = error.to_api();
    let code = if error.status.is_server_error() { close_code::ERROR } else { close_code::POLICY };
    send(socket, Message::Text(error.to_json().into())).await.then_some(code)
}

/// Answers until the end, and gives what to close with; `None` where the client has left, and with
/// it the call ends.
async fn answer(socket: &mut WebSocket, begun: Begun) -> Option<u16> {
    let Begun { mut answer, facts, form, .. } = begun;
    let mut rendering = Rendering::new(facts, form);
    loop {
        while let Some(piece) = rendering.pop() {
            let message = match piece {
                Piece::Event(event) if event.is_mark() => continue,
                Piece::Event(event) => Message::Text(event.data.into()),
                Piece::Silence => Message::Ping(Bytes::new()),
            };
            if !send(socket, message).await {
                return None;
            }
        }
        match rendering.end() {
            Some(End::Complete) => return Some(close_code::NORMAL),
            Some(End::Failed) => return Some(close_code::ERROR),
            None => {}
        }
        tokio::select! {
            heard = hear(&mut answer, limits::KEEP_ALIVE_INTERVAL) => rendering.take(heard),
            left = left(socket) => if left { return None; },
        }
    }
}

/// Whether what the client sends next is its end; what else it sends during an answer has no meaning.
async fn left(socket: &mut WebSocket) -> bool {
    !matches!(socket.recv().await, Some(Ok(message)) if !matches!(message, Message::Close(_)))
}

/// Whether the client took it in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(limits::CLIENT_STALL_DEADLINE, socket.send(message)).await, Ok(Ok(())))
}
