//! The real thing: the built program in the real VM, and the comparison of all that lies there with the model.

use anchor_lang::Discriminator;
use chainference::state::{self as chain, Stored};
use chainference_chain::accounts::{InitializeArgs, Preset};
use chainference_chain::{PROGRAM_ID, Pubkey, Signer, address, instruction};
use litesvm::LiteSVM;
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_clock::Clock;
use solana_sdk_ids::{system_program, sysvar};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction::{InstructionError, Message, TransactionError, VersionedMessage};

use crate::call::{Call, Tx, Verb};
use crate::cast::Cast;
use crate::model::{self, Model};
use crate::seen::seen;
use crate::state::State;

#[path = "../../src/program.rs"]
#[expect(dead_code, reason = "the chain asks more of it than a test does")]
mod program;

const ARTIFACT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/artifacts/chainference.so");
const SOL: u64 = 1_000_000_000;
const START_SLOT: u64 = 1_000_000;
const START_UNIX_S: i64 = 1_800_000_000;

#[derive(Clone)]
pub struct World {
    svm: LiteSVM,
    /// Transactions are signed and their signatures checked. The program sees the same without: who signs stands in
    /// the message, and `signatures_change_nothing_for_the_program` compares the two.
    pub verifies: bool,
    /// Lamports that existed at the start.
    minted: u128,
}

impl World {
    /// A market without anyone in it, and the model of it.
    pub fn new(cast: &Cast) -> (Self, Model) {
        // No history: it would refuse the same transaction a second time, before the program sees it.
        let svm = LiteSVM::new().with_blockhash_check(false).with_transaction_history(0);
        let mut world = Self { svm, verifies: false, minted: 0 };
        world.deploy(&cast.admins[0]);
        let empty = &cast.payouts[2..];
        for key in cast.people().iter().filter(|key| !empty.contains(key)) {
            let wallet = Account { lamports: 1_000_000 * SOL, ..Default::default() };
            world.svm.set_account(*key, wallet).unwrap();
        }
        world.forge_accounts(cast);
        let clock = Clock { slot: START_SLOT, unix_timestamp: START_UNIX_S, ..Default::default() };
        world.svm.set_sysvar(&clock);
        world.set_verifying(false);
        let call = Call::new(Verb::Initialize, initialize(cast, &cast.admins[0]));
        world.send(&Tx { payer: cast.relayer, calls: vec![call] }, cast).unwrap();
        world.minted = world.held();
        let model = world.first_model(cast);
        (world, model)
    }

    pub fn set_verifying(&mut self, verifies: bool) {
        let svm = std::mem::take(&mut self.svm);
        self.svm = svm.with_sigverify(verifies);
        self.verifies = verifies;
    }

    fn deploy(&mut self, authority: &Pubkey) {
        let elf = std::env::var("CHAINFERENCE_PROGRAM").unwrap_or(ARTIFACT.into());
        let programs = [(PROGRAM_ID, elf.into())];
        let authority = Some(*authority);
        for program in program::read(&programs, authority).unwrap() {
            let rent = |bytes| self.svm.minimum_balance_for_rent_exemption(bytes);
            let (data, account) =
                (program.data_account(0, rent).unwrap(), program.account(rent).unwrap());
            self.svm.set_account(program.data_address, data).unwrap();
            self.svm.set_account(program.id, account).unwrap();
        }
    }

    /// What an attacker makes at his own cost: our accounts' bytes under another program, and blank accounts of ours.
    fn forge_accounts(&mut self, cast: &Cast) {
        let kinds: [(&[u8], usize); 6] = [
            (chain::Config::DISCRIMINATOR, chain::Config::BYTES),
            (chain::Treasury::DISCRIMINATOR, chain::Treasury::BYTES),
            (chain::Vault::DISCRIMINATOR, chain::Vault::BYTES),
            (chain::Worker::DISCRIMINATOR, chain::Worker::BYTES),
            (chain::Offer::DISCRIMINATOR, chain::Offer::BYTES),
            (chain::Job::DISCRIMINATOR, chain::Job::BYTES),
        ];
        for (key, (tag, bytes)) in cast.forged.iter().zip(kinds) {
            let mut data = [tag, cast.attacker.as_ref(), cast.attacker.as_ref()].concat();
            data.resize(bytes, 0);
            let account =
                Account { lamports: SOL, data, owner: cast.attacker, ..Default::default() };
            self.svm.set_account(*key, account).unwrap();
        }
        for (key, bytes) in cast.blank.iter().zip([4, 1_000]) {
            let data = vec![0; bytes];
            let account = Account { lamports: SOL, data, owner: PROGRAM_ID, ..Default::default() };
            self.svm.set_account(*key, account).unwrap();
        }
    }

    fn first_model(&self, cast: &Cast) -> Model {
        let mut aliens = vec![PROGRAM_ID, system_program::ID, sysvar::clock::ID];
        aliens.extend(cast.forged);
        let market = [address::config(), address::treasury()];
        let known = cast.people().into_iter().chain(market).chain(cast.blank);
        let mut accounts = std::collections::BTreeMap::new();
        for key in known.chain(aliens.clone()) {
            let Some(account) = self.account(&key) else { continue };
            let state = if aliens.contains(&key) { State::Alien } else { seen(account) };
            accounts.insert(key, model::Account { lamports: account.lamports(), state });
        }
        let rent_per_byte = self.svm.minimum_balance_for_rent_exemption(0) / 128;
        Model { accounts, slot: START_SLOT, now_unix_s: START_UNIX_S, rent_per_byte, fees_burnt: 0 }
    }

    pub fn account(&self, key: &Pubkey) -> Option<&AccountSharedData> {
        self.svm.accounts_db().get_account_ref(key)
    }

    pub fn warp(&mut self, slot: u64, now_unix_s: i64) {
        let mut clock: Clock = self.svm.get_sysvar();
        (clock.slot, clock.unix_timestamp) = (slot, now_unix_s);
        self.svm.set_sysvar(&clock);
    }

    pub fn set_rent(&mut self, per_byte: u64) {
        let mut rent: Account = self.account(&sysvar::rent::ID).cloned().unwrap_or_default().into();
        rent.data[..8].copy_from_slice(&per_byte.to_le_bytes());
        self.svm.set_account(sysvar::rent::ID, rent).unwrap();
        assert_eq!(self.svm.minimum_balance_for_rent_exemption(72), 200 * per_byte);
    }

    /// Runs a transaction. A refusal comes with its name and must not have changed a byte.
    pub fn send(&mut self, tx: &Tx, cast: &Cast) -> Result<(), String> {
        let keys: Vec<_> = tx.flags().into_keys().filter(|key| *key != tx.payer).collect();
        let before: Vec<_> = keys.iter().map(|key| self.account(key).cloned()).collect();
        match self.svm.send_transaction(self.transaction(tx, cast)) {
            Ok(_) => Ok(()),
            Err(failed) => {
                for (key, before) in keys.iter().zip(&before) {
                    let after = self.account(key);
                    assert_eq!(after, before.as_ref(), "a refusal changed {}", cast.say(key));
                }
                Err(refusal(&failed.err, &failed.meta.logs))
            }
        }
    }

    fn transaction(&self, tx: &Tx, cast: &Cast) -> VersionedTransaction {
        let instructions: Vec<_> = tx.calls.iter().map(|call| call.instruction.clone()).collect();
        let message = Message::new(&instructions, Some(&tx.payer));
        let signers = usize::from(message.header.num_required_signatures);
        let signatures = if self.verifies {
            let bytes = message.serialize();
            let sign = |key| cast.keypair(key).expect("a key that we hold").sign_message(&bytes);
            message.account_keys[..signers].iter().map(sign).collect()
        } else {
            vec![Default::default(); signers]
        };
        VersionedTransaction { signatures, message: VersionedMessage::Legacy(message) }
    }

    fn held(&self) -> u128 {
        self.svm.accounts_db().inner.values().map(|account| u128::from(account.lamports())).sum()
    }

    /// Compares every account with the model, and counts every lamport there is.
    pub fn check(&self, model: &Model, cast: &Cast) {
        for (key, expected) in &model.accounts {
            let account = self.account(key).unwrap_or_else(|| panic!("{} is gone", cast.say(key)));
            assert_eq!(account.lamports(), expected.lamports, "lamports of {}", cast.say(key));
            if expected.state != State::Alien {
                assert_eq!(seen(account), expected.state, "{}", cast.say(key));
            }
        }
        let accounts = self.svm.accounts_db().inner.values();
        let ours = accounts.filter(|account| *account.owner() == PROGRAM_ID);
        let modelled = model.accounts.values().filter(|account| account.state.bytes() > 0);
        assert_eq!(ours.count(), modelled.count(), "accounts that the program owns");
        let held = self.held() + u128::from(model.fees_burnt);
        assert_eq!(held, self.minted, "lamports held and burnt, against those that there were");
    }

    /// Puts money where none came from: to see that it is noticed.
    pub fn forge(&mut self, key: &Pubkey, lamports: u64) {
        let mut account: Account = self.account(key).cloned().unwrap_or_default().into();
        account.lamports += lamports;
        self.svm.set_account(*key, account).unwrap();
    }
}

/// A second market, or the first.
pub fn initialize(cast: &Cast, authority: &Pubkey) -> chainference_chain::Instruction {
    let args = InitializeArgs {
        preset: Preset::Open,
        platform_payout: cast.payouts[0],
        stakers_payout: cast.payouts[1],
        bond_min: SOL / 10,
        reputation_prior: 2_000,
        rated_fees_min: 5_000,
        bond_cooldown_s: 1_000,
        grace_s: 600,
        heartbeat_s: 60,
    };
    instruction::initialize(authority, args)
}

/// The name of a refusal: the program's or Anchor's own, else the system program's, else the runtime's.
fn refusal(error: &TransactionError, logs: &[String]) -> String {
    let error = match error {
        TransactionError::InstructionError(_, error) => error,
        TransactionError::InsufficientFundsForRent { .. } => {
            return "InsufficientFundsForRent".into();
        }
        error => return format!("{error:?}"),
    };
    let InstructionError::Custom(number) = error else { return format!("{error:?}") };
    let numbered = format!("Error Number: {number}.");
    let named = logs.iter().find(|line| line.contains(&numbered));
    if let Some((_, rest)) = named.and_then(|line| line.split_once("Error Code: ")) {
        return rest.split('.').next().unwrap_or_default().to_string();
    }
    let failed = format!("Program {} failed", system_program::ID);
    let by_system = logs.iter().any(|line| line.starts_with(&failed));
    match number {
        0 if by_system => "AccountAlreadyInUse".into(),
        1 if by_system => "ResultWithNegativeLamports".into(),
        _ => format!("no name for {number}: {logs:#?}"),
    }
}
