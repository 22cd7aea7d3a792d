//! The rates of the key that a request came with. Looking costs nothing: only what makes calls counts.

use axum::{
    extract::{Extension, Request},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chainference_serving::holding;

use crate::{
    access::{Caller, Place, Refusal},
    metrics,
};

pub async fn hold(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    let mut response = match enter(&caller, &request) {
        Ok(place) => next.run(request).await.map(|body| holding(body, place)),
        Err(refusal) => {
            let error = refusal.to_api();
            metrics::refused(error.code.unwrap_or_default());
            error.into_response()
        }
    };
    caller.tell(response.headers_mut());
    response
}

fn enter(caller: &Caller, request: &Request) -> Result<Option<Place>, Refusal> {
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    let counts = !looks || request.headers().contains_key(header::UPGRADE);
    if counts { caller.enter().map(Some) } else { Ok(None) }
}
