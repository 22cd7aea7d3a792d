//! Every refusal of the market's rules, by name and number.

use core::fmt;

/// Why a change is refused. The numbers are what the program returns on chain: they are grouped by
/// subject and never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MarketError {
    // 100: arithmetic
    /// A sum, difference or product does not fit.
    Overflow = 100,
    /// Shares must sum to 10,000 basis points.
    SharesDoNotSum = 101,

    // 200: a job's life
    /// The job's status does not allow this.
    WrongStatus = 200,
    /// `serve_until` is not in the future, or too far in it.
    BadServeUntil = 201,
    /// The job may no longer be locked.
    TooLateToLock = 202,
    /// The job can't be expired yet.
    TooEarlyToExpire = 203,
    /// The job can't be closed yet.
    TooEarlyToClose = 204,
    /// `open_slot` is in the future, or too old.
    BadOpenSlot = 205,
    /// The grace period is out of the market's bounds.
    BadGrace = 206,
    /// The job's time to be served is over.
    ServingOver = 207,

    // 300: prices and stakes
    /// The offer asks more than the job's highest price.
    PriceTooHigh = 300,
    /// The stake can't pay for the offer's smallest charge.
    StakeTooSmall = 301,
    /// The voucher's cost is beyond the stake.
    BeyondStake = 302,
    /// The voucher's totals are below what was credited already.
    VoucherGoesBack = 303,
    /// The vault's free balance is too small.
    InsufficientBalance = 304,
    /// The delegate's limit for this period is reached.
    OverDelegateLimit = 305,
}

impl MarketError {
    /// What went wrong and what to do, in one sentence.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Overflow => "an amount does not fit into 64 bits",
            Self::SharesDoNotSum => "the shares must sum to 10,000 basis points",
            Self::WrongStatus => "the job's status does not allow this",
            Self::BadServeUntil => "serve_until must lie in the future, at most a day ahead",
            Self::TooLateToLock => "serve_until has passed: the job can no longer be locked",
            Self::TooEarlyToExpire => "the job can't be expired before its time is over",
            Self::TooEarlyToClose => {
                "the job can't be closed yet: its address must outlive its slot window"
            }
            Self::BadOpenSlot => "open_slot must be a recent slot that is not in the future",
            Self::BadGrace => "the grace period must be between 600 and 86,400 seconds",
            Self::ServingOver => "serve_until has passed: more stake would serve nothing",
            Self::PriceTooHigh => "the offer asks more than the job's highest price",
            Self::StakeTooSmall => "the stake can't pay for the offer's smallest charge",
            Self::BeyondStake => "the voucher's cost is beyond the stake",
            Self::VoucherGoesBack => "the voucher's totals are below what was credited already",
            Self::InsufficientBalance => "the vault's free balance is too small: deposit more",
            Self::OverDelegateLimit => {
                "the delegate's limit for this period is reached: the owner can raise it"
            }
        }
    }
}

impl fmt::Display for MarketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for MarketError {}
