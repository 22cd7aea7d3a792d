//! Amounts in base units. Arithmetic is checked: an overflow is an error, never a wrap.

use core::fmt;

use crate::MarketError;

/// An amount of money in lamports (1 SOL = 10⁹ lamports).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lamports(pub u64);

impl Lamports {
    pub const ZERO: Self = Self(0);

    /// The sum, or [`MarketError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MarketError> {
        self.0.checked_add(other.0).map(Self).ok_or(MarketError::Overflow)
    }

    /// The difference, or [`MarketError::Overflow`] where it would be negative.
    pub fn minus(self, other: Self) -> Result<Self, MarketError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MarketError::Overflow)
    }
}

impl fmt::Display for Lamports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lamports", self.0)
    }
}

/// Tokens of one job, summed over all its calls. Totals only ever rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Totals {
    /// Prompt tokens, counted by the model's own tokenizer.
    pub tokens_in: u64,
    /// Everything that the model produced: answer, reasoning, tool calls, special tokens.
    pub tokens_out: u64,
}

impl Totals {
    pub const ZERO: Self = Self { tokens_in: 0, tokens_out: 0 };

    /// Whether neither count is below the other's: the order in which vouchers may follow.
    pub fn covers(self, earlier: Self) -> bool {
        self.tokens_in >= earlier.tokens_in && self.tokens_out >= earlier.tokens_out
    }

    /// Whether nothing has been counted.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}
