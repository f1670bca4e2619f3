//! JSON: one valid document.

use std::io::{self, Write as _};

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

/// Prints it to standard output. With standard output closed there is nobody left to tell.
pub fn print_json(result: &RunResult) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(json(result).as_bytes()).and_then(|()| stdout.flush());
}
