//! What went wrong, where, and what had happened until then.

use std::fmt;

/// A script that cannot be read, or that the stack does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the script.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What had happened, oldest first.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.line, self.message)?;
        if !self.trace.is_empty() {
            writeln!(f, "  until then:")?;
        }
        self.trace.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

impl std::error::Error for Failure {}

/// What is wrong with a line, before it is known to which file it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Trouble {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }

    pub(crate) fn in_file(self, file: &str, trace: Vec<String>) -> Failure {
        Failure { file: file.to_owned(), line: self.line, message: self.message, trace }
    }
}
