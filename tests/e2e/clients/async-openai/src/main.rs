//! One request with async-openai; prints as JSON what its user would see. Requests and answers go through the
//! client's own types: what these don't know of the API is an error.

use std::process::ExitCode;

use async_openai::{Client, config::OpenAIConfig, error::OpenAIError};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(body)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: chainference-async-openai-client WHAT BODY");
        return ExitCode::FAILURE;
    };
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Where the gateway is, and its key, are read from the environment, as by every client.
    let client = Client::new();
    let seen = runtime.expect("a runtime").block_on(ask(&client, &what, body));
    println!("{}", seen.unwrap_or_else(|error| json!({ "error": described(&error) })));
    ExitCode::SUCCESS
}

async fn ask(client: &Client<OpenAIConfig>, what: &str, body: Value) -> Result<Value, OpenAIError> {
    match what {
        "chat" => Ok(json!(client.chat().create(typed(body)).await?)),
        "chat_stream" => chat_stream(client, body).await,
        "embed" => Ok(json!(client.embeddings().create(typed(body)).await?)),
        "models" => Ok(json!(client.models().list().await?)),
        "respond" => Ok(json!(client.responses().create(typed(body)).await?)),
        "respond_stream" => respond_stream(client, body).await,
        other => panic!("{other} is nothing that this client is asked for"),
    }
}

async fn chat_stream(client: &Client<OpenAIConfig>, body: Value) -> Result<Value, OpenAIError> {
    let mut chunks = client.chat().create_stream(typed(body)).await?;
    let (mut content, mut count, mut usage, mut reason) = (String::new(), 0, None, None);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        count += 1;
        usage = chunk.usage.or(usage);
        for choice in chunk.choices {
            content.push_str(choice.delta.content.as_deref().unwrap_or_default());
            reason = choice.finish_reason.or(reason);
        }
    }
    Ok(json!({"content": content, "chunks": count, "usage": usage, "finish_reason": reason}))
}

async fn respond_stream(client: &Client<OpenAIConfig>, body: Value) -> Result<Value, OpenAIError> {
    let mut events = client.responses().create_stream(typed(body)).await?;
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(json!(event?));
    }
    Ok(json!({ "events": all }))
}

/// A request as the client's own type.
fn typed<T: DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).expect("a request")
}

fn described(error: &OpenAIError) -> Value {
    match error {
        OpenAIError::ApiError(refused) => {
            let said = &refused.api_error;
            let status = refused.status_code.as_u16();
            json!({"status": status, "type": said.r#type, "code": said.code, "message": said.message})
        }
        other => json!({ "message": other.to_string() }),
    }
}
