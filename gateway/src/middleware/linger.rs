//! A request may be answered before its body has been read: without a key, say, or where it is too large. A client that
//! is cut off while it sends may never read why. So what is still on its way is taken for a while, and thrown away.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use tokio::{runtime::Handle, time::timeout};

use crate::limits;

pub async fn over_the_rest(request: Request, next: Next) -> Response {
    next.run(request.map(|body| Body::new(Lingering(body)))).await
}

/// A body whose rest is read when nobody wants it any more.
struct Lingering(Body);

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if !self.0.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(discard(std::mem::take(&mut self.0)));
        }
    }
}

async fn discard(body: Body) {
    let mut rest = Limited::new(body, limits::LINGER_BYTES_MAX);
    let all = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Whoever sends more, or longer, is cut off.
    let _ = timeout(limits::LINGER_DEADLINE, all).await;
}
