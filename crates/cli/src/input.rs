//! Captures that are read: files, and pipes that Ctrl-C ends as if there were no more in them.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::signals;

/// How often a reader that waits looks whether it was told to stop, milliseconds.
const LOOK: u16 = 100;

/// Ctrl-C, once: whoever presses it again does not want to wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ctrl-C and SIGTERM are told here from now on.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in signals::ENDING {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop.0))?;
        }
        signals::set_by_signals(&stop.0)?;
        Ok(stop)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is read, until it ends or is to stop.
pub(crate) struct Input {
    file: File,
    stop: Stop,
}

impl Input {
    /// Opens a file, or standard input for "-".
    pub(crate) fn open(path: &Path, stop: &Stop) -> Result<Self, String> {
        let stop = stop.clone();
        if path.as_os_str() == "-" {
            let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
            return Ok(Self { file: File::from(stdin), stop });
        }
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => "there is no such file".to_owned(),
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        })?;
        match file.metadata() {
            Ok(about) if about.is_dir() => Err("that is a directory; name the files in it".to_owned()),
            _ => Ok(Self { file, stop }),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.stop.is_set() {
            let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(LOOK)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }
}

/// Whether both names are of the same regular file.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let about = |path: &Path| path.metadata().ok().filter(std::fs::Metadata::is_file);
    match (about(one), about(other)) {
        (Some(one), Some(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}
