//! How a demo can end before its time.

use std::io;

use bypath_lab::LabError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("interrupted; the lab is removed")]
    Interrupted,
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("`{command}` failed ({status})\n{output}")]
    Program { command: String, status: String, output: String },
    #[error("{what}: expected {expected}, got {got}")]
    Unexpected { what: String, expected: String, got: String },
}

pub(crate) type Result<T> = std::result::Result<T, DemoError>;

/// Names what was attempted when the system refuses it.
pub(crate) fn io(what: &str) -> impl FnOnce(io::Error) -> DemoError {
    let what = what.to_owned();
    move |source| DemoError::Io { what, source }
}

/// Fails unless two things are the same.
pub(crate) fn expect<T: PartialEq + std::fmt::Display>(what: &str, got: T, expected: T) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(DemoError::Unexpected { what: what.into(), expected: expected.to_string(), got: got.to_string() })
}
