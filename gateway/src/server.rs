//! Serving connections: axum on hyper-util, since `axum::serve` bounds no header read.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request};
use chainference_serving::{Connections, Visit};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{limits, stalled::Patient};

/// Serves until `shutdown`, then lets running requests end within [`limits::DRAIN_DEADLINE`].
///
/// Of more than `connections_max` connections the one that has asked for nothing for longest ends:
/// sockets that trickle their headers keep nobody out.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let server = builder();
    let connections = Connections::new(connections_max);
    loop {
        let accepted = async {
            let accepted = listener.accept().await;
            (accepted, connections.enter().await)
        };
        let (accepted, visit) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => spawn(&server, &graceful, stream, peer, router.clone(), visit),
            Err(error) => {
                // Out of file descriptors, usually: some will be free again shortly.
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits::DRAIN_DEADLINE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were cut: they did not end in time");
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits::HEADERS_DEADLINE);
    server
}

fn spawn(
    server: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    visit: Visit,
) {
    // Each token is its own small packet; none waits for the next.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let ours = visit.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        // A whole request: its connection's place is safe until the answer has ended.
        let busy = ours.busy();
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { answer.await.map(|response| response.map(|body| busy.with(body))) }
    });
    let stream = TokioIo::new(Patient::new(stream, limits::CLIENT_STALL_DEADLINE));
    let connection = server.serve_connection_with_upgrades(stream, service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Some(Err(error)) = visit.until_evicted(connection).await {
            tracing::debug!(%peer, %error, "connection ended early");
        }
    });
}
