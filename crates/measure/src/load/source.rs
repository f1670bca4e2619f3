//! A file as something to send: mapped, so that segments are built from the page cache without a copy in between.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bypath::SendSource;
use memmap2::{Mmap, MmapOptions};

/// A mapped file.
struct Mapped(Mmap);

impl SendSource for Mapped {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default()
    }
}

/// Maps a file.
///
/// # Errors
/// What the kernel says, or that the file is empty or none.
pub(super) fn map(path: &Path) -> std::io::Result<Arc<dyn SendSource>> {
    let refuse = |why: &str| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why.to_owned()));
    let file = File::open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return refuse("it is not a regular file");
    }
    if facts.len() == 0 {
        return refuse("it is empty");
    }
    // SAFETY: the mapping is read only and private to this process. Another process that shortens the file during the run
    // would end ours with SIGBUS, as it would end any program that maps its input; `docs/load.md` says so.
    let map = unsafe { MmapOptions::new().populate().map(&file) }?;
    Ok(Arc::new(Mapped(map)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_where_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"some bytes").unwrap();
        let source = map(&path).unwrap();
        assert_eq!((source.len(), source.bytes_at(5)), (10, &b"bytes"[..]));
        std::fs::write(&path, b"").unwrap();
        assert!(map(&path).is_err());
        assert!(map(dir.path()).is_err());
    }
}
