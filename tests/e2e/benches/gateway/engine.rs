//! The worker's engine, scripted: it speaks with its worker as the real one does, and its answers lie ready. A worker
//! is told to start this very program in the engine's place.

use std::io::{self, BufReader, Read, Write};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::workload::{Kind, PACE, TOKENS_IN};

/// Frames lead with their length, four bytes, big-endian.
pub fn run() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin());
    let output: &'static Mutex<io::Stdout> = Box::leak(Box::new(Mutex::new(io::stdout())));
    while let Some(request) = next(&mut input)? {
        if request["Load"].is_object() {
            send(output, &[json!({ "Loaded": facts(&request["Load"]) })])?;
        } else if let Some(id) = request["Generate"]["id"].as_u64() {
            let decoding = &request["Generate"]["request"]["task"];
            let kind = Kind::of_tokens_max(tokens_max(decoding));
            send(output, &[json!({ "Accepted": { "id": id, "tokens_in": TOKENS_IN } })])?;
            match kind {
                Kind::Paced => drop(std::thread::spawn(move || paced(output, id))),
                kind => send(output, &at_once(id, kind))?,
            }
        }
        // Nothing here outlasts what is allowed from the start, and nothing is left to cancel.
    }
    Ok(())
}

fn next(input: &mut impl Read) -> io::Result<Option<Value>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    input.read_exact(&mut frame)?;
    Ok(Some(serde_json::from_slice(&frame)?))
}

fn send(output: &Mutex<io::Stdout>, replies: &[Value]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for reply in replies {
        let frame = reply.to_string();
        bytes.extend(u32::try_from(frame.len()).map_err(io::Error::other)?.to_be_bytes());
        bytes.extend(frame.as_bytes());
    }
    let mut output = output.lock().expect("nobody panics with it");
    output.write_all(&bytes)?;
    output.flush()
}

fn facts(load: &Value) -> Value {
    json!({
        "name": null,
        "context_tokens": load["context_tokens"].as_u64().unwrap_or(2_048),
        "vocabulary_tokens": 49_152,
        "has_chat_template": true,
        "embedding_width": null,
    })
}

/// Wherever the task's form has it.
fn tokens_max(task: &Value) -> u64 {
    match task {
        Value::Object(fields) => match fields.get("max_tokens").and_then(Value::as_u64) {
            Some(most) => most,
            None => fields.values().map(tokens_max).max().unwrap_or(0),
        },
        _ => 0,
    }
}

fn event(id: u64, event: Value) -> Value {
    json!({ "Event": { "id": id, "event": event } })
}

fn delta(id: u64, tokens: usize) -> Value {
    let delta = json!({ "tokens": vec![1; tokens], "text": "tok ".repeat(tokens) });
    event(id, json!({ "Delta": delta }))
}

fn end(id: u64, tokens: usize) -> [Value; 2] {
    let finish = json!({ "choice": 0, "reason": "stop", "tokens_reasoning": 0, "stop": null });
    let end = json!({ "tokens_out": tokens, "tokens_cached": 0 });
    [event(id, json!({ "Finish": finish })), event(id, json!({ "End": end }))]
}

/// A whole answer is one piece, a streamed one a token a piece.
fn at_once(id: u64, kind: Kind) -> Vec<Value> {
    let tokens = kind.tokens();
    let mut replies = match kind {
        Kind::Whole => vec![delta(id, tokens)],
        _ => (0..tokens).map(|_| delta(id, 1)).collect(),
    };
    replies.extend(end(id, tokens));
    replies
}

fn paced(output: &Mutex<io::Stdout>, id: u64) {
    let tokens = Kind::Paced.tokens();
    for number in 0..tokens {
        if number > 0 {
            std::thread::sleep(PACE);
        }
        // With the worker gone there is nobody to tell.
        if send(output, &[delta(id, 1)]).is_err() {
            return;
        }
    }
    send(output, &end(id, tokens)).ok();
}
