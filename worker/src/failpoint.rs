//! Where tests let the worker die: named points between a store and what follows it.

use std::sync::LazyLock;

/// Set by tests alone, to the name of a point.
const VARIABLE: &str = "CHAINFERENCE_TEST_ABORT_AT";

static ABORT_AT: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(VARIABLE).ok());

/// Ends the process as kill −9 would, if this is the point that the environment names.
pub(crate) fn reached(point: &str) {
    if ABORT_AT.as_deref() == Some(point) {
        std::process::abort();
    }
}
