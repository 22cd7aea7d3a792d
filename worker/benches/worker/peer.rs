//! llama-server as its clients see it.

use std::fmt;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place;
use crate::settings::Settings;
use crate::workload::{Answer, Failed};

/// What of the peer is tried; the rest is the same as ours, or its default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    pub flash_attention: bool,
    /// Whether waiting threads sleep at once, or spin for a while first, which is OpenMP's default and
    /// ours.
    pub passive: bool,
    /// One stretch of KV cache for all slots.
    pub kv_unified: bool,
    /// Whether the file is mapped, its default, or read into memory of its own.
    pub mmap: bool,
}

impl Flags {
    /// What it does unless told otherwise, but for flash attention, which it turns on.
    pub const PLAIN: Self =
        Self { flash_attention: false, passive: false, kv_unified: false, mmap: true };
    pub const TRIED: [Self; 6] = [
        Self::PLAIN,
        Self { flash_attention: true, ..Self::PLAIN },
        Self { mmap: false, ..Self::PLAIN },
        Self { flash_attention: true, mmap: false, ..Self::PLAIN },
        Self { kv_unified: true, ..Self::PLAIN },
        Self { passive: true, ..Self::PLAIN },
    ];

    /// As displayed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bit = |bits: u8, at: u8| bits & (1 << at) != 0;
        let mut all = (0..16).map(|bits| Self {
            flash_attention: bit(bits, 0),
            passive: bit(bits, 1),
            kv_unified: bit(bits, 2),
            mmap: bit(bits, 3),
        });
        all.find(|flags| flags.to_string() == text)
            .ok_or_else(|| format!("PEER_FLAGS is none of: {}", Self::PLAIN))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flash_attention = if self.flash_attention { "on" } else { "off" };
        let unified = if self.kv_unified { "" } else { "no-" };
        let passive = if self.passive { " OMP_WAIT_POLICY=passive" } else { "" };
        let unmapped = if self.mmap { "" } else { " -lm none" };
        write!(f, "-fa {flash_attention} --{unified}kv-unified{unmapped}{passive}")
    }
}

/// A running llama-server.
pub struct Peer {
    process: Child,
    http: reqwest::Client,
    url: String,
}

impl Peer {
    pub async fn start(settings: &Settings, flags: Flags) -> Result<Self, Failed> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(&settings.llama_server);
        command.arg("-m").arg(&*place::MODEL).args(["--host", "127.0.0.1"]);
        for (flag, value) in [
            ("--port", port.to_string()),
            ("-t", settings.threads.to_string()),
            ("-tb", settings.threads.to_string()),
            ("-np", settings.slots.to_string()),
            ("-c", (settings.slots * settings.context_tokens).to_string()),
            ("-fa", if flags.flash_attention { "on".into() } else { "off".into() }),
        ] {
            command.args([flag, &value]);
        }
        command.arg(if flags.kv_unified { "--kv-unified" } else { "--no-kv-unified" });
        if !flags.mmap {
            command.args(["-lm", "none"]);
        }
        if flags.passive {
            command.env("OMP_WAIT_POLICY", "passive");
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let peer = Self { process, http: http()?, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !peer.is_up().await {
            if Instant::now() > deadline {
                return Err("llama-server does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(peer)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    async fn is_up(&self) -> bool {
        let health = self.http.get(format!("{}/health", self.url)).send().await;
        health.is_ok_and(|response| response.status().is_success())
    }

    pub async fn answer(&self, prompt: &str, max_tokens: u32) -> Result<Answer, Failed> {
        let body = json!({
            "messages": [{ "role": "user", "content": prompt }],
            "temperature": 0,
            "max_tokens": max_tokens,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        let began = Instant::now();
        let request = self.http.post(format!("{}/v1/chat/completions", self.url)).json(&body);
        let mut response = request.send().await?.error_for_status()?;
        let mut answer = Answer { text: String::new(), tokens_out: 0, first_s: 0.0 };
        let mut held = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            held.extend_from_slice(&chunk);
            while let Some(end) = held.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = held.drain(..end + 2).collect();
                take(&mut answer, &event, began)?;
            }
        }
        if answer.tokens_out == 0 {
            return Err("llama-server reports no usage".into());
        }
        Ok(answer)
    }
}

/// It closes idle connections as it likes, so none is used twice; making one takes a tenth of a
/// millisecond here.
fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().pool_max_idle_per_host(0).build()
}

fn take(answer: &mut Answer, event: &[u8], began: Instant) -> Result<(), Failed> {
    let Some(data) = event.strip_prefix(b"data: ").filter(|data| !data.starts_with(b"[DONE]"))
    else {
        return Ok(());
    };
    let event: Value = serde_json::from_slice(data)?;
    if let Some(text) =
        event["choices"][0]["delta"]["content"].as_str().filter(|text| !text.is_empty())
    {
        if answer.text.is_empty() {
            answer.first_s = began.elapsed().as_secs_f64();
        }
        answer.text.push_str(text);
    }
    if let Some(tokens_out) = event["usage"]["completion_tokens"].as_u64() {
        answer.tokens_out = tokens_out;
    }
    Ok(())
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
