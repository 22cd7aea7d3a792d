use anchor_lang::prelude::*;
use chainference_market as market;

/// What clients paid for and said, as it is stored; `chainference_market::Reputation` is what it means.
#[zero_copy]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reputation {
    pub fees_completed: u64,
    pub fees_flagged: u64,
    pub fees_compared: u64,
    pub fees_preferred: u64,
    pub fees_timed: u64,
    pub fees_timed_fast: u64,
    pub fees_audited: u64,
    pub fees_audited_ok: u64,
    pub beats_from_unix_s: i64,
    pub beats_due: u32,
    pub beats_kept: u32,
    pub jobs_completed: u32,
    pub jobs_flagged: u32,
    pub jobs_compared: u32,
    pub jobs_preferred: u32,
    pub jobs_timed: u32,
    pub jobs_audited: u32,
    pub jobs_audited_ok: u32,
    pub padding: u32,
}

macro_rules! mirror {
    ($($field:ident),* $(,)?) => {
        impl From<Reputation> for market::Reputation {
            fn from(stored: Reputation) -> Self {
                Self { $($field: stored.$field),* }
            }
        }

        impl From<market::Reputation> for Reputation {
            fn from(rules: market::Reputation) -> Self {
                Self { $($field: rules.$field,)* padding: 0 }
            }
        }
    };
}

mirror!(
    fees_completed,
    fees_flagged,
    fees_compared,
    fees_preferred,
    fees_timed,
    fees_timed_fast,
    fees_audited,
    fees_audited_ok,
    beats_from_unix_s,
    beats_due,
    beats_kept,
    jobs_completed,
    jobs_flagged,
    jobs_compared,
    jobs_preferred,
    jobs_timed,
    jobs_audited,
    jobs_audited_ok,
);
