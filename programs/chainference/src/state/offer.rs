use anchor_lang::prelude::*;
use chainference_market::{
    limits::{MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX, REVISION_BYTES_MAX},
    Prices,
};

use super::Text;

/// One model that a worker serves.
#[account(zero_copy, discriminator = b"cf.offr\x01")]
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    /// Address of the worker's record.
    pub worker: Pubkey,
    /// What jobs name: see [`model_hash`].
    pub model_hash: [u8; 32],
    /// Paid the rent and gets it back.
    pub payer: Pubkey,
    /// SHA-256 of the GGUF file.
    pub gguf_sha256: [u8; 32],
    /// SHA-256 of the tokenizer: whoever has it can recount.
    pub tokenizer_sha256: [u8; 32],
    /// Lamports for 1,000,000 input tokens.
    pub price_in_per_mtok: u64,
    /// Lamports for 1,000,000 output tokens.
    pub price_out_per_mtok: u64,
    /// The least that a job costs once anything is vouched, in lamports.
    pub charge_min: u64,
    pub context_tokens: u32,
    /// What the model can do, as bits; 0 is plain chat.
    pub abilities: u32,
    /// Hugging Face id.
    pub model: [u8; MODEL_BYTES_MAX],
    /// Commit of the model's repository.
    pub revision: [u8; REVISION_BYTES_MAX],
    pub quantisation: [u8; QUANTISATION_BYTES_MAX],
    /// 1 takes new jobs, 0 rests.
    pub active: u8,
    pub padding: [u8; 7],
}

impl Offer {
    pub fn active(&self) -> bool {
        self.active != 0
    }

    pub fn model(&self) -> &str {
        self.model.text()
    }

    pub fn revision(&self) -> &str {
        self.revision.text()
    }

    pub fn quantisation(&self) -> &str {
        self.quantisation.text()
    }

    pub fn prices(&self) -> Prices {
        Prices {
            input_per_mtok: self.price_in_per_mtok,
            output_per_mtok: self.price_out_per_mtok,
            charge_min: self.charge_min,
        }
    }
}

/// `sha256(model ‖ 0x00 ‖ quantisation)`: names a model in seeds and jobs at a fixed length.
pub fn model_hash(model: &str, quantisation: &str) -> [u8; 32] {
    solana_sha256_hasher::hashv(&[model.as_bytes(), &[0], quantisation.as_bytes()]).to_bytes()
}
