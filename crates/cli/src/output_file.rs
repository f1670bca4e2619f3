//! A file that a command writes a document into: opened before the work begins, so that what cannot be written is known
//! then, and given its name when it is complete.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Where a document goes.
#[derive(Debug)]
pub(crate) enum OutputFile {
    Stdout,
    /// What is no regular file, such as /dev/null or a pipe, is written as it is.
    Special(File),
    /// A temporary file beside the one that it will replace.
    Regular {
        file: NamedTempFile,
        path: PathBuf,
    },
}

impl OutputFile {
    /// Prepares a file of this name; "-" is stdout.
    pub(crate) fn create(path: &Path) -> io::Result<OutputFile> {
        if path.as_os_str() == "-" {
            return Ok(OutputFile::Stdout);
        }
        match path.metadata() {
            Ok(there) if there.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            Ok(there) if !there.is_file() => {
                Ok(OutputFile::Special(OpenOptions::new().write(true).open(path)?))
            }
            _ => {
                // A link is followed: its target is replaced, not the link.
                let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                let directory = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                let mut builder = tempfile::Builder::new();
                // As readable by others as what any program writes.
                let permissions = Permissions::from_mode(0o666);
                let file = builder.prefix(".bypath-").permissions(permissions).tempfile_in(directory)?;
                Ok(OutputFile::Regular { file, path })
            }
        }
    }

    /// Writes the whole. On an error nothing is left under the name.
    pub(crate) fn finish(self, document: &[u8]) -> io::Result<()> {
        match self {
            OutputFile::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(document)?;
                stdout.flush()
            }
            OutputFile::Special(mut file) => file.write_all(document),
            OutputFile::Regular { mut file, path } => {
                file.write_all(document)?;
                file.flush()?;
                file.persist(path).map_err(|error| error.error)?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        std::fs::write(&path, "old").unwrap();
        let file = OutputFile::create(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        file.finish(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        drop(OutputFile::create(&path).unwrap());
        assert_eq!(names(dir.path()), ["page.html"]);
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        assert!(OutputFile::create(dir.path()).is_err());
        assert!(OutputFile::create(&dir.path().join("no/such/page.html")).is_err());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        OutputFile::create(&link).unwrap().finish(b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert!(link.is_symlink());
    }

    #[test]
    fn special_files_are_written_as_they_are() {
        OutputFile::create(Path::new("/dev/null")).unwrap().finish(b"gone").unwrap();
        let full = OutputFile::create(Path::new("/dev/full")).unwrap();
        assert!(full.finish(b"x").is_err());
    }
}
