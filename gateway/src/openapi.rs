//! `GET /openapi.json`: every route, in OpenAPI's words. A test holds it to `router.rs`.

use utoipa::openapi::{
    Components, ComponentsBuilder, Content, HttpMethod, InfoBuilder, License, OpenApi,
    OpenApiBuilder, Paths, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{ObjectBuilder, Type},
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
};

use crate::openai;

/// One route.
struct Route {
    method: HttpMethod,
    path: &'static str,
    summary: &'static str,
    /// Which schema its request's body has.
    body: Option<&'static str>,
    answer: Answer,
    access: Access,
}

/// What a route answers with.
#[derive(Clone, Copy)]
enum Answer {
    /// JSON; the text says of what form.
    Json(&'static str),
    /// The same, or server-sent events where the body asks for a stream.
    Streamed(&'static str),
    Text(&'static str),
    /// A WebSocket.
    Socket(&'static str),
}

/// Who may call a route, and in whose form it tells its errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Anyone,
    Key,
    /// With a key, and errors as Anthropic has them.
    KeyOfAnthropic,
}

const fn get(path: &'static str, summary: &'static str, answer: Answer, access: Access) -> Route {
    Route { method: HttpMethod::Get, path, summary, body: None, answer, access }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    body: &'static str,
    answer: Answer,
) -> Route {
    let (method, body, access) = (HttpMethod::Post, Some(body), Access::Key);
    Route { method, path, summary, body, answer, access }
}

const CHAT: &str = "As OpenAI's CreateChatCompletionResponse.";

/// Every route, in the order of `router.rs`.
const ROUTES: &[Route] = &[
    post("/v1/chat/completions", "Continues a conversation.", "ChatBody", Answer::Streamed(CHAT)),
    get(
        "/v1/chat/completions",
        "The same over a WebSocket: the first message is the body, each message back is one chunk. \
         Closing the socket ends the call.",
        Answer::Socket("The connection is a WebSocket."),
        Access::Key,
    ),
    post(
        "/v1/completions",
        "Continues a text.",
        "CompletionBody",
        Answer::Streamed("As OpenAI's CreateCompletionResponse."),
    ),
    post(
        "/v1/responses",
        "Continues a conversation, in the shape of OpenAI's Responses.",
        "ResponseBody",
        Answer::Streamed("As OpenAI's Response."),
    ),
    get(
        "/v1/responses/{id}",
        "A response that was stored, where the gateway stores them.",
        Answer::Json("As OpenAI's Response."),
        Access::Key,
    ),
    Route {
        method: HttpMethod::Delete,
        ..get(
            "/v1/responses/{id}",
            "Forgets a stored response.",
            Answer::Json("Its `id`, and `deleted`: true."),
            Access::Key,
        )
    },
    Route {
        access: Access::KeyOfAnthropic,
        ..post(
            "/v1/messages",
            "Continues a conversation, in the shape of Anthropic's Messages.",
            "MessageBody",
            Answer::Streamed("As Anthropic's Message."),
        )
    },
    Route {
        access: Access::KeyOfAnthropic,
        ..post(
            "/v1/messages/count_tokens",
            "How many tokens a prompt has, exactly or at most; costs nothing.",
            "MessageBody",
            Answer::Json("As Anthropic's CountMessageTokensResponse."),
        )
    },
    post(
        "/v1/embeddings",
        "Turns texts into vectors.",
        "EmbeddingBody",
        Answer::Json("As OpenAI's CreateEmbeddingResponse."),
    ),
    get(
        "/v1/models",
        "What the market offers now, with prices, context, abilities and workers.",
        Answer::Json("As OpenAI's ListModelsResponse, with more fields."),
        Access::Key,
    ),
    get(
        "/v1/models/{id}",
        "One model; its id may hold slashes.",
        Answer::Json("As OpenAI's Model, with more fields."),
        Access::Key,
    ),
    get(
        "/v1/chainference/workers",
        "The workers of the market, with their reputation, breaker, load and offers; with `?model=` those that \
         offer it, the one that a call would go to first, and why.",
        Answer::Json("A list of workers."),
        Access::Key,
    ),
    get(
        "/v1/chainference/offers",
        "The offers of the market, whether they are served or not; with `?model=` how a call would fare with \
         each.",
        Answer::Json("A list of offers; prices are lamports."),
        Access::Key,
    ),
    get(
        "/v1/chainference/jobs",
        "The jobs that carried the key's calls alone, the latest first, with what they cost; the gateway's own \
         key sees all. `limit` jobs (100) that follow the job `after`.",
        Answer::Json("A list of jobs, and whether it `has_more`; amounts are lamports."),
        Access::Key,
    ),
    get(
        "/v1/chainference/jobs/{id}",
        "The whole story of a job: its terms, calls, vouchers, receipts and transactions.",
        Answer::Json("The job; amounts are lamports, times unix milliseconds."),
        Access::Key,
    ),
    get(
        "/v1/chainference/receipts",
        "What a worker signed of the key's calls in the `job`.",
        Answer::Json("A list of receipts, and the operator's key that signed them."),
        Access::Key,
    ),
    post(
        "/v1/chainference/feedback",
        "Says of a job that was paid for whether it was good; the chain is told when the job is closed. \
         After that it is a 409.",
        "FeedbackBody",
        Answer::Json("A list with the verdict that is kept."),
    ),
    post(
        "/v1/chainference/compare",
        "Says which of two jobs, of one model at two workers, had the better answer; the chain is told when \
         both are closed.",
        "CompareBody",
        Answer::Json("A list with the two verdicts that are kept."),
    ),
    get(
        "/v1/chainference/balance",
        "What the vault holds.",
        Answer::Json("Its address, what is free and what live jobs hold, in lamports."),
        Access::Key,
    ),
    get(
        "/v1/chainference/spend",
        "What the key has spent in the last `days`, by model and day, and what its budgets have left; the \
         gateway's own key sees all keys.",
        Answer::Json(
            "A list of sums in lamports, the key's budgets, and what it has used of them.",
        ),
        Access::Key,
    ),
    get("/health", "The process answers.", Answer::Json("`status`: ok."), Access::Anyone),
    get(
        "/ready",
        "Whether a call would be served.",
        Answer::Json("Chain, worker and ledger, each by name; with the status 503 where not."),
        Access::Anyone,
    ),
    get("/metrics", "Metrics in Prometheus' form.", Answer::Text("The metrics."), Access::Anyone),
    get("/openapi.json", "This document.", Answer::Json("An OpenAPI document."), Access::Anyone),
];

/// The whole document.
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    for route in ROUTES {
        paths.add_path_operation(route.path, vec![route.method.clone()], operation(route));
    }
    let info = InfoBuilder::new()
        .title("Chainference gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "OpenAI's API in front of a market of workers. Each call is paid for through a job on \
             a Solana chain; docs/parameters.md says what becomes of each parameter.",
        ))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components())).build()
}

fn operation(route: &Route) -> Operation {
    let mut operation = OperationBuilder::new()
        .summary(Some(route.summary))
        .response(route.answer.status(), route.answer.response());
    if route.path.contains("{id}") {
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        operation = operation.parameter(id);
    }
    if let Some(name) = route.body {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content("application/json", of(name))
            .build();
        operation = operation.request_body(Some(body));
    }
    if route.access == Access::Anyone {
        return operation.build();
    }
    guarded(operation, route.access).build()
}

/// With its key, and the errors that a key's holder may see.
fn guarded(mut operation: OperationBuilder, access: Access) -> OperationBuilder {
    let scopes: [&str; 0] = [];
    for scheme in ["bearer", "x-api-key"] {
        operation = operation.security(SecurityRequirement::new(scheme, scopes));
    }
    let form = match access {
        Access::KeyOfAnthropic => "AnthropicError",
        Access::Anyone | Access::Key => "Error",
    };
    for (status, why) in [
        ("4XX", "The request can't be served as it stands."),
        ("5XX", "The market, a worker or the gateway failed."),
    ] {
        let response =
            ResponseBuilder::new().description(why).content("application/json", of(form));
        operation = operation.response(status, response);
    }
    operation
}

impl Answer {
    fn status(self) -> &'static str {
        match self {
            Self::Socket(_) => "101",
            Self::Json(_) | Self::Streamed(_) | Self::Text(_) => "200",
        }
    }

    fn response(self) -> Response {
        let (description, kinds): (_, &[(&str, Type)]) = match self {
            Self::Json(text) => (text, &[("application/json", Type::Object)]),
            Self::Streamed(text) => {
                (text, &[("application/json", Type::Object), ("text/event-stream", Type::String)])
            }
            Self::Text(text) => (text, &[("text/plain", Type::String)]),
            Self::Socket(text) => (text, &[]),
        };
        let mut response = ResponseBuilder::new().description(description);
        for (kind, schema) in kinds {
            let schema = ObjectBuilder::new().schema_type(schema.clone()).build();
            response = response.content(*kind, Content::new(Some(Schema::Object(schema))));
        }
        response.build()
    }
}

/// A reference to a schema by its name.
fn of(name: &str) -> Content {
    Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(name))))
}

fn components() -> Components {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let header = ApiKey::Header(ApiKeyValue::new("x-api-key"));
    openai::schemas(ComponentsBuilder::new())
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("x-api-key", SecurityScheme::ApiKey(header))
        .build()
}

#[cfg(test)]
mod tests;
