//! A gateway under test, or the upstream itself.

use std::net::SocketAddr;

use serde_json::json;

use crate::workload::{Kind, Size};

/// Whom clients call, and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub who: Who,
    pub address: SocketAddr,
    pub model: String,
    /// Beside the usual ones.
    pub headers: Vec<(&'static str, String)>,
    /// The process that is measured, its children with it; none of the upstream.
    pub pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    Upstream,
    Off,
    PerCall,
    Session,
    Smg,
    Litellm,
    Portkey,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Off => "off",
            Self::PerCall => "per_call",
            Self::Session => "session",
            Self::Smg => "smg",
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Upstream => "the upstream alone",
            Self::Off => "ours, settlement off",
            Self::PerCall => "ours, per call",
            Self::Session => "ours, session",
            Self::Smg => "smg",
            Self::Litellm => "litellm",
            Self::Portkey => "portkey",
        }
    }

    /// Whether its calls are paid for on the chain.
    pub fn settles(self) -> bool {
        matches!(self, Self::PerCall | Self::Session)
    }
}

impl Target {
    /// A request's bytes, ready to be sent.
    pub fn request(&self, kind: Kind, size: Size) -> Vec<u8> {
        let mut body = json!({
            "model": self.model,
            "stream": kind != Kind::Whole,
            "max_tokens": kind.tokens_max(),
            "messages": [{ "role": "user", "content": size.text() }],
        });
        if kind != Kind::Whole {
            body["stream_options"] = json!({ "include_usage": true });
        }
        let body = body.to_string();
        let mut head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\n\
             content-length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}
