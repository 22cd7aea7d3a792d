//! Every instruction of the program in a market where it succeeds ([`Tour`]): what the mechanical attacks change one
//! thing of. A stranger to the market pays the fees, so that no key signs but those that must.

use std::collections::BTreeSet;

use chainference_chain::{Instruction, Keypair, Pubkey, Signer};
use solana_account::Account;

use crate::common::tour::{Step, Tour};
use crate::common::*;
use crate::support::*;

/// One instruction that would succeed now.
pub struct Case {
    pub name: &'static str,
    pub market: Market,
    pub instruction: Instruction,
    /// The key that must sign; none where anyone may send it.
    pub signer: Option<Keypair>,
    payer: Keypair,
}

/// The instruction's own name, without what a step adds to it.
fn verb(name: &str) -> &str {
    let name = name.trim_start_matches("final ");
    name.split(' ').next().unwrap_or(name)
}

/// What the program says when another key signs; `None` for what anyone may send.
pub fn foreign_refusal(name: &str) -> Option<&'static str> {
    let refusal = match verb(name) {
        "initialize" => "NotUpgradeAuthority",
        "update_config" | "accept_admin" => "NotAdmin",
        // Their addresses come from the key that signs.
        "register_worker" | "retract_offer" | "open_vault" => "ConstraintSeeds",
        "update_worker" | "retire_worker" => "NotWorkerOwner",
        "post_offer" | "update_offer" => "NotWorkerAgent",
        "heartbeat" | "lock" | "claim" => "NotOperator",
        "set_delegate" | "withdraw" | "close_vault" => "NotVaultOwner",
        "publish" | "finish" | "cancel" | "top_up" | "compare" => "NotClient",
        // An hour after the settlement anyone closes, as long as nothing is said by it.
        "close" if name != "close" => "NotClient",
        "close" | "deposit" | "expire" => return None,
        "sweep_fees" | "withdraw_fees" | "withdraw_earnings" => return None,
        unknown => panic!("whose is {unknown}?"),
    };
    Some(refusal)
}

pub fn all() -> Vec<Case> {
    let new = |step: Step| {
        let Step { name, mut market, instruction, signer } = step;
        let payer = key("fee payer");
        market.mint(&payer.pubkey(), SOL);
        let signs = instruction.accounts.iter().any(|meta| meta.is_signer);
        Case { name, market, instruction, signer: signs.then_some(signer), payer }
    };
    Tour::new().steps().into_iter().map(new).collect()
}

/// Runs `attack` against each instruction, then the instruction itself; returns how often it found something to do.
pub fn against_each(mut attack: impl FnMut(&mut Case) -> usize) -> usize {
    let mut tries = 0;
    for mut case in all() {
        tries += attack(&mut case);
        case.succeeds();
    }
    tries
}

impl Case {
    /// Refused by this name with something changed; no byte of any account named in it is touched.
    #[track_caller]
    pub fn refuses(&mut self, changed: Instruction, refusal: &str) {
        let outcome = self.send(&[changed], &[]);
        assert_eq!(outcome, Err(refusal.to_string()), "{}", self.name);
    }

    /// The legitimate twin: the instruction as it is.
    #[track_caller]
    pub fn succeeds(&mut self) {
        let instruction = self.instruction.clone();
        let outcome = self.send(&[instruction], &[]);
        assert_eq!(outcome, Ok(()), "{}", self.name);
    }

    /// Sends with the signatures that the instructions ask for, as far as they are the case's own key or among
    /// `others`.
    pub fn send(
        &mut self,
        instructions: &[Instruction],
        others: &[&Keypair],
    ) -> Result<(), Refusal> {
        let metas = instructions.iter().flat_map(|instruction| &instruction.accounts);
        let asked: BTreeSet<Pubkey> =
            metas.filter(|meta| meta.is_signer).map(|meta| meta.pubkey).collect();
        let signer = self.signer.as_ref().map(Keypair::insecure_clone);
        let mut signers: Vec<&Keypair> = signer.iter().chain(others.iter().copied()).collect();
        signers.retain(|key| asked.contains(&key.pubkey()));
        let payer = self.payer.insecure_clone();
        self.market.send(instructions, &payer, &signers)
    }

    /// The places of the accounts of the program's own that are read. The record of a retracted offer is not: its
    /// address follows from the signer's, and it may be gone.
    pub fn records(&self) -> Vec<usize> {
        let metas = &self.instruction.accounts;
        let is_record = |at: &usize| {
            (self.name, *at) != ("retract_offer", 1)
                && self
                    .market
                    .account(&metas[*at].pubkey)
                    .is_some_and(|found| kind(&found).is_some())
        };
        (0..metas.len()).filter(is_record).collect()
    }

    /// The addresses of the accounts that the instruction makes.
    pub fn makes(&self) -> Vec<Pubkey> {
        let metas = self.instruction.accounts.iter().filter(|meta| meta.is_writable);
        let keys = metas.map(|meta| meta.pubkey);
        keys.filter(|key| !self.market.exists(key)).collect()
    }

    pub fn place(&self, key: &Pubkey) -> usize {
        let place = self.instruction.accounts.iter().position(|meta| meta.pubkey == *key);
        place.expect("an account of the instruction")
    }

    /// The address at a place, and what lies there.
    pub fn account(&self, at: usize) -> (Pubkey, Account) {
        let key = self.instruction.accounts[at].pubkey;
        (key, self.market.account(&key).expect("a record"))
    }
}

#[test]
fn the_catalogue_is_complete() {
    let cases: BTreeSet<&str> = all().iter().map(|case| verb(case.name)).collect();
    // The handlers that the program's entry names.
    let entry = include_str!("../../../programs/chainference/src/lib.rs");
    let handlers: BTreeSet<&str> = entry
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn ")?.split_once(['(', '<']))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(cases, handlers);
}
