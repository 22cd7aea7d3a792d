//! What is printed for a person or for another program.

use std::io::{ErrorKind, Write};

use crate::error::CliError;

/// Prints a text. A reader that has seen enough (`… | head`) is no error.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::File { path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON, over several lines.
pub fn print_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<(), CliError> {
    print(&format!("{:#}\n", serde_json::json!(value)))
}
