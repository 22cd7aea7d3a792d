//! The seeds of every address that the program derives, in one place. The two that there is one of are derived
//! when the program is built: nine instructions check one of them, and deriving takes 1,900 compute units.

use anchor_lang::prelude::Pubkey;
use const_crypto::ed25519::derive_program_address;

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

pub const CONFIG_ADDRESS: Pubkey = derived(CONFIG);
pub const TREASURY_ADDRESS: Pubkey = derived(TREASURY);

const fn derived(seed: &[u8]) -> Pubkey {
    Pubkey::new_from_array(derive_program_address(&[seed], crate::ID_CONST.as_array()).0)
}
