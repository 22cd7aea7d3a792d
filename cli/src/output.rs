//! Standard output of commands that end by themselves.

use std::io::Write;

use serde::Serialize;

use crate::error::CliError;

/// Prints a text whole. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> Result<(), CliError> {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Prints one JSON value.
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<(), CliError> {
    print(&format!("{:#}\n", serde_json::json!(value)))
}
