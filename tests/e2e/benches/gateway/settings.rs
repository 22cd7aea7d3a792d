//! What the environment says about a run; `scripts/bench-gateway` sets the paths.

use std::path::PathBuf;

use chainference_testkit::bench::number;

use crate::target::Who;

pub struct Settings {
    pub folder: PathBuf,
    /// Where the peers are installed.
    pub peers: PathBuf,
    pub rounds: usize,
    pub seed: u64,
    /// Calls under which the books must hold, for each way of settling.
    pub calls: usize,
    /// Those that are measured, by name; all where nothing is said.
    gateways: Option<String>,
}

impl Settings {
    pub fn from_env() -> Result<Self, String> {
        let path = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.ok_or_else(|| format!("{name} is not set: run `make bench-gateway`"))
        };
        Ok(Self {
            folder: path("CHAINFERENCE_BENCH")?,
            peers: path("CHAINFERENCE_PEERS")?,
            rounds: number("ROUNDS", 15)? as usize,
            seed: number("SEED", 1)?,
            calls: number("CALLS", 400)? as usize,
            gateways: std::env::var("GATEWAYS").ok(),
        })
    }

    pub fn measures(&self, who: Who) -> bool {
        let Some(names) = &self.gateways else { return true };
        // Whatever is added is added to the upstream's own time.
        who == Who::Upstream || names.split(',').any(|name| name == who.name())
    }
}
