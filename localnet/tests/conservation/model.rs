//! What every account must hold. Written from the protocol, without the program's rules: where the two disagree,
//! one of them is wrong.

use std::collections::BTreeMap;

use chainference_chain::{PROGRAM_ID, Pubkey};
use solana_sdk_ids::system_program;

use crate::call::{Call, Flags, Slot, Tx, slots};
use crate::state::{Config, Job, Offer, State, Treasury, Vault, Worker};

pub const FEE_PER_SIGNATURE: u64 = 5_000;

/// Names under one of which a call may be refused: each is a rule that it breaks. Which of them is found first is
/// the program's own affair.
pub type Refusals = Vec<&'static str>;

#[derive(Clone, Debug)]
pub struct Account {
    pub lamports: u64,
    pub state: State,
}

/// Rules that a call breaks, gathered.
#[derive(Default)]
pub struct Broken(pub Refusals);

impl Broken {
    pub fn unless(&mut self, holds: bool, name: &'static str) {
        if !holds {
            self.0.push(name);
        }
    }

    /// Refuses if anything was gathered.
    pub fn done(self) -> Result<(), Refusals> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

#[derive(Clone)]
pub struct Model {
    pub accounts: BTreeMap<Pubkey, Account>,
    pub slot: u64,
    pub now_unix_s: i64,
    pub rent_per_byte: u64,
    pub fees_burnt: u64,
}

macro_rules! typed {
    ($($get:ident $get_mut:ident $kind:ident),*) => { $(
        pub fn $get(&self, key: &Pubkey) -> &$kind {
            match &self.accounts[key].state {
                State::$kind(state) => state,
                other => panic!("{key} is {other:?}"),
            }
        }

        pub fn $get_mut(&mut self, key: &Pubkey) -> &mut $kind {
            match &mut self.accounts.get_mut(key).expect("a known account").state {
                State::$kind(state) => state,
                other => panic!("{key} is {other:?}"),
            }
        }
    )* };
}

impl Model {
    typed!(
        config config_mut Config,
        treasury treasury_mut Treasury,
        vault vault_mut Vault,
        worker worker_mut Worker,
        offer offer_mut Offer,
        job job_mut Job
    );

    pub fn lamports(&self, key: &Pubkey) -> u64 {
        self.accounts.get(key).map_or(0, |account| account.lamports)
    }

    /// Lamports that keep an account of this size alive.
    pub fn rent(&self, bytes: usize) -> u64 {
        (128 + bytes as u64) * self.rent_per_byte
    }

    pub fn state(&self, key: &Pubkey) -> Option<&State> {
        self.accounts.get(key).map(|account| &account.state)
    }

    /// Whether the program has an account there.
    pub fn exists(&self, key: &Pubkey) -> bool {
        self.state(key).is_some_and(|state| state.bytes() > 0)
    }

    pub fn jobs(&self) -> impl Iterator<Item = (&Pubkey, &Job)> {
        self.accounts.iter().filter_map(|(key, account)| match &account.state {
            State::Job(job) => Some((key, job)),
            _ => None,
        })
    }

    /// Runs a transaction, whole or not at all; the fee is burnt either way.
    pub fn run(&mut self, tx: &Tx) -> Result<(), Refusals> {
        let flags = tx.flags();
        let signers = flags.values().filter(|flag| flag.is_signer).count() as u64;
        self.fees_burnt += signers * FEE_PER_SIGNATURE;
        self.accounts.get_mut(&tx.payer).expect("the payer exists").lamports -=
            signers * FEE_PER_SIGNATURE;
        let mut after = self.clone();
        for call in &tx.calls {
            after.call(call, &flags)?;
        }
        after.rents_hold(self, &flags)?;
        after.accounts.retain(|_, account| account.lamports > 0);
        *self = after;
        Ok(())
    }

    fn call(&mut self, call: &Call, flags: &BTreeMap<Pubkey, Flags>) -> Result<(), Refusals> {
        if call.is_cut {
            return Err(vec!["InstructionDidNotDeserialize", "InstructionFallbackNotFound"]);
        }
        let keys: Vec<_> = call.instruction.accounts.iter().map(|meta| meta.pubkey).collect();
        let slots = slots(&call.verb);
        let mut wrong = Broken::default();
        wrong.unless(keys.len() >= slots.len(), "AccountNotEnoughKeys");
        for (key, (slot, _)) in keys.iter().zip(slots) {
            self.check_slot(key, *slot, flags, &mut wrong);
        }
        wrong.done()?;
        let mut broken = Broken::default();
        for (key, (slot, must_write)) in keys.iter().zip(slots) {
            let is_none = *slot == Slot::MaybeWorker && *key == PROGRAM_ID;
            let writable = flags[key].is_writable && !self.is_alien(key);
            if *must_write && !writable && !is_none {
                // An account that is to be made, or that pays for it, is given on to the system program first.
                broken.0.extend(["ConstraintMut", "PrivilegeEscalation"]);
            }
        }
        self.obey(&call.verb, &keys, broken)
    }

    fn check_slot(
        &self,
        key: &Pubkey,
        slot: Slot,
        flags: &BTreeMap<Pubkey, Flags>,
        wrong: &mut Broken,
    ) {
        if slot == Slot::MaybeWorker && *key == PROGRAM_ID {
            return;
        }
        wrong.unless(slot != Slot::Signer || flags[key].is_signer, "AccountNotSigner");
        wrong.unless(slot != Slot::System || *key == system_program::ID, "InvalidProgramId");
        match self.state(key).unwrap_or(&State::Wallet) {
            state if state.fits(slot) => {}
            State::Wallet | State::Alien => wrong.0.push("AccountOwnedByWrongProgram"),
            State::Blank(..8) => wrong.0.push("AccountDiscriminatorNotFound"),
            _ => wrong.0.push("AccountDiscriminatorMismatch"),
        }
    }

    fn is_alien(&self, key: &Pubkey) -> bool {
        self.state(key) == Some(&State::Alien)
    }

    /// The runtime's own rule: no account is left with less than its rent, unless with nothing.
    fn rents_hold(&self, before: &Self, flags: &BTreeMap<Pubkey, Flags>) -> Result<(), Refusals> {
        let poor = |model: &Self, key: &Pubkey| {
            let account = model.accounts.get(key);
            account.is_some_and(|account| {
                (1..self.rent(account.state.bytes())).contains(&account.lamports)
            })
        };
        for key in flags.keys() {
            let was_poorer = poor(before, key) && self.lamports(key) <= before.lamports(key);
            if poor(self, key) && !was_poorer {
                return Err(vec!["InsufficientFundsForRent"]);
            }
        }
        Ok(())
    }

    /// Moves lamports; the caller has seen that they are there.
    pub fn pay(&mut self, from: &Pubkey, to: &Pubkey, lamports: u64) {
        let held = self.accounts.get_mut(from).map(|account| &mut account.lamports);
        let left = held.as_ref().and_then(|held| held.checked_sub(lamports));
        if let (Some(held), Some(left)) = (held, left) {
            *held = left;
        } else {
            assert_eq!(lamports, 0, "{from} does not hold what it pays");
        }
        let new = Account { lamports: 0, state: State::Wallet };
        self.accounts.entry(*to).or_insert(new).lamports += lamports;
    }

    /// Removes an account; all that it holds goes to `to`.
    pub fn close(&mut self, key: &Pubkey, to: &Pubkey) {
        self.pay(key, to, self.lamports(key));
        self.accounts.get_mut(key).expect("it was there").state = State::Wallet;
    }

    /// Checks that `key` can be made as an account of this size; returns what its payer adds to what lies there.
    pub fn can_make(
        &self,
        payer: &Pubkey,
        key: &Pubkey,
        expected: Pubkey,
        bytes: usize,
        broken: &mut Broken,
    ) -> u64 {
        broken.unless(*key == expected, "ConstraintSeeds");
        let is_free = self.accounts.get(key).is_none_or(|account| account.state == State::Wallet);
        broken.unless(is_free, "AccountAlreadyInUse");
        let missing = self.rent(bytes).saturating_sub(self.lamports(key));
        broken.unless(self.lamports(payer) >= missing, "ResultWithNegativeLamports");
        missing
    }

    pub fn make(&mut self, payer: &Pubkey, key: &Pubkey, missing: u64, state: State) {
        self.pay(payer, key, missing);
        self.accounts.get_mut(key).expect("just made").state = state;
    }
}
