//! The terms of a job, and the one transaction (publish and lock) that both sides build from them.
//!
//! Nobody signs a message that he did not build: the worker builds it from the terms and signs first (its
//! quote), the client builds it again, checks the worker's signature over its own bytes, signs and sends.

use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};
use solana_message::Message;
use solana_transaction::Transaction;

use crate::accounts::{Filters, PublishArgs};
use crate::transaction::SignError;
use crate::{Hash, Keypair, Pubkey, Signature, SignedTransaction, Signer, address, instruction};

/// What a client asks of one worker. Everything that the transaction contains is derived from this.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobTerms {
    /// Where the stake is reserved.
    #[serde_as(as = "DisplayFromStr")]
    pub vault: Pubkey,
    /// The vault's owner or delegate: pays the fee and the job's rent, signs last and sends.
    #[serde_as(as = "DisplayFromStr")]
    pub authority: Pubkey,
    /// The worker's record.
    #[serde_as(as = "DisplayFromStr")]
    pub worker: Pubkey,
    /// The worker's hot key, which signs first.
    #[serde_as(as = "DisplayFromStr")]
    pub operator: Pubkey,
    /// The worker's offer of the model.
    #[serde_as(as = "DisplayFromStr")]
    pub offer: Pubkey,
    /// See [`crate::accounts::model_hash`]; the offer's own.
    #[serde_as(as = "serde_with::hex::Hex")]
    pub model_hash: [u8; 32],
    /// Signs the job's vouchers.
    #[serde_as(as = "DisplayFromStr")]
    pub session_key: Pubkey,
    /// A recent slot.
    pub open_slot: u64,
    /// The most that the job may cost, in lamports.
    pub stake: u64,
    /// Lamports for 1,000,000 input tokens.
    pub max_price_in_per_mtok: u64,
    /// Lamports for 1,000,000 output tokens.
    pub max_price_out_per_mtok: u64,
    /// Lamports; the least charge that the worker's offer names.
    pub max_charge_min: u64,
    pub serve_until_unix_s: i64,
    #[serde_as(as = "DisplayFromStr")]
    pub blockhash: Hash,
    pub last_valid_block_height: u64,
}

/// Opens what an authority signs to ask for a quote. No transaction's bytes begin so: the signature is good for
/// nothing else.
const REQUEST_TAG: [u8; 8] = *b"cf.quote";

/// How a client asks for a [`Quote`]. A quote takes one of its vault's places at the worker, so the worker must
/// know that the vault's own client is asking.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    pub terms: JobTerms,
    /// The terms' authority's, over a tag and [`JobTerms::message`]. A request without one is well-formed and
    /// refused.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(default)]
    pub signature: Option<Signature>,
}

impl QuoteRequest {
    /// Asks as the client whose key is the terms' authority.
    pub fn sign(terms: JobTerms, authority: &Keypair) -> Self {
        let signature = Some(authority.sign_message(&terms.request_bytes()));
        Self { terms, signature }
    }

    /// Whether the terms' authority is asking for exactly these.
    pub fn is_signed(&self) -> bool {
        let bytes = self.terms.request_bytes();
        self.signature
            .is_some_and(|signature| signature.verify(self.terms.authority.as_ref(), &bytes))
    }
}

/// A worker's promise to serve on these terms: its signature over their transaction.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The operator's, over [`JobTerms::message`].
    #[serde_as(as = "DisplayFromStr")]
    pub signature: Signature,
    /// When the worker stops counting the quote as used. The chain's own bound is the blockhash.
    pub expires_unix_s: i64,
}

impl JobTerms {
    /// The job's address.
    pub fn job(&self) -> Pubkey {
        address::job(&self.vault, &self.session_key, self.open_slot)
    }

    /// Publish and lock in one message: no other worker can come between, and one confirmation is enough.
    pub fn message(&self) -> Message {
        let args = PublishArgs {
            session_key: self.session_key,
            open_slot: self.open_slot,
            model_hash: self.model_hash,
            stake: self.stake,
            max_price_in_per_mtok: self.max_price_in_per_mtok,
            max_price_out_per_mtok: self.max_price_out_per_mtok,
            max_charge_min: self.max_charge_min,
            serve_until_unix_s: self.serve_until_unix_s,
            filters: Filters::default(),
            allowed: vec![self.worker],
        };
        let publish = instruction::publish(&self.authority, &self.vault, args);
        let (worker, offer, job) = (&self.worker, &self.offer, self.job());
        let lock = instruction::lock(&self.operator, worker, offer, &self.vault, &job);
        Message::new_with_blockhash(&[publish, lock], Some(&self.authority), &self.blockhash)
    }

    fn request_bytes(&self) -> Vec<u8> {
        [REQUEST_TAG.as_slice(), &self.message().serialize()].concat()
    }

    /// The worker's signature. The caller has checked the terms against its offer and its limits.
    pub fn sign_as_worker(&self, operator: &Keypair) -> Signature {
        operator.sign_message(&self.message().serialize())
    }

    /// The client's signature on top of the worker's, which must be over the bytes that we built ourselves.
    pub fn complete(
        &self,
        quote: &Quote,
        authority: &Keypair,
    ) -> Result<SignedTransaction, SignError> {
        let message = self.message();
        let bytes = message.serialize();
        if !quote.signature.verify(self.operator.as_ref(), &bytes) {
            return Err(SignError::ForeignQuote);
        }
        let mut transaction = Transaction::new_unsigned(message);
        transaction.try_partial_sign(&[authority], self.blockhash)?;
        let signers = usize::from(transaction.message.header.num_required_signatures);
        let operator_at = transaction
            .message
            .account_keys
            .iter()
            .take(signers)
            .position(|key| *key == self.operator);
        let slot = operator_at.and_then(|index| transaction.signatures.get_mut(index));
        *slot.ok_or(SignError::ForeignQuote)? = quote.signature;
        SignedTransaction::from_signed(transaction, self.last_valid_block_height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(authority: &Keypair) -> JobTerms {
        let key = |byte| Pubkey::new_from_array([byte; 32]);
        JobTerms {
            vault: key(1),
            authority: authority.pubkey(),
            worker: key(2),
            operator: key(3),
            offer: key(4),
            model_hash: [5; 32],
            session_key: key(6),
            open_slot: 7,
            stake: 8,
            max_price_in_per_mtok: 9,
            max_price_out_per_mtok: 10,
            max_charge_min: 11,
            serve_until_unix_s: 12,
            blockhash: Hash::new_from_array([13; 32]),
            last_valid_block_height: 14,
        }
    }

    #[test]
    fn a_request_holds_only_for_its_own_terms_and_authority() {
        let client = Keypair::new();
        let request = QuoteRequest::sign(terms(&client), &client);
        assert!(request.is_signed());
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<QuoteRequest>(&text).unwrap(), request);
        let dearer =
            QuoteRequest { terms: JobTerms { stake: 9, ..terms(&client) }, ..request.clone() };
        let unsigned = QuoteRequest { signature: None, ..request.clone() };
        let foreign = QuoteRequest::sign(terms(&client), &Keypair::new());
        // The transaction itself, signed, is no request: else a quote would let the worker publish it.
        let bytes = request.terms.message().serialize();
        let transaction = QuoteRequest { signature: Some(client.sign_message(&bytes)), ..request };
        for refused in [dearer, unsigned, foreign, transaction] {
            assert!(!refused.is_signed(), "{refused:?}");
        }
    }
}
