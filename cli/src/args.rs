//! The command line: its commands, and the help that teaches them.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use chainference_worker::models::ModelSource;

use crate::{
    config::Config,
    keys::Keys,
    settings::{
        ChainSettings, EngineSettings, GatewaySettings, Settings, VaultSettings, WorkerSettings,
    },
    spend::SpendCommand,
    workers::Workers,
};

const ABOUT: &str =
    "A market for language-model inference: OpenAI's API in front, staked jobs on Solana behind";

const EXAMPLES: &str = "\
Examples:
  chainference up                                   a whole market on this machine: chain, worker, gateway
  chainference up --model Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M
  chainference up --model quickstart --model owner/other:Q8_0      several models in one worker
  chainference models pull owner/name:Q4_K_M        fetch a model beforehand; also ls, verify, rm
  chainference status                               base URL, API key, and how each part is
  chainference jobs                                 what each call cost
  chainference keys create alice --budget-day 0.1sol --requests-per-min 60
  chainference spend                                what was spent, by key, model and day
  chainference wallet                               addresses and balances
  chainference workers --model SmolLM2-135M-Instruct    who serves it, whom a call would go to, and why
  chainference worker status                        what the worker does and has earned
  chainference worker retire                        leaves the market and gets the bond back
  chainference config show                          every setting, and where it is from
  chainference doctor                               looks for what is wrong, and says what to do
  chainference gateway --rpc-url https://api.devnet.solana.com    a gateway alone, on a public chain
  chainference gateway --upstream http://127.0.0.1:8080/v1        a gateway to servers of your own, without a chain

Settings come from a flag, else the environment, else $CHAINFERENCE_HOME/config.toml, else the default.
All state lives in $CHAINFERENCE_HOME (default ~/.chainference). CHAINFERENCE_LOG=debug makes logs talkative.
Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 nothing is running, 4 already running or port taken.";

#[derive(Parser, Debug)]
#[command(name = "chainference", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Folder that holds all state [default: ~/.chainference]
    #[arg(long, global = true, env = "CHAINFERENCE_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,

    /// Settings file [default: config.toml in the home folder]
    #[arg(long, global = true, env = "CHAINFERENCE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How the log is written [default: text]
    #[arg(long, global = true, env = "CHAINFERENCE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// A log for people, or one JSON object a line for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Start a whole market: the chain, a worker with its model, the gateway. Ctrl-C ends it
    Up(Settings),
    /// Run the embedded chain alone
    Chain(ServeChain),
    /// Run a worker alone: it registers, serves its model and claims what it earned. Or look after it
    Worker(ServeWorker),
    /// Run a gateway alone: OpenAI's API for the market on the chain
    Gateway(ServeGateway),
    /// Show addresses and balances; move money
    Wallet(Wallet),
    /// Fetch models, list them, check their files, remove them
    Models(Models),
    /// List the jobs of this gateway: what each staked, cost and returned
    Jobs(Jobs),
    /// List the market's workers as the gateway sees them; with --model, whom a call goes to, and why
    Workers(Workers),
    /// Make API keys with budgets, rates and models; list them, take them back
    Keys(Keys),
    /// Show what calls have cost, by key, model and day
    Spend(SpendCommand),
    /// Show whether a market runs in this home, and how to call it
    Status(Status),
    /// Check config.toml, describe it, or show which settings hold and why
    Config(Config),
    /// Look for what is wrong, and say what to do
    Doctor(Doctor),
    /// The worker's engine, started by the worker itself
    #[command(hide = true)]
    Engine,
}

/// Told to a child by `up`: end when standard input closes.
#[derive(Args, Debug, Clone, Copy)]
pub struct Supervision {
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    pub supervised: bool,
}

#[derive(Args, Debug)]
pub struct ServeChain {
    #[command(flatten)]
    pub chain: ChainSettings,
    #[command(flatten)]
    pub supervision: Supervision,
}

#[derive(Args, Debug)]
pub struct ServeWorker {
    #[command(subcommand)]
    pub action: Option<WorkerAction>,
    #[command(flatten)]
    pub chain: ChainSettings,
    #[command(flatten)]
    pub worker: WorkerSettings,
    #[command(flatten)]
    pub engine: EngineSettings,
    #[command(flatten)]
    pub supervision: Supervision,
}

#[derive(Subcommand, Debug)]
pub enum WorkerAction {
    /// Show how the worker is: its calls, jobs and earnings, and what the chain says of it
    Status {
        /// Print JSON, amounts in lamports
        #[arg(long)]
        json: bool,
    },
    /// Move the earnings from the worker's record to its owner's wallet
    Withdraw,
    /// Leave the market: no new jobs, then the bond comes back. Says what it still waits for
    Retire {
        /// Stay until the bond is back
        #[arg(long)]
        wait: bool,
        /// Come back into the market instead
        #[arg(long, conflicts_with = "wait")]
        undo: bool,
    },
}

#[derive(Args, Debug)]
pub struct ServeGateway {
    #[command(flatten)]
    pub chain: ChainSettings,
    #[command(flatten)]
    pub gateway: GatewaySettings,
    #[command(flatten)]
    pub supervision: Supervision,
}

#[derive(Args, Debug)]
pub struct Wallet {
    #[command(subcommand)]
    pub action: Option<WalletAction>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub chain: ChainSettings,
}

#[derive(Subcommand, Debug)]
pub enum WalletAction {
    /// Print the wallet's address
    Address,
    /// Put money from the wallet into the vault, opening it where there is none
    #[command(after_help = "Amounts: `1.5sol`, or lamports as a plain number.")]
    Deposit {
        #[arg(value_parser = crate::amount::parse, value_name = "AMOUNT")]
        amount: u64,
        #[command(flatten)]
        vault: VaultSettings,
    },
    /// Take unreserved money out of the vault, back into the wallet
    #[command(after_help = "Amounts: `1.5sol`, or lamports as a plain number.")]
    Withdraw {
        #[arg(value_parser = crate::amount::parse, value_name = "AMOUNT")]
        amount: u64,
    },
    /// Move the worker's earnings from its record to its owner's wallet
    Earnings,
}

#[derive(Args, Debug)]
pub struct Models {
    #[command(subcommand)]
    pub action: ModelsAction,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum ModelsAction {
    /// Download models, or go on where a download was cut; each is checked against its SHA-256
    #[command(
        after_help = "MODEL: quickstart, or owner/name[@revision][:quantisation] of the Hugging Face hub. HF_TOKEN and HF_ENDPOINT count."
    )]
    Pull {
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<ModelSource>,
    },
    /// List the models that are here
    Ls,
    /// Remove models; one that a worker serves is refused
    Rm {
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<ModelSource>,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Read the files again and say which are not what they were when they came
    Verify {
        /// [default: all that are here]
        #[arg(value_name = "MODEL")]
        models: Vec<ModelSource>,
    },
}

#[derive(Args, Debug)]
pub struct Jobs {
    #[command(subcommand)]
    pub action: Option<JobsAction>,
    /// Print JSON, amounts in lamports
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum JobsAction {
    /// Show all that is known of one job
    Show {
        /// Its address, or the beginning of it
        id: String,
    },
}

#[derive(Args, Debug)]
pub struct Status {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub settings: Settings,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
