//! What fuzzers and the replay of their corpus run: bodies as any client may send them. Panics are bugs.

use serde_json::Value;

pub use crate::settlement::fuzzing::answers;
use crate::{
    openai::{
        RequestError, Sent, Shape, parse_chat, parse_completion, parse_count, parse_embedding,
        parse_message, parse_response,
    },
    routes::call::RouteError,
    settlement::fuzzing::check_request,
};

/// A body, read as every endpoint that makes a call reads it. What is taken must be fit for a worker; what is
/// refused must be said in the API's form.
pub fn requests(body: &[u8]) {
    let calls =
        [parse_chat(body), parse_completion(body), parse_message(body), parse_response(body, None)];
    for call in calls {
        match call {
            Ok(call) => {
                check_request(&call.request);
                assert!(call.form.answers >= 1, "a call has an answer");
            }
            Err(error) => check_error(error),
        }
    }
    passed_on(body);
    match parse_embedding(body) {
        Ok(call) => check_request(&call.request),
        Err(error) => check_error(error),
    }
    match parse_count(body) {
        Ok(request) => check_request(&request),
        Err(error) => check_error(error),
    }
}

/// The same body, as it goes on to a server of the operator's own: with another model's name, and asked for as a stream.
fn passed_on(body: &[u8]) {
    let Some(sent) = Sent::read(body) else { return };
    for shape in [Shape::Chat, Shape::Completion, Shape::Embedding] {
        let _ = sent.form(shape);
    }
    let _ = (sent.vectors(), sent.tokens_max(), sent.stream());
    let model = "a/\"b";
    let written = sent.to_body(model, Some(true));
    let again = Sent::read(&written).expect("JSON");
    assert_eq!((again.model().as_deref(), again.stream()), (Some(model), Some(true)));
}

fn check_error(error: RequestError) {
    let api = RouteError::from(error).to_api();
    assert_eq!(api.status.as_u16(), 400, "{api:?}");
    let body: Value = serde_json::from_str(&api.to_json()).expect("JSON");
    let error = body["error"].as_object().expect("an error");
    assert!(error["message"].is_string() && error["code"].is_string(), "{body}");
    assert!(error.len() == 4 && error["type"] == "invalid_request_error", "{body}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn requests_that_fuzzers_began_with_hold() {
        chainference_testkit::replay("requests", super::requests);
    }

    #[test]
    fn answers_that_fuzzers_began_with_hold() {
        chainference_testkit::replay("answers", super::answers);
    }
}
