//! The machine's clock, read here and nowhere else. Deadlines on chain never depend on it.

use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub fn now_unix_s() -> i64 {
    now_unix_ms() / 1_000
}
