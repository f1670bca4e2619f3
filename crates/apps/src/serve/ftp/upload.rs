//! A file that is being uploaded: under a temporary name beside its place until it is complete.
//!
//! Only servers with `--writable` come here. Writing goes to the page cache, on the worker: a disk that cannot keep up
//! holds the worker's other connections up too.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::serve::files::{Refusal, Root};

/// Bytes that are written at once.
const BLOCK: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Upload {
    root: Root,
    file: File,
    /// Temporary name, and the one that it will have. `None`: it is written in place.
    names: Option<(Vec<u8>, Vec<u8>)>,
    buffer: Vec<u8>,
    at: u64,
}

impl Upload {
    /// A file that replaces what is at `path` when it is complete. `unique` tells uploads of this process apart.
    pub(super) fn replace(root: &Root, path: &[u8], unique: u64) -> Result<Self, Refusal> {
        if root.facts(path).is_ok_and(|facts| facts.is_dir) {
            return Err(Refusal::Conflict);
        }
        let (dir, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(at) => path.split_at(at + 1),
            None => (&path[..0], path),
        };
        let number = format!(".{unique:x}.upload");
        let temporary =
            [dir, b".", name.get(..name.len().min(200)).unwrap_or_default(), number.as_bytes()].concat();
        let file = root.create(&temporary)?;
        Ok(Self {
            root: root.clone(),
            file,
            names: Some((temporary, path.to_vec())),
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// Goes on with the file at `path`, behind its first `at` bytes; behind all of them if that is `None`.
    pub(super) fn go_on(root: &Root, path: &[u8], at: Option<u64>) -> Result<Self, Refusal> {
        let (file, len) = root.open_to_write(path)?;
        let at = at.unwrap_or(len);
        if at > len {
            return Err(Refusal::Conflict);
        }
        Ok(Self { root: root.clone(), file, names: None, buffer: Vec::new(), at })
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Refusal> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        self.file.write_all_at(&self.buffer, self.at).map_err(|error| Refusal::of_io(&error))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// All has come: the file gets its name.
    pub(super) fn finish(mut self) -> Result<u64, Refusal> {
        self.flush()?;
        if let Some((temporary, path)) = &self.names {
            self.root.rename(temporary, path)?;
            self.names = None;
        }
        Ok(self.at)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.names {
            // It is incomplete. Nobody is left to be told when it cannot be removed.
            let _ = self.root.remove(temporary);
        }
    }
}
