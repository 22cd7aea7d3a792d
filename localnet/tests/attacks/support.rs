//! What the attacks share beyond the kit.

use chainference_chain::accounts::*;
use chainference_chain::instruction::{self, ClaimRequest, Compared};
use chainference_chain::{
    Instruction, JobTerms, Keypair, Lamports, PROGRAM_ID, Pubkey, SignedTransaction, Signer, Totals,
};
use solana_account::Account;
use solana_transaction::versioned::VersionedTransaction;

pub use chainference_chain::address;

use crate::common::*;

/// What a vault may be topped up or a wallet robbed by, where any amount does.
pub const SOME: u64 = 10_000;

/// The kinds of accounts that the program owns, as their first eight bytes say.
pub fn kind(account: &Account) -> Option<[u8; 8]> {
    let is_ours = account.owner.to_bytes() == PROGRAM_ID.to_bytes();
    account.data.first_chunk::<8>().copied().filter(|_| is_ours)
}

/// Puts an account where nobody's key leads: an attacker's own copy.
pub fn plant(market: &mut Market, name: &str, account: Account) -> Pubkey {
    let address = key(name).pubkey();
    market.svm.set_account(address.to_bytes().into(), account).unwrap();
    address
}

/// The same instruction with another account at one place.
pub fn with_account(instruction: &Instruction, at: usize, key: Pubkey) -> Instruction {
    let mut changed = instruction.clone();
    changed.accounts[at].pubkey = key;
    changed
}

/// A plain transfer of the system program's: the first two accounts of a deposit are a transfer's.
pub fn transfer(from: &Pubkey, to: &Pubkey, lamports: u64) -> Instruction {
    let mut transfer = instruction::deposit(from, to, Lamports(lamports));
    transfer.program_id = transfer.accounts.pop().expect("the system program").pubkey;
    transfer.data = [2u32.to_le_bytes().as_slice(), &lamports.to_le_bytes()].concat();
    transfer
}

/// Runs a transaction without keeping what it does.
pub fn simulate(market: &Market, signed: &SignedTransaction) -> Result<(), Refusal> {
    let transaction: VersionedTransaction = bincode::deserialize(&signed.wire).unwrap();
    market.svm.simulate_transaction(transaction).map(drop).map_err(|failed| {
        let name = failed.meta.logs.iter().find_map(|line| line.split_once("Error Code: "));
        let name = name.and_then(|(_, rest)| rest.split_once('.'));
        name.map_or_else(|| format!("{:?}", failed.err), |(name, _)| name.to_string())
    })
}

/// Says which of two jobs of one client was answered better.
pub fn compare(
    client: &Pubkey,
    first: &TestJob,
    second: &TestJob,
    preferred: Preferred,
) -> Instruction {
    let jobs = [first, second].map(|job| Compared {
        job: job.address,
        worker: job.terms.worker,
        authority: job.terms.authority,
    });
    instruction::compare(client, &first.terms.vault, jobs, preferred)
}

pub fn config(market: &Market) -> Config {
    market.load(&address::config())
}

/// The same market on a chain with the features that are active in public, and none of those to come.
pub fn with_public_features(mut market: Market) -> Market {
    let svm = std::mem::take(&mut market.svm);
    market.svm = svm.with_mainnet_features().with_builtins();
    market
}

/// A worker says that it leaves, and the cooldown passes.
pub fn leave(market: &mut Market, owner: &Keypair) {
    set_worker(market, owner, WorkerStatus::Retiring);
    let cooldown_s = config(market).bond_cooldown_s;
    market.warp(0, i64::from(cooldown_s));
}

pub fn set_worker(market: &mut Market, owner: &Keypair, status: WorkerStatus) {
    let status = UpdateWorkerArgs { status: Some(status), ..Default::default() };
    market.send(&[instruction::update_worker(&owner.pubkey(), status)], owner, &[]).unwrap();
}

pub fn update_config(market: &mut Market, args: UpdateConfigArgs) {
    let admin = market.admin.insecure_clone();
    market.send(&[instruction::update_config(&admin.pubkey(), args)], &admin, &[]).unwrap();
}

pub fn update_offer(market: &mut Market, args: UpdateOfferArgs) {
    let operator = market.operator.insecure_clone();
    let (worker, offer) = (market.worker(), market.offer());
    let update = instruction::update_offer(&operator.pubkey(), &worker, &offer, args);
    market.send(&[update], &operator, &[]).unwrap();
}

/// One instruction by one key, refused by its name.
#[track_caller]
pub fn denied(market: &mut Market, instruction: &Instruction, signer: &Keypair, name: &str) {
    refused(market, std::slice::from_ref(instruction), &[signer], name);
}

/// Sends as somebody who has no part in it.
#[track_caller]
pub fn by_stranger(market: &mut Market, instruction: Instruction) -> Result<(), Refusal> {
    let stranger = market.stranger.insecure_clone();
    market.send(&[instruction], &stranger, &[])
}

impl Market {
    /// Sets the time; slots stay as they are.
    pub fn go_to(&mut self, unix_s: i64) {
        self.warp(0, unix_s - self.now_unix_s());
    }
}

/// A locked job whose vouchers anyone's key signs: a forged one, or one of an unusual kind.
pub struct Target {
    pub terms: JobTerms,
}

impl Target {
    pub fn unpublished(market: &mut Market, session_key: [u8; 32], open_slot: u64) -> Self {
        let (mut terms, _) = market.terms();
        (terms.session_key, terms.open_slot) = (session_key.into(), open_slot);
        terms.stake = 3 * CHARGE_MIN + SOME; // the delegate's limit is for hundreds of these
        Self { terms }
    }

    #[track_caller]
    pub fn lock(&self, market: &mut Market) {
        market.lock_on(&self.terms).unwrap();
    }

    #[track_caller]
    pub fn locked_with(market: &mut Market, session_key: [u8; 32]) -> Self {
        let slot = market.clock().slot;
        let target = Self::unpublished(market, session_key, slot);
        target.lock(market);
        target
    }

    pub fn address(&self) -> Pubkey {
        self.terms.job()
    }

    pub fn session_key(&self) -> [u8; 32] {
        self.terms.session_key.to_bytes()
    }

    /// The worker's claim with these bytes for a signature.
    pub fn claim(&self, totals: Totals, signature: [u8; 64]) -> Instruction {
        let terms = &self.terms;
        instruction::claim(&ClaimRequest {
            operator: terms.operator,
            worker: terms.worker,
            vault: terms.vault,
            job: terms.job(),
            voucher: Some((totals, signature.into())),
            is_final: false,
        })
    }

    /// What the chain says of the signature, without claiming; `false` only for the refusal of its name.
    #[track_caller]
    pub fn verdict(&self, market: &mut Market, totals: Totals, signature: [u8; 64]) -> bool {
        let operator = market.operator.insecure_clone();
        let signed = market.sign(&[self.claim(totals, signature)], &operator, &[]);
        match simulate(market, &signed) {
            Ok(()) => true,
            Err(refusal) => {
                assert_eq!(refusal, "BadVoucherSignature");
                false
            }
        }
    }
}
