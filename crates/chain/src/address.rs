//! Where the program's accounts lie.

use chainference::{seeds, state::model_hash};

use crate::{PROGRAM_ID, Pubkey};

/// The market's configuration.
pub fn config() -> Pubkey {
    seeds::CONFIG_ADDRESS
}

/// The market's treasury.
pub fn treasury() -> Pubkey {
    seeds::TREASURY_ADDRESS
}

/// The record of the worker whose cold key is `owner`.
pub fn worker(owner: &Pubkey) -> Pubkey {
    derive(&[seeds::WORKER, owner.as_ref()])
}

/// A worker's offer of a model; `worker` is the record's address.
pub fn offer(worker: &Pubkey, model: &str, quantisation: &str) -> Pubkey {
    derive(&[seeds::OFFER, worker.as_ref(), &model_hash(model, quantisation)])
}

/// The vault of the client whose cold key is `owner`.
pub fn vault(owner: &Pubkey) -> Pubkey {
    derive(&[seeds::VAULT, owner.as_ref()])
}

/// A job; also what its vouchers name.
pub fn job(vault: &Pubkey, session_key: &Pubkey, open_slot: u64) -> Pubkey {
    derive(&[seeds::JOB, vault.as_ref(), session_key.as_ref(), &open_slot.to_le_bytes()])
}

fn derive(seeds: &[&[u8]]) -> Pubkey {
    Pubkey::find_program_address(seeds, &PROGRAM_ID).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_holds_for_its_addresses_is_what_their_seeds_give() {
        assert_eq!(config(), derive(&[seeds::CONFIG]));
        assert_eq!(treasury(), derive(&[seeds::TREASURY]));
    }
}
