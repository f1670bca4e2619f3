//! What can go wrong when a lab is made or used, each with what its reader can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// An error of the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The process may not make network namespaces.
    #[error("the lab makes network namespaces, which needs root; run: sudo {command}")]
    NotRoot {
        /// The command line of this process, ready to be repeated.
        command: String,
    },
    /// A program that the lab calls is not there.
    #[error("`{tool}` is not installed; run: sudo apt-get install {package}")]
    MissingTool {
        /// The program.
        tool: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program ran and failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// What was run.
        command: String,
        /// Its exit status.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// The system refused something.
    #[error("{action}: {source}")]
    Io {
        /// What was attempted.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Namespaces of that name exist.
    #[error("a lab named `{name}` is already up; remove it with: sudo bypath lab down --name {name}")]
    AlreadyUp {
        /// The lab's name.
        name: String,
    },
    /// There is no lab of that name.
    #[error("no lab named `{name}` is up; make it with: sudo bypath lab up --name {name}")]
    NoSuchLab {
        /// The lab's name.
        name: String,
    },
    /// The name cannot be part of a namespace's name.
    #[error("`{name}` cannot name a lab: use 1 to 40 of a-z, A-Z, 0-9 and `-`, not starting with `-`")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// A setting is out of range.
    #[error("{what} must be {wanted}, not {given}")]
    OutOfRange {
        /// The setting.
        what: &'static str,
        /// What it may be.
        wanted: &'static str,
        /// What it was.
        given: u64,
    },
    /// A started program never became ready, or ended before it was.
    #[error("{name} was not ready after {waited:?}: {why}; its log:\n{log}")]
    NotReady {
        /// The program.
        name: String,
        /// How long it was given.
        waited: Duration,
        /// What was missing.
        why: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A capture file that this crate cannot read.
    #[error("{}: {why}", path.display())]
    BadCapture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Names what was attempted when the system refuses it.
pub(crate) trait Doing<T> {
    /// Turns an I/O error into a [`LabError`] that says what was attempted.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|source| LabError::Io { action: action(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(io::Error::from).doing(action)
    }
}
