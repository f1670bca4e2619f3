//! The bytes of a file as they are sent: small files copied into memory, larger ones mapped.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bypath::SendSource;

use super::mapped::MappedFile;

/// Files up to this are read into memory: cheaper than a mapping, and safe from whatever becomes of the file.
pub(crate) const SMALL: u64 = 128 * 1024;
/// A file that cannot be mapped is read into memory up to this.
const MOST_READ: u64 = 64 << 20;

/// Bytes to send, any part of them, any number of times.
#[derive(Debug)]
pub(crate) enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// In the page cache.
    Mapped(MappedFile),
}

impl Content {
    /// The first `len` bytes of a file; fewer if it has become shorter.
    pub(crate) fn read(file: &File, len: u64) -> io::Result<Self> {
        if len > SMALL
            && let Ok(len) = usize::try_from(len)
            && let Some(mapped) = MappedFile::new(file, len)
        {
            return Ok(Self::Mapped(mapped));
        }
        if len > MOST_READ {
            return Err(io::Error::other("too many files are mapped"));
        }
        let mut bytes = vec![0; len as usize];
        let mut have = 0;
        while have < bytes.len() {
            match file.read_at(&mut bytes[have..], have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(have);
        Ok(Self::Bytes(bytes))
    }

    fn all(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Mapped(mapped) => mapped.bytes(),
        }
    }

    /// `false`: its file has become shorter while it was read, and there are zeros in its place.
    pub(crate) fn is_intact(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Mapped(mapped) => !mapped.is_spoiled(),
        }
    }

    /// Whether it can be spoiled at all.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }

    /// Bytes of memory of its own.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Mapped(_) => 0,
        }
    }
}

impl SendSource for Content {
    fn len(&self) -> u64 {
        self.all().len() as u64
    }

    fn bytes_at(&self, offset: u64) -> &[u8] {
        usize::try_from(offset).ok().and_then(|at| self.all().get(at..)).unwrap_or_default()
    }
}
