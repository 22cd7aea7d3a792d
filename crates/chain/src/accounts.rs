//! The program's accounts and instruction arguments, as the program itself declares them.

pub use chainference::state::{
    Config, FeePart, Filters, Job, JobStatus, Offer, Preset, Reputation, Stored, Text, Treasury,
    Vault, Worker, WorkerStatus, model_hash,
};
pub use chainference::{
    Feedback, InitializeArgs, PostOfferArgs, Preferred, PublishArgs, RegisterWorkerArgs,
    SetDelegateArgs, UpdateConfigArgs, UpdateOfferArgs, UpdateWorkerArgs, Verdict,
};
