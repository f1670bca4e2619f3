//! Files that are there completely or not at all.
//!
//! What is written grows under a name of its own in the same directory, and gets its name at the end, replacing what was
//! there. When something fails, or the command is interrupted, what was there before is untouched. What is no regular file
//! (`/dev/null`, a pipe, standard output as `-`) is written to directly.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Written at once: captures grow by a gigabyte a second, and each page that is written in part costs as much as a whole
/// one.
const BUFFER: usize = 1 << 18;

/// Why a file, or an address, is of no use for a result.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {what}: {problem}")]
pub struct OutputError {
    what: String,
    problem: String,
    #[source]
    source: io::Error,
}

impl OutputError {
    pub(crate) fn new(what: impl Into<String>, source: io::Error) -> OutputError {
        OutputError { what: what.into(), problem: advice(&source), source }
    }

    pub(crate) fn into_io(self) -> io::Error {
        self.source
    }

    /// What the system said.
    pub fn io(&self) -> &io::Error {
        &self.source
    }
}

/// What is wrong with a place to write to, and what to do about it.
pub(crate) fn advice(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "no space is left there; free some, or name another place".to_owned(),
        ErrorKind::QuotaExceeded => "the quota is used up; free some space, or name another place".to_owned(),
        ErrorKind::NotFound => "its directory does not exist; create it, or name another place".to_owned(),
        ErrorKind::PermissionDenied => "permission denied; name a place that you may write to".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only; name another place".to_owned(),
        ErrorKind::IsADirectory => "that is a directory; name a file in it".to_owned(),
        ErrorKind::AddrInUse => "the address is in use; name another port, or 0 for a free one".to_owned(),
        ErrorKind::AddrNotAvailable => "this host has no such address".to_owned(),
        _ => error.to_string(),
    }
}

#[derive(Debug)]
enum Sink {
    /// To be given its name; the path is where links have led to.
    Growing(BufWriter<NamedTempFile>, PathBuf),
    Direct(BufWriter<File>),
    Stdout,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    sink: Sink,
}

impl Output {
    /// Begins it. Nothing is there under its name yet.
    ///
    /// # Errors
    /// When there is no writing to that place.
    pub fn create(path: &Path) -> Result<Output, OutputError> {
        let sink = if path == Path::new("-") { Ok(Sink::Stdout) } else { Output::sink(path) };
        let sink = sink.map_err(|error| OutputError::new(quoted(path), error))?;
        Ok(Output { path: path.to_owned(), sink })
    }

    fn sink(path: &Path) -> io::Result<Sink> {
        match path.metadata() {
            Ok(about) if about.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(about) if !about.is_file() => {
                return Ok(Sink::Direct(BufWriter::with_capacity(
                    BUFFER,
                    File::options().write(true).open(path)?,
                )));
            }
            // Replacing needs no right to write to the file itself, but who took that right away meant it.
            Ok(_) => drop(File::options().write(true).open(path)?),
            Err(_) => {}
        }
        // Through links: it is what they lead to that is replaced.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let Some(name) = real.file_name() else { return Err(ErrorKind::IsADirectory.into()) };
        let directory = real.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .suffix(".part")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(directory.unwrap_or(Path::new(".")))?;
        Ok(Sink::Growing(BufWriter::with_capacity(BUFFER, file), real))
    }

    /// The name that was asked for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends to it.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let outcome = match &mut self.sink {
            Sink::Growing(file, _) => file.write_all(bytes),
            Sink::Direct(file) => file.write_all(bytes),
            Sink::Stdout => io::stdout().lock().write_all(bytes),
        };
        outcome.map_err(|error| OutputError::new(quoted(&self.path), error))
    }

    /// Ends it: everything is on the disk, and it has its name.
    pub fn commit(self) -> Result<(), OutputError> {
        let failed = |error| OutputError::new(quoted(&self.path), error);
        match self.sink {
            Sink::Growing(file, real) => {
                let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                file.persist(real).map(drop).map_err(|error| failed(error.error))
            }
            Sink::Direct(mut file) => file.flush().map_err(failed),
            Sink::Stdout => io::stdout().lock().flush().map_err(failed),
        }
    }

    /// Appends the last of it, and ends it.
    pub fn complete(mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.append(bytes)?;
        self.commit()
    }
}

fn quoted(path: &Path) -> String {
    if path == Path::new("-") { "to standard output".to_owned() } else { format!("\"{}\"", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{read, read_dir};

    fn names(directory: &Path) -> Vec<String> {
        let entries = read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.json");
        let mut output = Output::create(&path).unwrap();
        output.append(b"half").unwrap();
        assert!(!path.exists());
        output.complete(b" and half").unwrap();
        assert_eq!(read(&path).unwrap(), b"half and half");
        assert_eq!(names(dir.path()), ["result.json"]);
    }

    #[test]
    fn what_is_given_up_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.json");
        std::fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.append(b"new").unwrap();
        drop(output);
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["result.json"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Output::create(&link).unwrap().complete(b"new").unwrap();
        assert_eq!(read(&real).unwrap(), b"new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn devices_are_written_to_directly() {
        Output::create(Path::new("/dev/null")).unwrap().complete(b"gone").unwrap();
        let error = Output::create(Path::new("/dev/full")).unwrap().complete(b"no room").unwrap_err();
        assert_eq!(error.io().kind(), ErrorKind::StorageFull);
        assert!(error.to_string().contains("no space is left"), "{error}");
        assert!(Path::new("/dev/full").exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let known = [
            (dir.path().join("no/such"), "directory does not exist"),
            (dir.path().to_owned(), "is a directory"),
        ];
        for (path, problem) in known {
            let error = Output::create(&path).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(&path.display().to_string()), "{error}");
        }
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn files_have_the_permissions_that_others_expect() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, usual) = (dir.path().join("ours"), dir.path().join("usual"));
        Output::create(&ours).unwrap().complete(b"x").unwrap();
        std::fs::write(&usual, "x").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&usual));
    }
}
