//! What a vault that `up` opens holds, and what its gateway may spend of it.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const LAMPORTS_PER_SOL: u64 = 1_000_000_000;

#[derive(Args, Debug, Default, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Vault")]
pub struct VaultSettings {
    /// What `up` puts into a vault that it opens, in lamports [default: 10 SOL]
    #[arg(long, env = "CHAINFERENCE_DEPOSIT_LAMPORTS", value_name = "LAMPORTS")]
    pub deposit_lamports: Option<u64>,
    /// What the gateway's key may spend of the vault each day, in lamports [default: 1 SOL]
    #[arg(long, env = "CHAINFERENCE_LIMIT_LAMPORTS", value_name = "LAMPORTS")]
    pub limit_lamports: Option<u64>,
}

impl VaultSettings {
    pub fn deposit_lamports(&self) -> u64 {
        self.deposit_lamports.unwrap_or(10 * LAMPORTS_PER_SOL)
    }
    pub fn limit_lamports(&self) -> u64 {
        self.limit_lamports.unwrap_or(LAMPORTS_PER_SOL)
    }
}
