//! The one upstream of all gateways: a server of OpenAI's API whose answers lie ready before they are asked for.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::workload::{Kind, MODEL, PACE, TOKENS_IN};

type Body = BoxBody<Bytes, Infallible>;

/// Serves on a thread of its own until the process ends: it waits for nobody's tasks.
pub fn start() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || runtime.block_on(serve(listener)));
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else { return Ok(json(Bytes::new())) };
    let body = body.to_bytes();
    Ok(match path.as_str() {
        "/v1/chat/completions" | "/chat/completions" => match Kind::asked(&body) {
            Kind::Whole => json(whole()),
            kind => events(kind),
        },
        "/v1/models" | "/models" => json(models()),
        // What routers ask engines about themselves.
        _ => json(Bytes::from(format!(
            r#"{{"status":"ok","model_path":"{MODEL}","served_model_name":"{MODEL}","model_id":"{MODEL}"}}"#
        ))),
    })
}

fn json(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).boxed());
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn models() -> Bytes {
    Bytes::from(format!(
        r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","created":1,"owned_by":"vllm"}}]}}"#
    ))
}

fn whole() -> Bytes {
    let text = "tok ".repeat(Kind::Whole.tokens());
    Bytes::from(format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{}}}"#,
        usage(Kind::Whole)
    ))
}

fn usage(kind: Kind) -> String {
    let (tokens_in, tokens_out) = (TOKENS_IN, kind.tokens());
    let total = tokens_in + tokens_out;
    format!(
        r#"{{"prompt_tokens":{tokens_in},"completion_tokens":{tokens_out},"total_tokens":{total}}}"#
    )
}

/// A token an event, each when its time has come.
fn events(kind: Kind) -> Response<Body> {
    let pace = if kind == Kind::Paced { PACE } else { Duration::ZERO };
    let pieces = stream::unfold(0, move |number| async move {
        if number > 0 && number < kind.tokens() && !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        let event = event(kind, number)?;
        Some((Ok::<_, Infallible>(Frame::data(event)), number + 1))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(pieces))));
    let events = header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, events);
    response
}

fn event(kind: Kind, number: usize) -> Option<Bytes> {
    let chunk = |choices: &str, usage: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{MODEL}\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        ))
    };
    let choice = |delta: &str, reason: &str| {
        format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}"#)
    };
    match number.checked_sub(kind.tokens()) {
        None if number == 0 => {
            Some(chunk(&choice(r#"{"role":"assistant","content":"tok "}"#, "null"), "null"))
        }
        None => Some(chunk(&choice(r#"{"content":"tok "}"#, "null"), "null")),
        Some(0) => Some(chunk(&choice("{}", "\"stop\""), "null")),
        Some(1) => Some(chunk("", &usage(kind))),
        Some(2) => Some(Bytes::from_static(b"data: [DONE]\n\n")),
        Some(_) => None,
    }
}
