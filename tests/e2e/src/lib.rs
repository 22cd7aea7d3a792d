//! A whole market for a test: the real `chainference up` in a fresh home on free ports, and the clients that people use.
//!
//! Everything here panics with a reason: it is only ever called by tests.

pub mod client;
pub mod colleague;
pub mod history;
pub mod market;
pub mod money;
pub mod process;
pub mod schemas;
pub mod stranger;

/// The quickstart's model, under the name that the market gives it.
pub const MODEL: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

/// A binary of the build that this test belongs to.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test runs from a file");
    let release = test.ancestors().nth(2).expect("…/release/deps/test");
    let path = release.join(name);
    assert!(path.exists(), "{} is not built: run `make build`", path.display());
    path
}

/// Where clients and the model are kept between runs.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(std::env::home_dir()?.join(".cache"))).expect("a home folder");
    base.join("chainference")
}

/// One question takes no longer, or the machine was busy with something else.
const QUESTION_MAX: Duration = Duration::from_secs(5);

/// Asks again until the answer is there; fails with `what` when it is not within `within_s`, in which time that the whole
/// test was stopped for counts little.
pub fn eventually<T>(what: &str, within_s: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let mut left = Duration::from_secs(within_s);
    loop {
        let asked = Instant::now();
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(!left.is_zero(), "not within {within_s} s: {what}");
        sleep(Duration::from_millis(50));
        left = left.saturating_sub(asked.elapsed().min(QUESTION_MAX));
    }
}
