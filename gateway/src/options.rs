//! Everything that can be set about a gateway.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use chainference_chain::{Commitment, Endpoints, Lamports, Pubkey};

use crate::{access::JwtOptions, mode::Mode, tokenizers::Tokenizer, upstream::UpstreamOptions};

/// A gateway's settings. [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// Loopback by default. No address is served without the API key.
    pub listen: SocketAddr,
    pub chain: Endpoints,
    /// Further nodes of the same cluster, asked where the first is away.
    pub chain_fallbacks: Vec<Endpoints>,
    /// What a landed transaction must have reached: `Processed` on the embedded chain, elsewhere
    /// `Confirmed`.
    pub commitment: Commitment,
    /// The cold key whose vault pays.
    pub vault_owner: Pubkey,
    /// The vault's delegate (JSON of the Solana CLI): pays fees and rent, publishes, closes.
    pub gateway_key_file: PathBuf,
    /// Holds the API key; made with mode 0600 where it is missing.
    pub api_key_file: PathBuf,
    pub ledger_path: PathBuf,
    /// Requests in progress, streams included; more are answered with 429.
    pub concurrency_max: usize,
    pub body_bytes_max: usize,
    /// Connections at once; beyond that the one that has waited longest without a request makes room.
    pub connections_max: usize,
    /// Below so much free money in the vault the gateway warns.
    pub low_balance: Lamports,
    /// Whether responses are kept, in memory, so that later ones can go on from them.
    pub store_responses: bool,
    /// A worker whose last heartbeat is older is held for dead.
    pub heartbeat_age_s_max: i64,
    /// How calls come to their jobs, where they don't say so themselves.
    pub mode: Mode,
    /// Whether fees cost real money: not so on the embedded chain.
    pub fees_matter: bool,
    /// The most that jobs which wait for calls may hold together, whatever the vault holds.
    pub ahead_max: Lamports,
    /// Whose signed tokens are taken beside keys; `None`: nobody's.
    pub jwt: Option<JwtOptions>,
    /// Whether workers on private addresses are called: for an embedded chain, and for tests.
    pub allow_private_endpoints: bool,
    /// Servers of the operator's own, which are asked first and cost nothing.
    pub upstreams: Vec<UpstreamOptions>,
    /// Those of models, by which is counted again what workers say to have counted.
    pub tokenizers: Vec<Tokenizer>,
    /// Whether the market's models are served, too. Without it the chain is never asked, and no vault or key of one needed.
    pub market: bool,
}

impl Options {
    /// The defaults of a public chain, listening on loopback.
    pub fn new(
        chain: Endpoints,
        vault_owner: Pubkey,
        gateway_key_file: PathBuf,
        api_key_file: PathBuf,
        ledger_path: PathBuf,
    ) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
            chain,
            chain_fallbacks: Vec::new(),
            commitment: Commitment::Confirmed,
            vault_owner,
            gateway_key_file,
            api_key_file,
            ledger_path,
            concurrency_max: 256,
            body_bytes_max: 2 * 1024 * 1024,
            connections_max: 1_024,
            low_balance: Lamports(50_000_000),
            store_responses: false,
            heartbeat_age_s_max: 120,
            mode: Mode::Auto,
            fees_matter: true,
            ahead_max: Lamports(1_000_000_000),
            jwt: None,
            allow_private_endpoints: false,
            upstreams: Vec::new(),
            tokenizers: Vec::new(),
            market: true,
        }
    }
}
