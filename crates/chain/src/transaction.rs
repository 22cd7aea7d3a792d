//! Signed transactions as bytes: what is stored before it is sent.

use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, base64::Base64, serde_as};
use solana_message::Message;
use solana_transaction::Transaction;
use solana_transaction::versioned::VersionedTransaction;

use crate::{Hash, Instruction, Keypair, Signature, Signer};

/// The most bytes that a packet carries; the embedded chain does not enforce it, public ones do.
pub const TRANSACTION_BYTES_MAX: usize = 1_232;

/// A recent blockhash and how long transactions on it may land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blockhash {
    pub hash: Hash,
    pub last_valid_block_height: u64,
}

/// Why a transaction could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error(
        "the transaction has {bytes} bytes, more than the {TRANSACTION_BYTES_MAX} that a packet carries"
    )]
    TooLarge { bytes: usize },
    #[error("a key that must sign is missing, or one too many is given: {0}")]
    Keys(#[from] solana_signer::SignerError),
    #[error("the worker's signature is not over these terms")]
    ForeignQuote,
    #[error("the transaction can't be encoded")]
    Encode(#[from] bincode::Error),
}

/// A transaction ready to send. Store it before it is submitted: the same bytes can be submitted again
/// after a crash and land at most once.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTransaction {
    #[serde_as(as = "DisplayFromStr")]
    pub signature: Signature,
    /// The bytes that are sent.
    #[serde_as(as = "Base64")]
    pub wire: Vec<u8>,
    /// It can't land any more once the chain's block height is beyond this.
    pub last_valid_block_height: u64,
}

impl SignedTransaction {
    /// Signs `instructions` as one transaction. `payer` pays the fee and signs first; its signature is the
    /// transaction's name.
    pub fn sign(
        instructions: &[Instruction],
        payer: &Keypair,
        others: &[&Keypair],
        blockhash: &Blockhash,
    ) -> Result<Self, SignError> {
        let message =
            Message::new_with_blockhash(instructions, Some(&payer.pubkey()), &blockhash.hash);
        let mut transaction = Transaction::new_unsigned(message);
        let mut signers = vec![payer];
        signers.extend(others.iter().filter(|key| key.pubkey() != payer.pubkey()));
        transaction.try_sign(&signers, blockhash.hash)?;
        Self::from_signed(transaction, blockhash.last_valid_block_height)
    }

    /// Encodes a transaction that has all its signatures.
    pub(crate) fn from_signed(
        transaction: Transaction,
        last_valid_block_height: u64,
    ) -> Result<Self, SignError> {
        let signature = transaction.signatures.first().copied().unwrap_or_default();
        let wire = bincode::serialize(&transaction)?;
        if wire.len() > TRANSACTION_BYTES_MAX {
            return Err(SignError::TooLarge { bytes: wire.len() });
        }
        Ok(Self { signature, wire, last_valid_block_height })
    }

    /// The transaction that the bytes hold; `None` where they were damaged.
    pub fn decode(&self) -> Option<VersionedTransaction> {
        bincode::deserialize(&self.wire).ok()
    }
}
