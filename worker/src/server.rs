//! The HTTP server: hyper with the deadlines that `axum::serve` doesn't set, and a bound on connections
//! that slow ones can't use up.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use chainference_serving::Connections;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) use chainference_serving::Visit;

/// A client that trickles its headers, or sends nothing, holds a connection no longer than this.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once. One more takes the place of the one that has asked for nothing for longest.
const CONNECTIONS_MAX: usize = 1_024;
/// After a failed accept (no file descriptors left), so long until the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets open requests end for up to `drain`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let connections = Connections::new(CONNECTIONS_MAX);
    loop {
        let accepted = async {
            let accepted = listener.accept().await;
            (accepted, connections.enter().await)
        };
        let (accepted, visit) = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Frames are small and each must leave at once.
        stream.set_nodelay(true).ok();
        let (router, ours) = (router.clone(), visit.clone());
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ours.clone());
            router.clone().oneshot(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Some(Err(error)) = visit.until_evicted(connection).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open at the end of the drain");
    }
}
