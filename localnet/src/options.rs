//! What can be set.

use std::path::PathBuf;

use clap::Parser;
use solana_pubkey::Pubkey;

/// A local Solana chain for one machine: real runtime, fees, rent and blockhashes, one process, no peers.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Options {
    /// Port of the JSON-RPC interface on 127.0.0.1
    #[arg(long, default_value_t = 8899, env = "CHAINFERENCE_CHAIN_RPC_PORT")]
    pub rpc_port: u16,
    /// Port of the websocket interface on 127.0.0.1
    #[arg(long, default_value_t = 8900, env = "CHAINFERENCE_CHAIN_WS_PORT")]
    pub ws_port: u16,
    /// Length of a slot in milliseconds
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub slot_ms: u64,
    /// SQLite file that keeps the chain; without it, it lives in memory and ends with the process
    #[arg(long, value_name = "PATH")]
    pub ledger: Option<PathBuf>,
    /// A program to have on the chain, such as <ID>=programs/artifacts/chainference.so (repeatable)
    #[arg(long = "program", value_name = "ID=FILE", value_parser = parse_program)]
    pub programs: Vec<(Pubkey, PathBuf)>,
    /// Who may upgrade those programs, and initialise the market
    #[arg(long, value_name = "PUBKEY")]
    pub upgrade_authority: Option<Pubkey>,
    /// Print the ready line as JSON
    #[arg(long)]
    pub json: bool,
    /// End when the process that started this one has ended
    #[arg(long)]
    pub exit_with_parent: bool,
    /// Print the runtime's own log to standard error
    #[arg(long)]
    pub verbose: bool,
}

impl Options {
    /// What is printed once the chain takes transactions.
    pub fn ready_line(&self, slot: u64) -> String {
        let rpc_url = format!("http://127.0.0.1:{}", self.rpc_port);
        let ws_url = format!("ws://127.0.0.1:{}", self.ws_port);
        if self.json {
            serde_json::json!({ "ready": true, "rpc_url": rpc_url, "ws_url": ws_url, "slot": slot })
                .to_string()
        } else {
            format!("ready: {rpc_url} {ws_url} slot {slot}")
        }
    }
}

fn parse_program(text: &str) -> Result<(Pubkey, PathBuf), String> {
    let (id, file) = text.split_once('=').ok_or("expected ID=FILE")?;
    let id = id.parse::<Pubkey>().map_err(|error| format!("{id} is no program id: {error}"))?;
    Ok((id, PathBuf::from(file)))
}
