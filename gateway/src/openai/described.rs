//! The bodies of requests and errors, as `/openapi.json` describes them: made out of the very types
//! that read them.

use utoipa::{PartialSchema, ToSchema, openapi::ComponentsBuilder};

use super::{
    chat::ChatRequest,
    completion::CompletionRequest,
    decoding::DecodingRequest,
    embedding::EmbeddingRequest,
    error::Envelope,
    messages::{AnthropicError, MessagesRequest},
    response::ResponseRequest,
    verdict::{CompareRequest, FeedbackRequest},
};

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident: $own:ty;)*) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "it is only described")]
        struct $name {
            #[serde(flatten)]
            own: $own,
            #[serde(flatten)]
            shared: DecodingRequest,
        }
    )*};
}

bodies! {
    /// Of a chat completion.
    ChatBody: ChatRequest;
    /// Of a completion.
    CompletionBody: CompletionRequest;
    /// Of a response.
    ResponseBody: ResponseRequest;
    /// Of a message.
    MessageBody: MessagesRequest;
}

/// Adds the schemas that routes refer to.
pub fn schemas(components: ComponentsBuilder) -> ComponentsBuilder {
    components
        .schema_from::<DecodingRequest>()
        .schema_from::<ChatRequest>()
        .schema_from::<CompletionRequest>()
        .schema_from::<ResponseRequest>()
        .schema_from::<MessagesRequest>()
        .schema_from::<ChatBody>()
        .schema_from::<CompletionBody>()
        .schema_from::<ResponseBody>()
        .schema_from::<MessageBody>()
        .schema("EmbeddingBody", EmbeddingRequest::schema())
        .schema("FeedbackBody", FeedbackRequest::schema())
        .schema("CompareBody", CompareRequest::schema())
        .schema("Error", Envelope::schema())
        .schema("AnthropicError", AnthropicError::schema())
}
