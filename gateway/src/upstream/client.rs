//! The gateway's side of the wire to an upstream.

use std::{error::Error, sync::Arc, time::Duration};

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use reqwest::{
    Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    error::Trouble,
    models::{self, Listed},
    options::{SettingError, UpstreamOptions, read_key, upstream_url},
};
use crate::{limits, openai::Shape};

/// Speaks to one upstream; all share their connections.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// What it is called in answers, metrics and the log: host and port.
    pub name: Arc<str>,
    base: Url,
    models: Url,
    chat: Url,
    completions: Url,
    embeddings: Url,
    key: Option<HeaderValue>,
}

/// What all upstreams are reached through.
pub(super) fn http() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        // The operator has named an address, and it is the only one that counts.
        .redirect(Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(limits::WORKER_CONNECT_DEADLINE)
        // llama-server's and vLLM's servers hang up after five seconds.
        .pool_idle_timeout(limits::UPSTREAM_IDLE)
        .build()
}

impl Client {
    pub fn new(http: reqwest::Client, options: &UpstreamOptions) -> Result<Self, SettingError> {
        let failed = |reason| SettingError::Url { url: options.url.clone(), reason };
        let mut base = upstream_url(&options.url).map_err(failed)?;
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let to = |path| base.join(path).map_err(|error| failed(error.to_string()));
        let host = base.host_str().unwrap_or_default();
        let name = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let key = options.key_file.as_deref().map(read_key).transpose()?;
        Ok(Self {
            name: name.into(),
            models: to("models")?,
            chat: to("chat/completions")?,
            completions: to("completions")?,
            embeddings: to("embeddings")?,
            http,
            base,
            key,
        })
    }

    /// For one of several at the same host and port.
    pub fn long_name(&self) -> Arc<str> {
        format!("{}{}", self.name, self.base.path().trim_end_matches('/')).into()
    }

    /// Sends a call; the answer's body is still to come.
    pub async fn call(&self, shape: Shape, body: &Bytes, by: Instant) -> Result<Response, Trouble> {
        let url = match shape {
            Shape::Chat => &self.chat,
            Shape::Completion => &self.completions,
            Shape::Embedding => &self.embeddings,
        };
        let send = || {
            let request = self.http.post(url.clone()).body(body.clone());
            let json = HeaderValue::from_static("application/json");
            self.authorised(request).header(CONTENT_TYPE, json).send()
        };
        let late = |_| Trouble::Silent;
        let sent = match timeout_at(by, send()).await.map_err(late)? {
            // A connection that was kept may have ended meanwhile: a fresh one tells.
            Err(error) if error.is_request() && !error.is_connect() => {
                timeout_at(by, send()).await.map_err(late)?
            }
            sent => sent,
        };
        let response = sent.map_err(away)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after_s = response.headers().get(RETRY_AFTER).and_then(|value| {
            let seconds = value.to_str().ok()?.parse().ok()?;
            Some(seconds)
        });
        let body = timeout(limits::WORKER_REPLY_DEADLINE, whole(response, limits::FRAME_BYTES_MAX));
        let body = body.await.unwrap_or(Err(Trouble::Silent)).unwrap_or_default();
        Err(Trouble::answered(status, retry_after_s, &body))
    }

    /// What it lists. One that has no such list may be well all the same.
    pub async fn list(&self, deadline: Duration) -> Result<Option<Vec<Listed>>, Trouble> {
        let read = async {
            let request = self.authorised(self.http.get(self.models.clone()));
            let response = request.send().await.map_err(away)?;
            match response.status() {
                status if status.is_success() => {
                    let body = whole(response, limits::UPSTREAM_BYTES_MAX).await?;
                    let models = models::read(&body);
                    models.map(Some).map_err(|error| Trouble::Broken(error.to_string()))
                }
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
                status => Err(Trouble::answered(status, None, b"")),
            }
        };
        timeout(deadline, read).await.unwrap_or(Err(Trouble::Silent))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, key.clone()),
            None => request,
        }
    }
}

/// An answer's whole body, where it is no longer than that.
pub(super) async fn whole(mut response: Response, bytes_max: usize) -> Result<Bytes, Trouble> {
    let Some(first) = response.chunk().await.map_err(away)? else { return Ok(Bytes::new()) };
    let Some(mut next) = response.chunk().await.map_err(away)? else { return Ok(first) };
    let mut body = BytesMut::from(first);
    loop {
        if body.len().saturating_add(next.len()) > bytes_max {
            return Err(Trouble::Broken("it is too long".into()));
        }
        body.extend_from_slice(&next);
        match response.chunk().await.map_err(away)? {
            Some(chunk) => next = chunk,
            None => return Ok(body.freeze()),
        }
    }
}

/// The address stands beside it; without it the error says more in less.
pub(super) fn away(error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    Trouble::Away(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_address_and_its_name_is_host_and_port() {
        for (url, name, chat) in [
            (
                "http://127.0.0.1:8080/v1",
                "127.0.0.1:8080",
                "http://127.0.0.1:8080/v1/chat/completions",
            ),
            ("https://a.example/x/v1/", "a.example", "https://a.example/x/v1/chat/completions"),
            ("http://a:1", "a:1", "http://a:1/chat/completions"),
        ] {
            let options = UpstreamOptions { url: url.into(), ..UpstreamOptions::default() };
            let client = Client::new(http().unwrap(), &options).unwrap();
            assert_eq!((&*client.name, client.chat.as_str()), (name, chat));
        }
    }
}
