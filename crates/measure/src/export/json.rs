//! JSON: one valid document.

use std::io::{self, Write as _};

use super::OutputError;
use crate::result::RunResult;

/// The document, with a line end behind it.
pub fn json(result: &RunResult) -> String {
    let mut text = serde_json::to_string_pretty(result).unwrap_or_else(|error| {
        // The types hold nothing that JSON does not know; were it otherwise, this is still valid.
        format!(
            "{{\"schema\": {:?}, \"error\": {{\"code\": \"other\", \"message\": \"{error}\"}}}}",
            result.schema
        )
    });
    text.push('\n');
    text
}

/// Prints it to standard output.
///
/// # Errors
/// As [`print()`] has them.
pub fn print_json(result: &RunResult) -> Result<(), OutputError> {
    print(&json(result))
}

/// Prints a text to standard output. Whoever has closed that has seen enough.
///
/// # Errors
/// What the system says, when it is open and takes nothing.
pub fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(OutputError::new("to standard output", error))
        }
        _ => Ok(()),
    }
}
