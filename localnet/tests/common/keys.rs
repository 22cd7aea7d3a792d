//! Keys from fixed seeds, so that each run has the same addresses and the same compute units.

use std::cell::Cell;

use chainference::seeds;
use chainference_chain::accounts::model_hash;
use chainference_chain::{Keypair, PROGRAM_ID, Pubkey, Signer, address};

/// What derived addresses end with when the first try is off the curve. Anchor searches downwards from here, and each
/// try costs 1,500 compute units: keys are chosen such that the first one is it.
const FIRST_BUMP: u8 = 255;

thread_local! {
    static SALT: Cell<u32> = const { Cell::new(0) };
}

/// Other keys than the tests', from here on and in this thread, whatever tries their addresses take: how a market costs
/// whose keys nobody chose. 0 for the tests' own again.
pub fn set_salt(salt: u32) {
    SALT.set(salt);
}

/// The `number`th key of this name (up to 24 bytes).
pub fn numbered_key(name: &str, number: u64) -> Keypair {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    seed[24..].copy_from_slice(&(number | u64::from(SALT.get()) << 32).to_le_bytes());
    Keypair::new_from_array(seed)
}

pub fn key(name: &str) -> Keypair {
    numbered_key(name, 0)
}

/// A client's keys: the vault's owner and its delegate.
pub struct Client {
    pub wallet: Keypair,
    pub gateway: Keypair,
}

/// A worker's keys: the record's owner and its operator.
pub struct Provider {
    pub owner: Keypair,
    pub operator: Keypair,
}

impl Client {
    pub fn new(name: &str) -> Self {
        let wallet = first(&format!("{name} wallet"), |wallet| {
            is_first_bump(&[seeds::VAULT, wallet.as_ref()])
        });
        Self { wallet, gateway: key(&format!("{name} gateway")) }
    }

    pub fn vault(&self) -> Pubkey {
        address::vault(&self.wallet.pubkey())
    }
}

impl Provider {
    pub fn new(name: &str) -> Self {
        let owner = first(&format!("{name} owner"), |owner| {
            is_first_bump(&[seeds::WORKER, owner.as_ref()])
                && is_first_offer(&address::worker(owner), super::MODEL)
        });
        Self { owner, operator: key(&format!("{name} operator")) }
    }

    pub fn worker(&self) -> Pubkey {
        address::worker(&self.owner.pubkey())
    }

    pub fn offer(&self) -> Pubkey {
        address::offer(&self.worker(), super::MODEL.0, super::MODEL.1)
    }
}

/// The next session key, at or after `number`, for which a job's address takes one try. Moves `number` behind it.
pub fn session_key(number: &mut u64, vault: &Pubkey, open_slot: u64) -> Keypair {
    loop {
        let session = numbered_key("session", *number);
        *number += 1;
        let slot = open_slot.to_le_bytes();
        if is_first_bump(&[seeds::JOB, vault.as_ref(), session.pubkey().as_ref(), &slot]) {
            return session;
        }
    }
}

/// Whether the address of this worker's offer of this model takes one try.
pub fn is_first_offer(worker: &Pubkey, model: (&str, &str)) -> bool {
    is_first_bump(&[seeds::OFFER, worker.as_ref(), &model_hash(model.0, model.1)])
}

fn first(name: &str, fits: impl Fn(&Pubkey) -> bool) -> Keypair {
    let mut keys = (0..).map(|number| numbered_key(name, number));
    keys.find(|key| fits(&key.pubkey())).expect("one in two fits")
}

fn is_first_bump(seeds: &[&[u8]]) -> bool {
    let (_, bump) = Pubkey::find_program_address(seeds, &PROGRAM_ID);
    bump == FIRST_BUMP || SALT.get() != 0
}
