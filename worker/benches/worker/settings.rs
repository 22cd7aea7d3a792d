//! What the environment says about a run; `scripts/bench-worker` sets the paths.

use std::path::PathBuf;

use chainference_testkit::bench::number;
use chainference_worker::engine::Tuning;

use crate::peer::Flags;

#[derive(Clone)]
pub struct Settings {
    pub folder: PathBuf,
    pub llama_server: PathBuf,
    pub rounds: usize,
    /// Rounds in which the peer's flags are chosen.
    pub trials: usize,
    /// Prompts whose text is compared.
    pub texts: usize,
    pub threads: u32,
    pub slots: u32,
    pub context_tokens: u32,
    pub seed: u64,
    /// `None`: the best are found out first.
    pub peer_flags: Option<Flags>,
    /// Ours, to try something. Flash attention, unless said here, is as the peer does best with.
    pub tuning: Tuning,
}

impl Settings {
    pub fn from_env() -> Result<Self, String> {
        let path = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.ok_or_else(|| format!("{name} is not set: run `make bench-worker`"))
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Ok(Self {
            folder: path("CHAINFERENCE_BENCH")?,
            llama_server: path("CHAINFERENCE_LLAMA_SERVER")?,
            rounds: number("ROUNDS", 15)? as usize,
            trials: number("TRIALS", 2)? as usize,
            texts: number("TEXTS", 12)? as usize,
            threads: number("THREADS", cores)? as u32,
            slots: 8,
            context_tokens: 1_024,
            seed: number("SEED", 1)?,
            peer_flags: match std::env::var("PEER_FLAGS") {
                Ok(text) => Some(Flags::parse(&text)?),
                Err(_) => None,
            },
            tuning: match std::env::var("TUNING") {
                Ok(text) => {
                    serde_json::from_str(&text).map_err(|error| format!("TUNING: {error}"))?
                }
                Err(_) => Tuning::default(),
            },
        })
    }
}
