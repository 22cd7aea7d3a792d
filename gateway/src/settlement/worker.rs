//! The gateway's side of the wire to a worker: quotes, calls, vouchers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chainference_chain::{JobTerms, Keypair, Quote, QuoteRequest};
use chainference_protocol::{
    ErrorCode, Frame, FrameOpener, SealedCall, SignedVoucher, WireError, WireErrorBody,
};
use futures_util::{StreamExt, stream::BoxStream};
use reqwest::{Response, redirect::Policy};
use serde::Serialize;

use super::{CallError, sse::EventReader};
use crate::{limits, routing::egress::PublicOnly};

/// Speaks to workers. Cheap to clone; connections are kept and shared.
#[derive(Clone, Debug)]
pub struct Workers {
    http: reqwest::Client,
}

impl Workers {
    /// # Errors
    /// Where the HTTP client can't be set up.
    pub fn new(allow_private: bool) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            // A redirect could lead anywhere: the address on chain is the only one that counts.
            .redirect(Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(limits::WORKER_CONNECT_DEADLINE);
        if !allow_private {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Self { http: builder.build()? })
    }

    /// The worker's signature on these terms, asked for with their authority's own.
    pub async fn quote(
        &self,
        endpoint: &str,
        terms: &JobTerms,
        authority: &Keypair,
    ) -> Result<Quote, CallError> {
        let request = QuoteRequest::sign(terms.clone(), authority);
        let response =
            self.post(endpoint, "/v1/quotes", &request, limits::WORKER_REPLY_DEADLINE).await?;
        let bytes = response.bytes().await.map_err(unreachable)?;
        serde_json::from_slice(&bytes).map_err(|error| CallError::Protocol(error.to_string()))
    }

    /// Sends a voucher; it must be in the ledger already.
    pub async fn vouch(&self, endpoint: &str, voucher: &SignedVoucher) -> Result<(), CallError> {
        self.post(endpoint, "/v1/vouchers", voucher, limits::WORKER_REPLY_DEADLINE).await?;
        Ok(())
    }

    /// Sends a sealed call; the frames of its answer follow as they come.
    pub async fn call(
        &self,
        endpoint: &str,
        sealed: &SealedCall,
        opener: FrameOpener,
        deadline: Duration,
    ) -> Result<Frames, CallError> {
        let request = self.http.post(format!("{endpoint}/v1/calls")).json(sealed).send();
        let sent = tokio::time::timeout(deadline, request).await;
        let response = sent.map_err(|_| CallError::FirstTokenLate)?.map_err(unreachable)?;
        Ok(Frames::new(checked(response).await?, opener))
    }

    async fn post<T: Serialize>(
        &self,
        endpoint: &str,
        path: &str,
        body: &T,
        deadline: Duration,
    ) -> Result<Response, CallError> {
        let request = self.http.post(format!("{endpoint}{path}")).timeout(deadline).json(body);
        match checked(request.send().await.map_err(unreachable)?).await {
            // What we made ourselves is not for the client to mend.
            Err(CallError::Worker(WireError { code: ErrorCode::InvalidRequest, message })) => {
                Err(CallError::Protocol(message))
            }
            answer => answer,
        }
    }
}

/// The frames of one answer, opened in order.
pub struct Frames {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    events: EventReader,
    opener: FrameOpener,
    before: [u8; 32],
}

impl Frames {
    pub(super) fn new(response: Response, opener: FrameOpener) -> Self {
        Self {
            chunks: response.bytes_stream().boxed(),
            events: EventReader::new(limits::FRAME_BYTES_MAX),
            before: opener.digest(),
            opener,
        }
    }

    /// The next frame. A stream that ends before the answer does is an error.
    pub async fn next(&mut self) -> Result<Frame, CallError> {
        let data = loop {
            if let Some(data) = self.events.pop() {
                break data;
            }
            let chunk = match self.chunks.next().await {
                Some(chunk) => chunk.map_err(unreachable)?,
                None => return Err(CallError::Unreachable("the answer broke off".into())),
            };
            let taken = self.events.take(&chunk);
            taken.map_err(|error| CallError::Protocol(error.to_string()))?;
        };
        self.before = self.opener.digest();
        match self.opener.open(&data) {
            Ok(Frame::Error { code, message }) => {
                Err(CallError::Worker(WireError { code, message }))
            }
            Ok(frame) => Ok(frame),
            Err(error) => Err(CallError::Protocol(error.to_string())),
        }
    }

    /// Hears out what follows the last frame, which is no more than its end: only then its connection serves another call.
    pub async fn hear_out(mut self) {
        let end = async { while let Some(Ok(_)) = self.chunks.next().await {} };
        let _ = tokio::time::timeout(limits::HEAR_OUT_DEADLINE, end).await;
    }

    /// Digest of the frames before the last one: what a receipt in it is about.
    pub fn digest_before(&self) -> [u8; 32] {
        self.before
    }
}

/// The response of a success; a worker's own words for what is not.
async fn checked(response: Response) -> Result<Response, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = read_bounded(response).await;
    let client_error = status == reqwest::StatusCode::BAD_REQUEST;
    let refusal = match serde_json::from_slice::<WireErrorBody>(&body) {
        // Only this status says that the request itself is at fault.
        Ok(WireErrorBody { error: WireError { code: ErrorCode::InvalidRequest, message } })
            if !client_error =>
        {
            WireError { code: ErrorCode::Internal, message }
        }
        Ok(body) => body.error,
        Err(_) => WireError {
            code: ErrorCode::Internal,
            message: format!("the worker answered {status}"),
        },
    };
    Err(CallError::Worker(refusal))
}

async fn read_bounded(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > limits::FRAME_BYTES_MAX {
                break;
            }
        }
    };
    // What has come by then is what there is.
    let _ = tokio::time::timeout(limits::WORKER_REPLY_DEADLINE, read).await;
    body
}

fn unreachable(error: reqwest::Error) -> CallError {
    // The address stands in the log beside it; without it the error says more in less.
    CallError::Unreachable(describe(&error.without_url()))
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
