//! Where tests let the gateway die: named points between a store and what follows it.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

/// Set by tests alone, to the name of a point, or to `NAME:N` for the N-th time that it is reached.
const VARIABLE: &str = "CHAINFERENCE_TEST_ABORT_GATEWAY_AT";

static ABORT_AT: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
    let set = std::env::var(VARIABLE).ok()?;
    let (point, times) = set.rsplit_once(':').unwrap_or((&set, "1"));
    Some((point.to_owned(), times.parse().ok()?))
});
static REACHED: AtomicU32 = AtomicU32::new(0);

/// Ends the process as kill −9 would, if this is the point that the environment names.
pub(crate) fn reached(point: &str) {
    if let Some((name, times)) = &*ABORT_AT
        && name == point
        && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *times
    {
        std::process::abort();
    }
}
