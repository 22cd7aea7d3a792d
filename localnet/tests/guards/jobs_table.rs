//! The guard table of the instructions that change a job: one row an instruction, as the protocol has it.
//!
//! A cell is one instruction in one state of the job, by one signer, at one moment. What it meets is decided in this
//! order: the job exists; accounts and signer fit the job; its status; the time; what is said of it.

use super::moments::{
    ANYONE_FROM_S, CLAIM_UNTIL_S, FINISHED_UNTIL_S, FREE_SLOTS, Moment, SERVE_UNTIL_S,
};

/// What Anchor says of an account that holds nothing.
const MISSING: &str = "AccountOwnedByWrongProgram";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Lock,
    Claim,
    FinalClaim,
    LetGo,
    Finish,
    Cancel,
    Expire,
    TopUp,
    Close,
    /// Close with a flag.
    Flag,
    /// With another worker's paid job that may be closed, as the first and as the second of the two.
    CompareFirst,
    CompareSecond,
}

/// What a job has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Absent,
    Open,
    Locked,
    /// Locked, and finished by the client as soon as it was.
    Finished,
    /// Settled by a final claim.
    Paid,
    /// Settled by a worker that let go, with nothing paid.
    Unpaid,
    /// Settled without ever having been locked.
    Cancelled,
    /// Paid and closed.
    Gone,
}

/// Who signs, and with which accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Owner,
    Delegate,
    OldDelegate,
    Operator,
    WorkerOwner,
    /// In the place of the job's worker.
    OtherOperator,
    OtherClient,
    Stranger,
    /// The same operator with its own record and offer.
    OtherWorker,
    /// Whoever may, with another client's vault.
    OtherVault,
}

pub const SIGNERS: [By; 10] = [
    By::Owner,
    By::Delegate,
    By::OldDelegate,
    By::Operator,
    By::WorkerOwner,
    By::OtherOperator,
    By::OtherClient,
    By::Stranger,
    By::OtherWorker,
    By::OtherVault,
];

/// Whom an instruction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The vault's owner or its delegate.
    Client,
    /// The operator of any worker that the job admits.
    AnyWorker,
    /// The operator of the worker that locked it.
    ItsWorker,
    Anyone,
    /// Anyone; the job's worker is named where it has one.
    Witness,
    /// Anyone by its accounts, which name the job's worker; what is said is the client's to say.
    Reviewer,
    /// The client, and the job's worker is named.
    Judge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    BeforeServeUntil(&'static str),
    /// The job's time is over: `serve_until` while it is Open, else `claim_until`.
    Overdue,
    /// Its address can't be published again; in the first hour only the client.
    AddressFree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Same,
    Locked,
    Settled,
    Gone,
}

pub struct Row {
    pub verb: Verb,
    pub who: Who,
    pub from: &'static [State],
    pub when: When,
    pub then: Then,
}

const OPEN: &[State] = &[State::Open];
const LOCKED: &[State] = &[State::Locked, State::Finished];
const LIVE: &[State] = &[State::Open, State::Locked, State::Finished];
const SETTLED: &[State] = &[State::Paid, State::Unpaid, State::Cancelled];

const fn row(verb: Verb, who: Who, from: &'static [State], when: When, then: Then) -> Row {
    Row { verb, who, from, when, then }
}

pub const TABLE: &[Row] = &[
    row(Verb::Lock, Who::AnyWorker, OPEN, When::BeforeServeUntil("TooLateToLock"), Then::Locked),
    row(Verb::Claim, Who::ItsWorker, LOCKED, When::Always, Then::Locked),
    row(Verb::FinalClaim, Who::ItsWorker, LOCKED, When::Always, Then::Settled),
    row(Verb::LetGo, Who::ItsWorker, LOCKED, When::Always, Then::Settled),
    row(Verb::Finish, Who::Client, LOCKED, When::Always, Then::Locked),
    row(Verb::Cancel, Who::Client, OPEN, When::Always, Then::Settled),
    row(Verb::Expire, Who::Witness, LIVE, When::Overdue, Then::Settled),
    row(Verb::TopUp, Who::Client, LIVE, When::BeforeServeUntil("ServingOver"), Then::Same),
    row(Verb::Close, Who::Anyone, SETTLED, When::AddressFree, Then::Gone),
    row(Verb::Flag, Who::Reviewer, SETTLED, When::AddressFree, Then::Gone),
    row(Verb::CompareFirst, Who::Judge, SETTLED, When::AddressFree, Then::Gone),
    row(Verb::CompareSecond, Who::Judge, SETTLED, When::AddressFree, Then::Gone),
];

impl State {
    pub fn was_locked(self) -> bool {
        !matches!(self, Self::Absent | Self::Open | Self::Cancelled)
    }

    fn exists(self) -> bool {
        !matches!(self, Self::Absent | Self::Gone)
    }
}

impl By {
    fn is_client(self) -> bool {
        matches!(self, Self::Owner | Self::Delegate)
    }
}

impl Row {
    /// The name of what this cell is refused with; none where it is allowed.
    pub fn refusal(&self, state: State, by: By, at: Moment) -> Option<&'static str> {
        if !state.exists() {
            return Some(MISSING);
        }
        self.who
            .refusal(state, by)
            .or_else(|| (!self.from.contains(&state)).then_some("WrongStatus"))
            .or_else(|| self.when.refusal(state, by, at))
            .or_else(|| self.who.review(state, by))
    }
}

impl Who {
    fn refusal(self, state: State, by: By) -> Option<&'static str> {
        let is_foreign = by == By::OtherWorker || !state.was_locked();
        match self {
            _ if by == By::OtherVault => Some("WrongVault"),
            Self::Client | Self::Judge if !by.is_client() => Some("NotClient"),
            Self::AnyWorker if by == By::OtherWorker => None,
            Self::Witness if is_foreign && state.was_locked() => Some("WrongWorker"),
            Self::ItsWorker | Self::Reviewer | Self::Judge if is_foreign => Some("WrongWorker"),
            Self::AnyWorker | Self::ItsWorker if by != By::Operator => Some("NotOperator"),
            _ => None,
        }
    }

    fn review(self, state: State, by: By) -> Option<&'static str> {
        match self {
            Self::Reviewer if !by.is_client() => Some("NotClient"),
            Self::Reviewer | Self::Judge if state == State::Unpaid => Some("NothingPaid"),
            _ => None,
        }
    }
}

impl When {
    fn refusal(self, state: State, by: By, at: Moment) -> Option<&'static str> {
        let overdue_s = match state {
            State::Open => SERVE_UNTIL_S,
            State::Finished => FINISHED_UNTIL_S,
            _ => CLAIM_UNTIL_S,
        };
        let may_close = at.slots >= FREE_SLOTS && (by.is_client() || at.seconds >= ANYONE_FROM_S);
        match self {
            Self::BeforeServeUntil(name) if at.seconds >= SERVE_UNTIL_S => Some(name),
            Self::Overdue if at.seconds < overdue_s => Some("TooEarlyToExpire"),
            Self::AddressFree if !may_close => Some("TooEarlyToClose"),
            _ => None,
        }
    }
}
