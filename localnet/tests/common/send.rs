//! Transactions: signed, held to a packet's size, and run. A refused one must have changed nothing but the fee.

use std::collections::BTreeMap;

use chainference_chain::{
    Blockhash, Hash, Instruction, Keypair, Pubkey, SignedTransaction, Signer,
};
use solana_account::Account;
use solana_transaction::versioned::VersionedTransaction;

use super::Market;

/// A refused transaction: the program's name for it, or the runtime's own words.
pub type Refusal = String;

/// Sends as the first of `signers` and expects the refusal of this name.
#[track_caller]
pub fn refused(
    market: &mut Market,
    instructions: &[Instruction],
    signers: &[&Keypair],
    name: &str,
) {
    let (payer, others) = signers.split_first().expect("somebody pays the fee");
    assert_eq!(market.send(instructions, payer, others), Err(name.to_string()));
}

impl Market {
    /// Signs, checks the packet's size, and runs.
    #[track_caller]
    pub fn send(
        &mut self,
        instructions: &[Instruction],
        payer: &Keypair,
        others: &[&Keypair],
    ) -> Result<(), Refusal> {
        let signed = self.sign(instructions, payer, others);
        self.land(&signed)
    }

    /// A transaction on a fresh blockhash, so that no two are the same.
    #[track_caller]
    pub fn sign(
        &mut self,
        instructions: &[Instruction],
        payer: &Keypair,
        others: &[&Keypair],
    ) -> SignedTransaction {
        let blockhash = self.blockhash();
        SignedTransaction::sign(instructions, payer, others, &blockhash).unwrap()
    }

    /// Runs it. Where it is refused, each account that it names must be as before, to the byte and to the lamport; only
    /// the payer has lost the fee.
    #[track_caller]
    pub fn land(&mut self, signed: &SignedTransaction) -> Result<(), Refusal> {
        let transaction: VersionedTransaction = bincode::deserialize(&signed.wire).unwrap();
        let keys: Vec<Pubkey> = transaction
            .message
            .static_account_keys()
            .iter()
            .map(|key| Pubkey::new_from_array(key.to_bytes()))
            .collect();
        let mut before = self.snapshot(&keys);
        let result = self.svm.send_transaction(transaction);
        let (meta, refusal) = match result {
            Ok(meta) => (meta, None),
            Err(failed) => {
                let name = refusal_name(&failed.meta.logs);
                (failed.meta, Some(name.unwrap_or(format!("{:?}", failed.err))))
            }
        };
        self.fees += meta.fee;
        self.compute_units = meta.compute_units_consumed;
        self.logs = meta.logs;
        let Some(refusal) = refusal else { return Ok(()) };
        if let Some(payer) = before.get_mut(&keys[0]).and_then(Option::as_mut) {
            payer.lamports -= meta.fee;
        }
        assert!(before == self.snapshot(&keys), "{refusal}: a refusal changed an account");
        Err(refusal)
    }

    /// Accounts as they are now; `None` for one that does not exist.
    pub fn snapshot(&self, keys: &[Pubkey]) -> BTreeMap<Pubkey, Option<Account>> {
        keys.iter().map(|key| (*key, self.account(key))).collect()
    }

    pub fn blockhash(&mut self) -> Blockhash {
        self.svm.expire_blockhash();
        let hash = Hash::new_from_array(self.svm.latest_blockhash().to_bytes());
        Blockhash { hash, last_valid_block_height: u64::MAX }
    }
}

fn refusal_name(logs: &[String]) -> Option<String> {
    let rest = logs.iter().find_map(|line| line.split_once("Error Code: "))?.1;
    rest.split_once('.').map(|(name, _)| name.to_string())
}
