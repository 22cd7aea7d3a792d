//! One builder for each instruction of the program. Signers are named by their role; whoever pays the
//! transaction's fee is the caller's choice, except where a transaction is built by both sides (see
//! [`crate::terms`]).

use anchor_lang::{InstructionData, ToAccountMetas};
use chainference::voucher::SignedTotals;
use chainference::{accounts, instruction as data};
use chainference_market::Totals;
use solana_sdk_ids::system_program;

use crate::accounts::{
    Config, FeePart, Feedback, InitializeArgs, PostOfferArgs, Preferred, PublishArgs,
    RegisterWorkerArgs, SetDelegateArgs, UpdateConfigArgs, UpdateOfferArgs, UpdateWorkerArgs,
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
        treasury: address::treasury(),
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
    let accounts = accounts::UpdateWorker {
        owner: *owner,
        config: address::config(),
        worker: address::worker(owner),
    };
    build(&accounts, &data::UpdateWorker { args })
}

/// `worker` is the record's address.
pub fn heartbeat(operator: &Pubkey, worker: &Pubkey) -> Instruction {
    let accounts =
        accounts::Heartbeat { operator: *operator, config: address::config(), worker: *worker };
    build(&accounts, &data::Heartbeat {})
}

/// `agent` is the owner or the operator of the worker whose record lies at `worker`; it pays the rent.
pub fn post_offer(agent: &Pubkey, worker: &Pubkey, args: PostOfferArgs) -> Instruction {
    let accounts = accounts::PostOffer {
        agent: *agent,
        config: address::config(),
        worker: *worker,
        offer: address::offer(worker, &args.model, &args.quantisation),
        system_program: system_program::ID,
    };
    build(&accounts, &data::PostOffer { args })
}

/// `agent` is the owner or the operator of the worker whose record lies at `worker`.
pub fn update_offer(
    agent: &Pubkey,
    worker: &Pubkey,
    offer: &Pubkey,
    args: UpdateOfferArgs,
) -> Instruction {
    let accounts = accounts::UpdateOffer { agent: *agent, worker: *worker, offer: *offer };
    build(&accounts, &data::UpdateOffer { args })
}

/// `payer` posted the offer and gets its rent back.
pub fn retract_offer(owner: &Pubkey, offer: &Pubkey, payer: &Pubkey) -> Instruction {
    let worker = address::worker(owner);
    let accounts = accounts::RetractOffer { owner: *owner, worker, offer: *offer, payer: *payer };
    build(&accounts, &data::RetractOffer {})
}

/// Pays a worker's earnings to its owner; anyone may send it.
pub fn withdraw_earnings(owner: &Pubkey) -> Instruction {
    let accounts = accounts::WithdrawEarnings { worker: address::worker(owner), owner: *owner };
    build(&accounts, &data::WithdrawEarnings {})
}

/// Moves the fees in a worker's record into the treasury; anyone may send it.
pub fn sweep_fees(worker: &Pubkey) -> Instruction {
    let accounts = accounts::SweepFees { worker: *worker, treasury: address::treasury() };
    build(&accounts, &data::SweepFees {})
}

/// Pays a part of the treasury to where the market sends it; anyone may send it.
pub fn withdraw_fees(part: FeePart, config: &Config) -> Instruction {
    let accounts = accounts::WithdrawFees {
        config: address::config(),
        treasury: address::treasury(),
        payout: config.payout(part),
    };
    build(&accounts, &data::WithdrawFees { part })
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
    /// The vouched totals and the session key's signature over the voucher. `None` lets a job go that
    /// nothing new was vouched for; such a claim must be final.
    pub voucher: Option<(Totals, Signature)>,
    pub is_final: bool,
}

pub fn claim(request: &ClaimRequest) -> Instruction {
    let accounts = accounts::Claim {
        operator: request.operator,
        job: request.job,
        vault: request.vault,
        worker: request.worker,
    };
    let voucher = request.voucher.as_ref().map(|(totals, signature)| SignedTotals {
        tokens_in: totals.tokens_in,
        tokens_out: totals.tokens_out,
        signature: *signature.as_array(),
    });
    let args = chainference::ClaimArgs { is_final: request.is_final, voucher };
    build(&accounts, &data::Claim { args })
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

/// Adds to the stake of a job that is still served. `client` is the vault's owner or delegate.
pub fn top_up(client: &Pubkey, vault: &Pubkey, job: &Pubkey, amount: Lamports) -> Instruction {
    let accounts = accounts::TopUp { client: *client, vault: *vault, job: *job };
    build(&accounts, &data::TopUp { lamports: amount.0 })
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
    let feedback = request.feedback.map_or(Feedback::NONE, |(_, feedback)| feedback);
    build(&accounts, &data::Close { feedback })
}

/// A settled job that is compared with another.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    pub job: Pubkey,
    /// The record of the worker that served it.
    pub worker: Pubkey,
    /// Who published it and paid its rent.
    pub authority: Pubkey,
}

/// Closes two settled jobs and says which answer was better. `client` is the vault's owner or delegate.
pub fn compare(
    client: &Pubkey,
    vault: &Pubkey,
    [first, second]: [Compared; 2],
    preferred: Preferred,
) -> Instruction {
    let accounts = accounts::Compare {
        client: *client,
        vault: *vault,
        first: first.job,
        second: second.job,
        first_worker: first.worker,
        second_worker: second.worker,
        first_authority: first.authority,
        second_authority: second.authority,
    };
    build(&accounts, &data::Compare { preferred })
}

fn build(accounts: &impl ToAccountMetas, data: &impl InstructionData) -> Instruction {
    Instruction {
        program_id: PROGRAM_ID,
        accounts: accounts.to_account_metas(None),
        data: data.data(),
    }
}
