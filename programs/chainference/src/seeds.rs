//! The seeds of every address that the program derives, in one place.

/// `["config"]`: the market's one configuration.
pub const CONFIG: &[u8] = b"config";
/// `["worker", owner]`
pub const WORKER: &[u8] = b"worker";
/// `["offer", worker, model_hash]`, see [`crate::state::model_hash`].
pub const OFFER: &[u8] = b"offer";
/// `["vault", owner]`
pub const VAULT: &[u8] = b"vault";
/// `["job", vault, session_key, open_slot as u64 little-endian]`
pub const JOB: &[u8] = b"job";
/// `["treasury"]`: the market's one treasury.
pub const TREASURY: &[u8] = b"treasury";
