//! What a request holds is held by its response's body. Where the connection becomes a WebSocket,
//! that body ends at once: it is handed to whoever serves the socket.

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use tokio::sync::mpsc::UnboundedSender;

/// Where the body of an upgrade's answer goes; an extension of that answer.
#[derive(Clone)]
pub struct Heir(pub UnboundedSender<Body>);

pub async fn hand_over(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(Heir(heir)) = response.extensions_mut().remove::<Heir>() else { return response };
    response.map(|body| {
        // Whoever is gone holds nothing any more.
        let _ = heir.send(body);
        Body::empty()
    })
}
