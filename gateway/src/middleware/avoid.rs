//! `x-chainference-avoid`: workers that a request may not go to. A second answer to one prompt comes from another
//! worker so, and the two can be compared.

use axum::{
    extract::{Extension, Request},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use chainference_chain::Pubkey;

use crate::{access::Caller, limits, openai::ApiError};

const HEADER: &str = "x-chainference-avoid";

pub async fn read(
    Extension(caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    match avoided(request.headers()) {
        Some(workers) if workers.is_empty() => next.run(request).await,
        Some(workers) => {
            request.extensions_mut().insert(caller.avoiding(workers));
            next.run(request).await
        }
        None => {
            let most = limits::AVOIDED_MAX;
            let message = format!("'{HEADER}' must hold up to {most} addresses of workers.");
            ApiError::invalid(message).code("invalid_value").param(HEADER).into_response()
        }
    }
}

/// `None` where it says nothing that can be understood.
fn avoided(headers: &HeaderMap) -> Option<Vec<Pubkey>> {
    let mut workers = Vec::new();
    for value in headers.get_all(HEADER) {
        for address in value.to_str().ok()?.split(',') {
            workers.push(address.trim().parse().ok()?);
        }
    }
    (workers.len() <= limits::AVOIDED_MAX).then_some(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_one_header_or_several_and_nothing_else_does() {
        let (a, b) = (Pubkey::new_unique(), Pubkey::new_unique());
        let many = vec![a.to_string(); limits::AVOIDED_MAX + 1].join(",");
        for (values, expected) in [
            (vec![], Some(vec![])),
            (vec![a.to_string()], Some(vec![a])),
            (vec![format!("{a}, {b}")], Some(vec![a, b])),
            (vec![a.to_string(), b.to_string()], Some(vec![a, b])),
            (vec!["worker".to_owned()], None),
            (vec![String::new()], None),
            (vec![many], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(HEADER, value.parse().unwrap());
            }
            assert_eq!(avoided(&headers), expected, "{values:?}");
        }
    }
}
