use anchor_lang::prelude::*;
use chainference_market::{
    limits::{MODEL_BYTES_MAX, QUANTISATION_BYTES_MAX, REVISION_BYTES_MAX},
    Prices,
};

/// One model that a worker serves.
#[account]
#[derive(InitSpace, Debug, PartialEq, Eq)]
pub struct Offer {
    pub version: u8,
    /// Takes new jobs.
    pub active: bool,
    /// Address of the worker's record.
    pub worker: Pubkey,
    /// What jobs name: see [`model_hash`].
    pub model_hash: [u8; 32],
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
    #[max_len(MODEL_BYTES_MAX)]
    pub model: String,
    /// Commit of the model's repository.
    #[max_len(REVISION_BYTES_MAX)]
    pub revision: String,
    #[max_len(QUANTISATION_BYTES_MAX)]
    pub quantisation: String,
}

impl Offer {
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
