//! Answers. Written by hand, since OpenAI's schema wants fields present and null (`refusal`,
//! `logprobs`, …) that the usual type crates leave out.

use serde::Serialize;

/// What every object of one answer repeats.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `chatcmpl-…`
    pub id: String,
    pub created_unix_s: i64,
    /// The model's id as the market lists it, whatever the client wrote.
    pub model: String,
}

/// Tokens used, and what they cost on chain.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    chainference: Settlement,
}

/// The extension that OpenAI has no word for.
#[derive(Clone, Debug, Serialize)]
pub struct Settlement {
    /// Address of the job that pays for this call.
    pub job: String,
    /// Address of the worker's record.
    pub worker: String,
    pub cost_lamports: u64,
    /// Time that the gateway and the chain added before the worker got the call.
    pub overhead_ms: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl Usage {
    pub fn new(prompt_tokens: u64, completion_tokens: u64, chainference: Settlement) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails::default(),
            completion_tokens_details: CompletionDetails::default(),
            chainference,
        }
    }
}

/// The whole answer of a call that is not streamed.
pub fn completion(facts: &Facts, text: &str, finish_reason: &str, usage: &Usage) -> String {
    json(&Completion {
        id: &facts.id,
        object: "chat.completion",
        created: facts.created_unix_s,
        model: &facts.model,
        choices: [Choice {
            index: 0,
            message: Message { role: "assistant", content: text, refusal: None, annotations: [] },
            logprobs: None,
            finish_reason,
        }],
        usage,
        system_fingerprint: None,
        service_tier: "default",
    })
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: &'a Usage,
    system_fingerprint: Option<&'a str>,
    service_tier: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<&'a str>,
    annotations: [(); 0],
}

/// Renders the chunks of one streamed answer as JSON texts.
#[derive(Debug)]
pub struct Chunks {
    facts: Facts,
    include_usage: bool,
}

impl Chunks {
    pub fn new(facts: Facts, include_usage: bool) -> Self {
        Self { facts, include_usage }
    }

    /// The first chunk: who speaks.
    pub fn role(&self) -> String {
        let delta = Delta { role: Some("assistant"), content: Some(""), refusal: Some(None) };
        self.chunk(delta, None)
    }

    pub fn content(&self, text: &str) -> String {
        self.chunk(Delta { content: Some(text), ..Delta::default() }, None)
    }

    pub fn finish(&self, reason: &str) -> String {
        self.chunk(Delta::default(), Some(reason))
    }

    /// The chunk without choices that tells the usage; `None` where the client did not ask.
    pub fn usage(&self, usage: &Usage) -> Option<String> {
        self.include_usage.then(|| self.render(&[], Some(Some(usage))))
    }

    fn chunk(&self, delta: Delta<'_>, finish_reason: Option<&str>) -> String {
        let choice = ChunkChoice { index: 0, delta, logprobs: None, finish_reason };
        self.render(&[choice], self.include_usage.then_some(None))
    }

    fn render(&self, choices: &[ChunkChoice<'_>], usage: Option<Option<&Usage>>) -> String {
        json(&Chunk {
            id: &self.facts.id,
            object: "chat.completion.chunk",
            created: self.facts.created_unix_s,
            model: &self.facts.model,
            choices,
            system_fingerprint: None,
            service_tier: "default",
            usage,
        })
    }
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    system_fingerprint: Option<&'a str>,
    service_tier: &'static str,
    /// Absent, null or filled: the outer `None` is for clients that did not ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<&'a Usage>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<&'a str>>,
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts() -> Facts {
        Facts { id: "chatcmpl-1".into(), created_unix_s: 7, model: "a/b".into() }
    }

    fn usage() -> Usage {
        let settlement = Settlement {
            job: "J".into(),
            worker: "W".into(),
            cost_lamports: 2_000,
            overhead_ms: 90,
        };
        Usage::new(3, 4, settlement)
    }

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn completion_has_what_the_schema_requires() {
        let answer = value(&completion(&facts(), "hello", "stop", &usage()));
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"]["content"], "hello");
        assert_eq!(choice["finish_reason"], "stop");
        assert!(choice["message"].as_object().unwrap().contains_key("refusal"));
        assert!(choice.as_object().unwrap().contains_key("logprobs"));
        assert_eq!(answer["usage"]["total_tokens"], 7);
        assert_eq!(answer["usage"]["chainference"]["cost_lamports"], 2_000);
    }

    #[test]
    fn first_chunk_has_the_role_and_later_ones_have_not() {
        let chunks = Chunks::new(facts(), false);
        let first = value(&chunks.role());
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(first["choices"][0]["finish_reason"], Value::Null);
        assert!(first.get("usage").is_none());
        let next = value(&chunks.content("é"));
        assert_eq!(next["choices"][0]["delta"], json!({"content": "é"}));
        let last = value(&chunks.finish("length"));
        assert_eq!(last["choices"][0]["delta"], json!({}));
        assert_eq!(last["choices"][0]["finish_reason"], "length");
    }

    #[test]
    fn usage_is_null_in_each_chunk_and_filled_in_the_last_where_asked() {
        let asked = Chunks::new(facts(), true);
        assert!(value(&asked.content("a")).as_object().unwrap()["usage"].is_null());
        let last = value(&asked.usage(&usage()).unwrap());
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["completion_tokens"], 4);
        assert!(Chunks::new(facts(), false).usage(&usage()).is_none());
    }
}
