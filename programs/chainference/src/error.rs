//! What the program refuses, by name and number. The rules' own refusals (`MarketError`, 100–399) appear
//! on chain as 6,000 + their number; those of accounts and signers are 6,500–6,699. None is renumbered.

use anchor_lang::error::{AnchorError, Error};
use anchor_lang::prelude::*;
use chainference_market::MarketError;

/// Anchor keeps the numbers below for its own errors.
const MARKET_OFFSET: u32 = 6_000;

#[error_code(offset = 6500)]
pub enum ProgramErrorCode {
    // 6,500: signers
    #[msg("only the program's upgrade authority may initialise the market")]
    NotUpgradeAuthority = 0,
    #[msg("only the market's admin may do this")]
    NotAdmin = 1,
    #[msg("only the vault's owner or its delegate may do this")]
    NotClient = 2,
    #[msg("only the vault's owner may do this")]
    NotVaultOwner = 3,
    #[msg("only the worker's owner may do this")]
    NotWorkerOwner = 4,
    #[msg("only the worker's operator may do this")]
    NotOperator = 5,
    #[msg("only the worker's owner or its operator may do this")]
    NotWorkerAgent = 6,

    // 6,530: accounts that don't belong together
    #[msg("this is not the job's vault")]
    WrongVault = 30,
    #[msg("this is not the job's worker")]
    WrongWorker = 31,
    #[msg("the offer is not this worker's, not active, or of another model than the job")]
    WrongOffer = 32,
    #[msg("rent and fees go only to the account that they belong to")]
    WrongDestination = 33,

    // 6,560: refusals of the market's configuration and of records
    #[msg("the market is paused")]
    Paused = 60,
    #[msg("a text is too long, empty, or not of the allowed characters")]
    BadText = 61,
    #[msg("a job names at most 8 workers")]
    TooManyAllowed = 62,
    #[msg("the job does not admit this worker")]
    WorkerNotAllowed = 63,
    #[msg("nobody may be the worker of his own job")]
    WorkerIsClient = 64,
    #[msg("the worker takes no new jobs")]
    WorkerRetiring = 65,
    #[msg("the bond is below the market's least")]
    BondTooSmall = 66,
    #[msg("live jobs, or settled ones that are not closed yet, hold this account open")]
    HasJobs = 67,
    #[msg("the record's fees must be swept first")]
    UnsweptFees = 68,
    #[msg("there is nothing to pay out")]
    NothingOwed = 69,
    #[msg("feedback is for jobs that were paid for")]
    NothingPaid = 70,
    #[msg("the bond's cooldown is not over")]
    BondCoolingDown = 71,
    #[msg("an active worker must be set to retiring first")]
    WorkerActive = 72,
    #[msg("only jobs of two workers, for the same client and the same model, can be compared")]
    NotComparable = 73,
    #[msg("a speed is a number of basis points, at most 10,000")]
    BadFeedback = 74,
    #[msg("the cooldown is at most 30 days; a heartbeat's window is 30 seconds to a day")]
    BadLimits = 75,

    // 6,600: vouchers
    #[msg("a claim without a voucher must be final: it lets the job go")]
    NoVoucher = 100,
    #[msg("the voucher must be signed by the job's session key over this job and these totals")]
    BadVoucherSignature = 101,

    // 6,690: never
    #[msg("an invariant does not hold: nothing was changed")]
    InvariantBroken = 190,
}

/// A refusal by the program's own name.
pub fn refuse<T>(code: ProgramErrorCode) -> Result<T> {
    Err(code.into())
}

/// Carries the market's refusals to the chain under their names.
pub trait FromMarket<T> {
    fn or_refuse(self) -> Result<T>;
}

impl<T> FromMarket<T> for core::result::Result<T, MarketError> {
    fn or_refuse(self) -> Result<T> {
        self.map_err(|error| {
            Error::from(AnchorError {
                error_name: format!("{error:?}"),
                error_code_number: MARKET_OFFSET + error as u32,
                error_msg: error.message().to_string(),
                error_origin: None,
                compared_values: None,
            })
        })
    }
}
