//! One builder for each instruction of the program. Signers are named by their role; whoever pays the
//! transaction's fee is the caller's choice, except where a transaction is built by both sides (see
//! [`crate::terms`]).

use anchor_lang::{InstructionData, ToAccountMetas};
use chainference::{accounts, instruction as data};
use chainference_market::{Totals, Voucher};
use solana_sdk_ids::{ed25519_program, system_program, sysvar};

use crate::accounts::{
    CloseArgs, Config, Feedback, InitializeArgs, PostOfferArgs, PublishArgs, RegisterWorkerArgs,
    SetDelegateArgs, UpdateConfigArgs, UpdateOfferArgs, UpdateWorkerArgs,
};
use crate::{Instruction, Lamports, PROGRAM_ID, Pubkey, Signature, address};

/// Makes the market; `authority` is the program's upgrade authority.
pub fn initialize(authority: &Pubkey, args: InitializeArgs) -> Instruction {
    let program_data = Pubkey::find_program_address(
        &[PROGRAM_ID.as_ref()],
        &solana_sdk_ids::bpf_loader_upgradeable::ID,
    );
    let accounts = accounts::Initialize {
        authority: *authority,
        config: address::config(),
        program: PROGRAM_ID,
        program_data: program_data.0,
        system_program: system_program::ID,
    };
    build(&accounts, &data::Initialize { args })
}

pub fn update_config(admin: &Pubkey, args: UpdateConfigArgs) -> Instruction {
    let accounts = accounts::UpdateConfig { admin: *admin, config: address::config() };
    build(&accounts, &data::UpdateConfig { args })
}

pub fn accept_admin(new_admin: &Pubkey) -> Instruction {
    let accounts = accounts::AcceptAdmin { new_admin: *new_admin, config: address::config() };
    build(&accounts, &data::AcceptAdmin {})
}

/// `owner` pays rent and bond.
pub fn register_worker(owner: &Pubkey, args: RegisterWorkerArgs) -> Instruction {
    let accounts = accounts::RegisterWorker {
        owner: *owner,
        config: address::config(),
        worker: address::worker(owner),
        system_program: system_program::ID,
    };
    build(&accounts, &data::RegisterWorker { args })
}

pub fn update_worker(owner: &Pubkey, args: UpdateWorkerArgs) -> Instruction {
    let accounts = accounts::UpdateWorker { owner: *owner, worker: address::worker(owner) };
    build(&accounts, &data::UpdateWorker { args })
}

/// `worker` is the record's address.
pub fn heartbeat(operator: &Pubkey, worker: &Pubkey) -> Instruction {
    let accounts = accounts::Heartbeat { operator: *operator, worker: *worker };
    build(&accounts, &data::Heartbeat {})
}

pub fn post_offer(owner: &Pubkey, args: PostOfferArgs) -> Instruction {
    let worker = address::worker(owner);
    let accounts = accounts::PostOffer {
        owner: *owner,
        config: address::config(),
        worker,
        offer: address::offer(&worker, &args.model, &args.quantisation),
        system_program: system_program::ID,
    };
    build(&accounts, &data::PostOffer { args })
}

pub fn update_offer(owner: &Pubkey, offer: &Pubkey, args: UpdateOfferArgs) -> Instruction {
    let worker = address::worker(owner);
    let accounts = accounts::UpdateOffer { owner: *owner, worker, offer: *offer };
    build(&accounts, &data::UpdateOffer { args })
}

pub fn retract_offer(owner: &Pubkey, offer: &Pubkey) -> Instruction {
    let worker = address::worker(owner);
    let accounts = accounts::RetractOffer { owner: *owner, worker, offer: *offer };
    build(&accounts, &data::RetractOffer {})
}

/// Pays a worker's earnings to its owner; anyone may send it.
pub fn withdraw_earnings(owner: &Pubkey) -> Instruction {
    let accounts = accounts::WithdrawEarnings { worker: address::worker(owner), owner: *owner };
    build(&accounts, &data::WithdrawEarnings {})
}

/// Pays the fees in a worker's record to where the market sends them; anyone may send it.
pub fn sweep_fees(worker: &Pubkey, config: &Config) -> Instruction {
    let accounts = accounts::SweepFees {
        config: address::config(),
        worker: *worker,
        platform_payout: config.platform_payout,
        stakers_payout: config.stakers_payout,
    };
    build(&accounts, &data::SweepFees {})
}

pub fn retire_worker(owner: &Pubkey) -> Instruction {
    let accounts = accounts::RetireWorker { owner: *owner, worker: address::worker(owner) };
    build(&accounts, &data::RetireWorker {})
}

pub fn open_vault(owner: &Pubkey) -> Instruction {
    let accounts = accounts::OpenVault {
        owner: *owner,
        vault: address::vault(owner),
        system_program: system_program::ID,
    };
    build(&accounts, &data::OpenVault {})
}

pub fn deposit(payer: &Pubkey, vault: &Pubkey, amount: Lamports) -> Instruction {
    let accounts =
        accounts::Deposit { payer: *payer, vault: *vault, system_program: system_program::ID };
    build(&accounts, &data::Deposit { lamports: amount.0 })
}

pub fn set_delegate(owner: &Pubkey, args: SetDelegateArgs) -> Instruction {
    let accounts = accounts::SetDelegate { owner: *owner, vault: address::vault(owner) };
    build(&accounts, &data::SetDelegate { args })
}

pub fn withdraw(owner: &Pubkey, amount: Lamports) -> Instruction {
    let accounts = accounts::Withdraw { owner: *owner, vault: address::vault(owner) };
    build(&accounts, &data::Withdraw { lamports: amount.0 })
}

pub fn close_vault(owner: &Pubkey) -> Instruction {
    let accounts = accounts::CloseVault { owner: *owner, vault: address::vault(owner) };
    build(&accounts, &data::CloseVault {})
}

/// `authority` is the vault's owner or delegate and pays the job's rent.
pub fn publish(authority: &Pubkey, vault: &Pubkey, args: PublishArgs) -> Instruction {
    let accounts = accounts::Publish {
        authority: *authority,
        config: address::config(),
        vault: *vault,
        job: address::job(vault, &args.session_key, args.open_slot),
        system_program: system_program::ID,
    };
    build(&accounts, &data::Publish { args })
}

/// `worker` is the record's address.
pub fn lock(
    operator: &Pubkey,
    worker: &Pubkey,
    offer: &Pubkey,
    vault: &Pubkey,
    job: &Pubkey,
) -> Instruction {
    let accounts = accounts::Lock {
        operator: *operator,
        config: address::config(),
        vault: *vault,
        job: *job,
        worker: *worker,
        offer: *offer,
    };
    build(&accounts, &data::Lock {})
}

/// What a worker claims, and with whose word.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub operator: Pubkey,
    /// The record's address.
    pub worker: Pubkey,
    pub vault: Pubkey,
    pub job: Pubkey,
    pub session_key: Pubkey,
    /// The vouched totals and the session key's signature over the voucher. `None` lets a job go that
    /// nothing new was vouched for; such a claim must be final.
    pub voucher: Option<(Totals, Signature)>,
    pub is_final: bool,
}

/// The Ed25519 instruction (where there is a voucher) and the claim: they must stay side by side.
pub fn claim(request: &ClaimRequest) -> Vec<Instruction> {
    let accounts = accounts::Claim {
        operator: request.operator,
        job: request.job,
        vault: request.vault,
        worker: request.worker,
        instructions: sysvar::instructions::ID,
    };
    let voucher = request.voucher.as_ref().map(|(totals, _)| (*totals).into());
    let args = chainference::ClaimArgs { is_final: request.is_final, voucher };
    let claim = build(&accounts, &data::Claim { args });
    let proof = request.voucher.as_ref().map(|(totals, signature)| {
        let voucher = Voucher { job: request.job.to_bytes(), totals: *totals };
        let data = chainference::voucher::ed25519_data(
            &request.session_key,
            signature.as_array(),
            &voucher,
        );
        Instruction { program_id: ed25519_program::ID, accounts: Vec::new(), data }
    });
    proof.into_iter().chain([claim]).collect()
}

/// `client` is the vault's owner or delegate.
pub fn finish(client: &Pubkey, vault: &Pubkey, job: &Pubkey) -> Instruction {
    let accounts = accounts::Finish { client: *client, vault: *vault, job: *job };
    build(&accounts, &data::Finish {})
}

/// `client` is the vault's owner or delegate.
pub fn cancel(client: &Pubkey, vault: &Pubkey, job: &Pubkey) -> Instruction {
    let accounts = accounts::Cancel { client: *client, vault: *vault, job: *job };
    build(&accounts, &data::Cancel {})
}

/// Anyone may send it. `worker` is the record named in the job, none where the job is still Open.
pub fn expire(vault: &Pubkey, job: &Pubkey, worker: Option<Pubkey>) -> Instruction {
    let accounts = accounts::Expire { vault: *vault, job: *job, worker };
    build(&accounts, &data::Expire {})
}

/// What a settled job's account is closed with.
#[derive(Clone, Debug)]
pub struct CloseRequest {
    /// The vault's owner or delegate; an hour after the settlement, anyone.
    pub closer: Pubkey,
    pub vault: Pubkey,
    pub job: Pubkey,
    /// Who published the job and paid its rent.
    pub authority: Pubkey,
    /// The job's worker, and what the client says of it; feedback is only for jobs that were paid.
    pub feedback: Option<(Pubkey, Feedback)>,
}

pub fn close(request: &CloseRequest) -> Instruction {
    let accounts = accounts::Close {
        closer: request.closer,
        vault: request.vault,
        job: request.job,
        authority: request.authority,
        worker: request.feedback.map(|(worker, _)| worker),
    };
    let feedback = request.feedback.map_or(Feedback::None, |(_, feedback)| feedback);
    build(&accounts, &data::Close { args: CloseArgs { feedback } })
}

fn build(accounts: &impl ToAccountMetas, data: &impl InstructionData) -> Instruction {
    Instruction {
        program_id: PROGRAM_ID,
        accounts: accounts.to_account_metas(None),
        data: data.data(),
    }
}
