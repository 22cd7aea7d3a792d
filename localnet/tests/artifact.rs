//! The program in the tree is what its sources say.

use std::process::Command;

#[test]
fn the_built_program_is_as_new_as_its_sources() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/build-program");
    let check = Command::new(script).arg("--check").output().expect("the script runs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
