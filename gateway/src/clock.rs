//! The machine's clock, read here and nowhere else, and the chain's, which all deadlines on chain go by.

use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub fn now_unix_s() -> i64 {
    now_unix_ms() / 1_000
}

/// What the chain's own clock says.
#[derive(Clone, Copy, Debug)]
pub struct ChainTime {
    pub slot: u64,
    pub unix_s: i64,
}
