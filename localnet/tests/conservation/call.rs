//! What is sent: the instruction as the chain gets it, and beside it what it asks for, as the model reads it.

use std::collections::BTreeMap;

use chainference_chain::accounts::*;
use chainference_chain::{Instruction, PROGRAM_ID, Pubkey};

use crate::cast::Cast;

/// Who signed which totals for which job. The model knows a true signature by this, not by its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Voucher {
    pub job: Pubkey,
    /// `None`: no key of ours, or not a signature at all.
    pub signed_by: Option<Pubkey>,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub signature: [u8; 64],
}

/// Totals as they stand in a claim, with the voucher that came along.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub voucher: Voucher,
}

impl Claimed {
    pub fn is_vouched(&self, job: &Pubkey, session_key: &Pubkey) -> bool {
        let Voucher { job: signed_job, signed_by, tokens_in, tokens_out, .. } = self.voucher;
        signed_job == *job
            && signed_by == Some(*session_key)
            && (tokens_in, tokens_out) == (self.tokens_in, self.tokens_out)
    }
}

#[derive(Clone, Debug)]
pub enum Verb {
    /// The system program's: a gift, or a donation.
    Transfer(u64),
    Initialize,
    UpdateConfig(UpdateConfigArgs),
    AcceptAdmin,
    RegisterWorker(RegisterWorkerArgs),
    UpdateWorker(UpdateWorkerArgs),
    RetireWorker,
    Heartbeat,
    PostOffer(PostOfferArgs),
    UpdateOffer(UpdateOfferArgs),
    RetractOffer,
    WithdrawEarnings,
    SweepFees,
    WithdrawFees(FeePart),
    OpenVault,
    Deposit(u64),
    SetDelegate(SetDelegateArgs),
    Withdraw(u64),
    CloseVault,
    Publish(PublishArgs),
    Lock,
    Claim {
        is_final: bool,
        claimed: Option<Claimed>,
    },
    Finish,
    Cancel,
    Expire,
    TopUp(u64),
    Close(Feedback),
    Compare(Preferred),
}

/// What an instruction wants to find at each place of its account list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Signer,
    Config,
    Treasury,
    Vault,
    Worker,
    Offer,
    Job,
    /// The job's worker, or the program's own address for none.
    MaybeWorker,
    /// An address where an account is to be made.
    New,
    /// Looked at by its address alone.
    Any,
    System,
}

/// The account list of each instruction: what, and whether it must be writable.
pub fn slots(verb: &Verb) -> &'static [(Slot, bool)] {
    use Slot::*;
    const PAYS: (Slot, bool) = (Signer, true);
    const SIGNS: (Slot, bool) = (Signer, false);
    const RECEIVES: (Slot, bool) = (Any, true);
    const SYSTEM: (Slot, bool) = (System, false);
    match verb {
        Verb::Transfer(_) => &[PAYS, RECEIVES],
        Verb::Initialize => &[PAYS, (New, true), (New, true), (Any, false), (Any, false), SYSTEM],
        Verb::UpdateConfig(_) | Verb::AcceptAdmin => &[SIGNS, (Config, true)],
        Verb::RegisterWorker(_) => &[PAYS, (Config, false), (New, true), SYSTEM],
        Verb::UpdateWorker(_) | Verb::Heartbeat => &[SIGNS, (Config, false), (Worker, true)],
        Verb::RetireWorker => &[PAYS, (Worker, true)],
        Verb::PostOffer(_) => &[PAYS, (Config, false), (Worker, false), (New, true), SYSTEM],
        Verb::UpdateOffer(_) => &[SIGNS, (Worker, false), (Offer, true)],
        Verb::RetractOffer => &[SIGNS, (Any, false), (Offer, true), RECEIVES],
        Verb::WithdrawEarnings => &[(Worker, true), RECEIVES],
        Verb::SweepFees => &[(Worker, true), (Treasury, true)],
        Verb::WithdrawFees(_) => &[(Config, false), (Treasury, true), RECEIVES],
        Verb::OpenVault => &[PAYS, (New, true), SYSTEM],
        Verb::Deposit(_) => &[PAYS, (Vault, true), SYSTEM],
        Verb::SetDelegate(_) => &[SIGNS, (Vault, true)],
        Verb::Withdraw(_) | Verb::CloseVault => &[PAYS, (Vault, true)],
        Verb::Publish(_) => &[PAYS, (Config, false), (Vault, true), (New, true), SYSTEM],
        Verb::Lock => {
            &[SIGNS, (Config, false), (Vault, false), (Job, true), (Worker, true), (Offer, false)]
        }
        Verb::Claim { .. } => &[SIGNS, (Job, true), (Vault, true), (Worker, true)],
        Verb::Finish => &[SIGNS, (Vault, false), (Job, true)],
        Verb::Cancel | Verb::TopUp(_) => &[SIGNS, (Vault, true), (Job, true)],
        Verb::Expire => &[(Vault, true), (Job, true), (MaybeWorker, true)],
        Verb::Close(_) => &[SIGNS, (Vault, true), (Job, true), RECEIVES, (MaybeWorker, true)],
        Verb::Compare(_) => &[
            SIGNS,
            (Vault, true),
            (Job, true),
            (Job, true),
            (Worker, true),
            (Worker, true),
            RECEIVES,
            RECEIVES,
        ],
    }
}

#[derive(Clone, Debug)]
pub struct Call {
    pub verb: Verb,
    pub instruction: Instruction,
    /// What an attacker did to it.
    pub twist: Option<&'static str>,
    /// The data were cut short: nothing of `verb` reaches the program.
    pub is_cut: bool,
}

impl Call {
    pub fn new(verb: Verb, instruction: Instruction) -> Self {
        Self { verb, instruction, twist: None, is_cut: false }
    }

    /// The verb's own name, without arguments.
    pub fn kind(&self) -> String {
        let text = format!("{:?}", self.verb);
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        match &self.verb {
            Verb::Claim { is_final: true, claimed: None } => "LetGo".into(),
            Verb::Claim { is_final: true, .. } => "FinalClaim".into(),
            _ => text[..end].to_string(),
        }
    }

    pub fn say(&self, cast: &Cast) -> String {
        let accounts = self.instruction.accounts.iter().map(|meta| {
            let none = meta.pubkey == PROGRAM_ID;
            let name = if none { "none".into() } else { cast.say(&meta.pubkey) };
            let marks = [(meta.is_signer, "!"), (meta.is_writable, "*")];
            marks.iter().fold(name, |name, (on, mark)| if *on { name + mark } else { name })
        });
        let accounts: Vec<_> = accounts.collect();
        let twist = self.twist.map(|twist| format!("  ← {twist}")).unwrap_or_default();
        let words = shortened(&format!("{:?}", self.verb), cast);
        format!("{words} [{}]{twist}", accounts.join(" "))
    }
}

/// Debug text with names for keys, and without hashes and what is not given.
fn shortened(text: &str, cast: &Cast) -> String {
    let named = cast.name_in(text);
    let is_number = |c: char| c.is_ascii_digit() || c == ',' || c == ' ';
    let parts = named.split('[').map(|part| match part.split_once(']') {
        Some((list, rest)) if list.len() > 60 && list.chars().all(is_number) => format!("…]{rest}"),
        _ => part.to_string(),
    });
    let mut short = parts.collect::<Vec<_>>().join("[");
    for none in [", audit_passed: None", ", pending_admin: None", ", status: None"] {
        short = short.replace(none, "");
    }
    short
}

/// How the runtime marks an account within one transaction: for all instructions at once.
#[derive(Clone, Copy, Default)]
pub struct Flags {
    pub is_signer: bool,
    pub is_writable: bool,
}

/// One transaction; `payer` pays its fee.
#[derive(Clone, Debug)]
pub struct Tx {
    pub payer: Pubkey,
    pub calls: Vec<Call>,
}

impl Tx {
    pub fn flags(&self) -> BTreeMap<Pubkey, Flags> {
        let mut flags = BTreeMap::<Pubkey, Flags>::new();
        flags.insert(self.payer, Flags { is_signer: true, is_writable: true });
        for meta in self.calls.iter().flat_map(|call| &call.instruction.accounts) {
            let flag = flags.entry(meta.pubkey).or_default();
            flag.is_signer |= meta.is_signer;
            flag.is_writable |= meta.is_writable;
        }
        for program in self.calls.iter().map(|call| call.instruction.program_id) {
            flags.entry(program).or_default().is_writable = false;
        }
        flags
    }
}
