use serde_json::json;

use super::*;

fn chunks(answers: usize, chunks: &[Value]) -> Result<Vec<Event>, Trouble> {
    let mut reader = Reader::of_texts(answers);
    let mut ready = VecDeque::new();
    for chunk in chunks {
        reader.chunk(chunk.to_string().as_bytes(), &mut ready)?;
    }
    reader.end(&mut ready)?;
    Ok(ready.into())
}

fn chunk(delta: Value) -> Value {
    json!({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

#[test]
fn a_stream_becomes_pieces_an_end_and_what_was_used() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 1}}});
    let events = chunks(
        1,
        &[
            chunk(json!({"role": "assistant", "content": ""})),
            chunk(json!({"reasoning_content": "hm"})),
            chunk(json!({"content": "Hé", "unknown": [1]})),
            finish("length"),
            finish("length"),
            usage,
        ],
    );
    let events = events.unwrap();
    let [
        Event::Delta(thought),
        Event::Delta(said),
        Event::Finished { reason, .. },
        Event::Ended(ended),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((thought.reasoning.as_str(), said.text.as_str()), ("hm", "Hé"));
    assert_eq!(*reason, FinishReason::Length);
    assert_eq!(ended.totals, Totals { tokens_in: 7, tokens_out: 2 });
    assert_eq!((ended.tokens_cached, ended.tokens_reasoning, ended.cost.0), (5, 1, 0));
}

#[test]
fn tool_calls_have_their_name_once_whatever_is_repeated_and_however_they_are_counted() {
    let call = |index: u32, name: Option<&str>, arguments: &str| {
        chunk(json!({"tool_calls": [{"index": index, "id": name.map(|name| format!("id-{name}")),
            "type": "function", "function": {"name": name, "arguments": arguments}}]}))
    };
    let events = chunks(
        1,
        &[
            call(1, Some("f"), ""),
            call(1, Some("f"), "{\"a\""),
            call(1, None, ":1}"),
            call(4, Some("g"), "{}"),
            finish("tool_calls"),
        ],
    );
    let told: Vec<_> = events
        .unwrap()
        .into_iter()
        .filter_map(|event| match event {
            Event::Delta(delta) => delta.tool_calls.into_iter().next(),
            _ => None,
        })
        .map(|call| (call.index, call.name, call.arguments))
        .collect();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        told,
        [
            (0, name("f"), String::new()),
            (0, None, "{\"a\"".into()),
            (0, None, ":1}".into()),
            (1, name("g"), "{}".into())
        ]
    );
    let nameless = chunks(1, &[call(0, None, "{}"), finish("stop")]);
    assert!(matches!(nameless, Err(Trouble::Broken(_))));
}

#[test]
fn whole_answers_of_chats_and_completions_are_read() {
    let read = |answers, body: Value| {
        let mut ready = VecDeque::new();
        let done = Reader::of_texts(answers).answer(body.to_string().as_bytes(), &mut ready);
        done.map(|()| Vec::from(ready))
    };
    let chat = json!({"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}});
    let events = read(1, chat.clone()).unwrap();
    let Event::Delta(delta) = &events[0] else { panic!("{events:?}") };
    let indices: Vec<_> = delta.tool_calls.iter().map(|call| call.index).collect();
    assert_eq!(indices, [0, 1]);
    assert!(matches!(read(2, chat), Err(Trouble::Broken(_))), "an answer is missing");

    let text = json!({"choices": [
        {"index": 1, "text": "b", "finish_reason": "stop", "stop_reason": "END", "logprobs": null},
        {"index": 0, "text": "a", "finish_reason": "stop", "stop_reason": 2}]});
    let events = read(2, text).unwrap();
    let Event::Finished { choice: 1, stop, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!(stop.as_deref(), Some("END"));
    let Event::Ended(ended) = &events[4] else { panic!("{events:?}") };
    assert_eq!(ended.totals, Totals { tokens_in: 0, tokens_out: 2 }, "counted by pieces");
}

#[test]
fn vectors_come_as_numbers_or_as_their_bytes() {
    let bytes: Vec<u8> = [0.5_f32, -1.0].iter().flat_map(|n| n.to_le_bytes()).collect();
    for embedding in [json!([0.5, -1.0]), json!(BASE64_STANDARD.encode(&bytes))] {
        let body = json!({"object": "list", "data": [{"index": 0, "embedding": embedding}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3}});
        let mut ready = VecDeque::new();
        Reader::of_vectors(1).answer(body.to_string().as_bytes(), &mut ready).unwrap();
        let Some(Event::Embedding { index: 0, vector }) = ready.pop_front() else {
            panic!("a vector")
        };
        assert_eq!(vector, bytes);
    }
}

#[test]
fn what_breaks_an_answer_is_an_error() {
    let error = json!({"error": {"message": "out of memory", "code": 500}});
    let failed = chunks(1, &[chunk(json!({"content": "a"})), error]).unwrap_err();
    assert!(failed.to_string().contains("out of memory"), "{failed}");
    for (what, wrong) in [
        ("unasked", json!({"choices": [{"index": 1, "text": "x"}]})),
        ("no object", json!([])),
        (
            "after its end",
            json!({"choices": [
            {"index": 0, "finish_reason": "stop"}, {"index": 0, "text": "x"}]}),
        ),
        ("unfinished", chunk(json!({"content": "a"}))),
    ] {
        assert!(matches!(chunks(1, &[wrong]), Err(Trouble::Broken(_))), "{what}");
    }
}
