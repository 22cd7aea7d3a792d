//! A streamed answer as server-sent events. Rendering is pure; [`Sse::follow`] drives it.

use std::{collections::VecDeque, convert::Infallible};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::time::timeout;

use super::{error::ChatError, usage};
use crate::{
    limits,
    openai::{Chunks, Facts},
    settlement::{Answer, Event, Started},
};

/// What a stream reacts to.
#[derive(Debug)]
pub enum SseEvent {
    Call(Event),
    /// Nothing came for a while: the connection must not look dead.
    Silence,
    /// The call's task is gone.
    Lost,
}

/// Renders events; knows what was sent before.
#[derive(Debug)]
pub struct Sse {
    facts: Facts,
    include_usage: bool,
    started: Option<(Started, Chunks)>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl Sse {
    pub fn new(facts: Facts, include_usage: bool) -> Self {
        Self { facts, include_usage, started: None, ready: VecDeque::new(), ended: false }
    }

    pub fn take(&mut self, event: SseEvent) {
        match (event, &self.started) {
            (SseEvent::Silence, _) => self.ready.push_back(Bytes::from_static(b": keep-alive\n\n")),
            (SseEvent::Call(Event::Started(started)), _) => {
                let facts = Facts { model: started.model.clone(), ..self.facts.clone() };
                let chunks = Chunks::new(facts, self.include_usage);
                self.ready.push_back(event_of(&chunks.role()));
                self.started = Some((started, chunks));
            }
            (SseEvent::Call(Event::Text { text, .. }), Some((_, chunks))) => {
                // A frame may hold tokens whose text is not complete yet.
                if !text.is_empty() {
                    self.ready.push_back(event_of(&chunks.content(&text)));
                }
            }
            (SseEvent::Call(Event::Ended(ended)), Some((started, chunks))) => {
                self.ready.push_back(event_of(&chunks.finish(ended.finish_reason)));
                if let Some(last) = chunks.usage(&usage(started, &ended)) {
                    self.ready.push_back(event_of(&last));
                }
                self.ready.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
                self.ended = true;
            }
            (SseEvent::Call(Event::Failed(failure)), _) => self.fail(&failure.into()),
            (SseEvent::Call(_) | SseEvent::Lost, _) => self.fail(&ChatError::Lost),
        }
    }

    fn fail(&mut self, error: &ChatError) {
        self.ready.push_back(event_of(&error.to_api().to_json()));
        self.ended = true;
    }

    /// The events of an answer, one at a time. Dropping the stream drops the answer, and so ends
    /// the call.
    pub fn follow(self, answer: Answer) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold((self, answer), async |(mut sse, mut answer)| {
            loop {
                if let Some(event) = sse.ready.pop_front() {
                    return Some((Ok(event), (sse, answer)));
                }
                if sse.ended {
                    return None;
                }
                sse.take(match timeout(limits::KEEP_ALIVE_INTERVAL, answer.next()).await {
                    Ok(Some(event)) => SseEvent::Call(event),
                    Ok(None) => SseEvent::Lost,
                    Err(_) => SseEvent::Silence,
                });
            }
        })
    }
}

fn event_of(json: &str) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chainference_market::{Lamports, Totals};

    use super::*;
    use crate::settlement::{CallError, Ended, Failure};

    fn started() -> Event {
        Event::Started(Started {
            job: "J".into(),
            worker: "W".into(),
            model: "a/b".into(),
            overhead: Duration::from_millis(80),
        })
    }

    fn ended() -> Event {
        let totals = Totals { tokens_in: 3, tokens_out: 2 };
        Event::Ended(Ended { finish_reason: "stop", totals, cost: Lamports(2_000) })
    }

    fn text(text: &str) -> Event {
        Event::Text { text: text.into(), tokens: 1 }
    }

    fn render(include_usage: bool, events: Vec<SseEvent>) -> (Vec<String>, bool) {
        let facts = Facts { id: "chatcmpl-1".into(), created_unix_s: 1, model: "B".into() };
        let mut sse = Sse::new(facts, include_usage);
        for event in events {
            sse.take(event);
        }
        let lines = sse.ready.iter().map(|event| String::from_utf8(event.to_vec()).unwrap());
        (lines.collect(), sse.ended)
    }

    #[test]
    fn an_answer_is_role_text_finish_usage_done() {
        let calls = [started(), text("Hé"), text(""), text("y"), ended()];
        let (events, over) = render(true, calls.into_iter().map(SseEvent::Call).collect());
        assert_eq!(events.len(), 6, "the piece without text makes no event: {events:#?}");
        assert!(events[0].contains("\"role\":\"assistant\""));
        assert!(events[1].contains("Hé") && events[1].contains("\"model\":\"a/b\""));
        assert!(events[3].contains("\"finish_reason\":\"stop\""));
        assert!(events[4].contains("\"cost_lamports\":2000"));
        assert_eq!(events[5], "data: [DONE]\n\n");
        assert!(over);
        for event in &events {
            assert!(event.starts_with("data: ") && event.ends_with("\n\n"), "{event}");
            assert_eq!(event.matches('\n').count(), 2, "one event has one line: {event}");
        }
    }

    #[test]
    fn a_client_that_waits_sees_comments() {
        let (events, over) = render(false, vec![SseEvent::Silence, SseEvent::Call(started())]);
        assert_eq!(events[0], ": keep-alive\n\n");
        assert!(events[1].contains("assistant") && !over);
    }

    #[test]
    fn an_error_after_the_first_token_is_an_event_and_the_end() {
        let failure = Failure { error: CallError::Unreachable("x".into()), costs: true };
        let calls = [started(), text("a"), Event::Failed(failure)];
        let (events, over) = render(true, calls.into_iter().map(SseEvent::Call).collect());
        assert!(events[2].starts_with("data: {\"error\":{\"message\":"));
        assert!(!events.concat().contains("[DONE]") && over);
    }

    #[test]
    fn a_lost_call_is_an_error_and_never_a_silent_end() {
        let (events, over) = render(false, vec![SseEvent::Call(started()), SseEvent::Lost]);
        assert!(events[1].contains("internal_error") && over);
    }
}
