//! The program's accounts and instruction arguments, as the program itself declares them.

pub use chainference::state::{
    Config, Filters, Job, JobStatus, Offer, SharesBps, Vault, Worker, WorkerStatus, model_hash,
};
pub use chainference::{
    CloseArgs, Feedback, InitializeArgs, PostOfferArgs, PublishArgs, RegisterWorkerArgs,
    SetDelegateArgs, UpdateConfigArgs, UpdateOfferArgs, UpdateWorkerArgs,
};

/// Bytes of a vault's account. The rent for them is in it, and is nobody's to spend.
pub const VAULT_BYTES: usize = 8 + <Vault as anchor_lang::Space>::INIT_SPACE;
