//! What can go wrong on the command line. Each case knows what the person can do about it and the exit code for scripts.

use std::path::{Path, PathBuf};

use chainference_gateway::LedgerError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum CliError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
    #[error("{}: {message}", path.display())]
    Config { path: PathBuf, message: String },
    #[error("no home folder: neither CHAINFERENCE_HOME nor HOME is set")]
    NoHome,
    #[error("{setting}: {message}")]
    Setting { setting: &'static str, message: String },
    #[error("`chainference up` is already running in {}{}", home.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    AlreadyRunning { home: PathBuf, pid: Option<u32> },
    #[error("port {port} on {host} is taken by another program ({user} wants it)")]
    PortTaken { host: String, port: u16, user: &'static str, flag: &'static str },
    #[error("the program `chainference-chain` was not found beside `chainference`")]
    ChainBinaryMissing,
    #[error("{name} didn't start: {message}")]
    ChildFailed { name: &'static str, message: String, log: PathBuf },
    #[error("{what} can't be reached: {message}")]
    Unreachable { what: &'static str, message: String },
    #[error("the market on this chain was made by another version: {message}")]
    OtherVersion { message: String },
    #[error("the chain refused to {what}: {message}")]
    Chain { what: &'static str, message: String },
    #[error("the program {program_id} isn't deployed on this chain")]
    NotDeployed { program_id: String },
    #[error("this market isn't initialised on this chain")]
    NotInitialised,
    #[error("{address} holds {held} lamports; {needed} are needed to {what}")]
    Underfunded { address: String, held: u64, needed: u64, what: &'static str },
    #[error("there is no vault of {owner} on this chain")]
    NoVault { owner: String },
    #[error("only {free} lamports of the vault are free; {reserved} are reserved by live jobs")]
    NotFree { free: u64, reserved: u64 },
    #[error("job {0} is not known here")]
    NoSuchJob(String),
    #[error("there is no API key {0}")]
    NoSuchKey(String),
    #[error("there is an API key {0} already")]
    KeyExists(String),
    #[error("the default key is not revoked but replaced")]
    DefaultKey { path: PathBuf },
    #[error("the model can't be had: {0}")]
    Model(String),
    #[error("{} is in use by a worker", path.display())]
    ModelInUse { path: PathBuf },
    #[error("{wanted} is not here")]
    ModelNotStored { wanted: String },
    #[error("{0} files are not as they were when they came")]
    ModelsDiffer(usize),
    #[error("{role}: {message}")]
    Service { role: &'static str, message: String },
    #[error("nothing is running in this home")]
    NotRunning { start: &'static str },
    #[error("{0} checks failed")]
    Doctor(usize),
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }

    pub fn ledger(path: &Path) -> impl FnOnce(LedgerError) -> Self + '_ {
        move |error| Self::Content { path: path.to_owned(), message: error.to_string() }
    }

    /// One line that says what to do, where something can be done.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHome => "set CHAINFERENCE_HOME to a folder of yours".into(),
            Self::Config { .. } => "`chainference --help` names the settings; the file may also be removed".into(),
            Self::AlreadyRunning { .. } => {
                "`chainference status` shows its URL and key; end it with Ctrl-C, or use another CHAINFERENCE_HOME".into()
            }
            Self::PortTaken { flag, .. } => format!("choose another one with {flag}"),
            Self::ChainBinaryMissing => {
                "`make build` puts it there; or name it with CHAINFERENCE_CHAIN_BIN, or use another chain with --rpc-url".into()
            }
            Self::ChildFailed { log, .. } => format!("its log: {}", log.display()),
            Self::Unreachable { what: "the chain", .. } => {
                "is `chainference up` (or `chainference chain`) running? --rpc-url and --ws-url name another chain".into()
            }
            Self::OtherVersion { .. } => {
                "an embedded chain begins anew once the folder `chain` in the home is moved away; its money is play money".into()
            }
            Self::NotDeployed { .. } => "programs/README.md says how to deploy it; the embedded chain has it from the start".into(),
            Self::NotInitialised => "whoever deployed the program does that, once".into(),
            Self::Underfunded { address, .. } => format!("send SOL to {address}"),
            Self::NoVault { .. } => "open one: chainference wallet deposit 1sol".into(),
            Self::Model(_) => "--model takes a GGUF file, owner/name[:quantisation] of the Hugging Face hub, or quickstart".into(),
            Self::ModelInUse { .. } => "end the worker that serves it, or let it serve another".into(),
            Self::ModelNotStored { .. } => "`chainference models ls` lists what is here".into(),
            Self::NoSuchJob(_) => "`chainference jobs` lists those of this gateway".into(),
            Self::NoSuchKey(_) => "`chainference keys list` lists them".into(),
            Self::KeyExists(_) => "choose another name, or revoke that one first".into(),
            Self::DefaultKey { path } => {
                format!("remove {} and start the gateway again: it makes a new one", path.display())
            }
            Self::NotRunning { start } => format!("start it: {start}"),
            Self::Doctor(_) => "each line marked ✗ says what to do".into(),
            _ => return None,
        })
    }

    /// 1: failed; 3: nothing is running there; 4: it runs already, or its port is taken; 130: interrupted. Clap uses 2.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NotRunning { .. } => 3,
            Self::AlreadyRunning { .. } | Self::PortTaken { .. } => 4,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}
