//! Where a body goes: a file that has its name only when it is complete, stdout, or nowhere.
//!
//! A file NAME grows as `.NAME.part` beside it. On success it is renamed; when a transfer fails half-way it
//! stays for `-C -`; when nothing came, nothing stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bypath_apps::{BodyInfo, Sink};
use sha2::{Digest, Sha256};

use crate::progress::Progress;

/// Where the body of one URL is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    File(PathBuf),
    Stdout,
    /// Counted, and hashed if wanted.
    Nowhere,
}

/// What is there when the transfer is over.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The complete file.
    pub(crate) output: Option<PathBuf>,
    /// The incomplete one.
    pub(crate) part: Option<PathBuf>,
    /// Of the complete body.
    pub(crate) sha256: Option<String>,
}

enum Target {
    Nowhere,
    /// Stdout, or something that is no regular file and keeps its name, such as /dev/null.
    Stream(File),
    Terminal(File),
    Named(Named),
}

/// A file under its temporary name.
struct Named {
    name: PathBuf,
    part: PathBuf,
    /// Bytes that are there already, and in which of the two files.
    have: u64,
    in_name: bool,
    file: Option<File>,
}

pub(crate) struct FileSink {
    target: Target,
    hash: Option<Sha256>,
    progress: Progress,
    /// Bytes so far, for whoever has to report on an interrupted transfer.
    counter: Arc<AtomicU64>,
}

impl FileSink {
    /// Prepares the destination without touching it.
    pub(crate) fn open(
        destination: &Destination,
        resume: bool,
        hash: bool,
        progress: Progress,
        counter: Arc<AtomicU64>,
    ) -> io::Result<FileSink> {
        let target = match destination {
            Destination::Nowhere => Target::Nowhere,
            Destination::Stdout => {
                let stdout = io::stdout();
                let file = File::from(stdout.as_fd().try_clone_to_owned()?);
                if stdout.is_terminal() { Target::Terminal(file) } else { Target::Stream(file) }
            }
            Destination::File(name) => match fs::metadata(name) {
                Ok(meta) if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(meta) if meta.file_type().is_char_device() || meta.file_type().is_fifo() => {
                    Target::Stream(OpenOptions::new().write(true).open(name)?)
                }
                _ => Target::Named(Named::new(name, resume)?),
            },
        };
        Ok(FileSink { target, hash: hash.then(Sha256::new), progress, counter })
    }

    /// Bytes that are there already, to resume behind; 0 without `-C -`.
    pub(crate) fn have(&self) -> u64 {
        match &self.target {
            Target::Named(named) => named.have,
            _ => 0,
        }
    }

    /// Settles what stays: the complete file under its name, or what there is of it.
    pub(crate) fn finish(mut self, complete: bool) -> io::Result<Left> {
        self.progress.end();
        let mut left = Left::default();
        match &mut self.target {
            Target::Named(named) => {
                if complete {
                    if named.file.is_none() && self.hash.is_some() {
                        // There was nothing to fetch: the hash is that of what was there.
                        named.hash_into(self.hash.as_mut())?;
                    }
                    left.output = named.complete()?;
                } else {
                    left.part = named.abandon();
                }
            }
            Target::Stream(file) | Target::Terminal(file) => file.flush()?,
            Target::Nowhere => {}
        }
        if complete {
            left.sha256 = self.hash.map(|hash| format!("{:x}", hash.finalize()));
        }
        Ok(left)
    }
}

impl Sink for FileSink {
    fn begin(&mut self, info: &BodyInfo) -> io::Result<()> {
        self.progress.begin(info);
        match &mut self.target {
            Target::Named(named) => named.begin(self.hash.as_mut()),
            _ => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.target {
            Target::Nowhere => {}
            Target::Stream(file) => file.write_all(bytes)?,
            Target::Terminal(file) => {
                if bytes.contains(&0) {
                    let text = "the body is binary and stdout is a terminal; use -o FILE or redirect it";
                    return Err(io::Error::other(text));
                }
                file.write_all(bytes)?;
            }
            Target::Named(named) => match &mut named.file {
                Some(file) => file.write_all(bytes)?,
                None => return Err(io::ErrorKind::NotFound.into()),
            },
        }
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.progress.advance(bytes.len());
        Ok(())
    }
}

impl Named {
    fn new(name: &Path, resume: bool) -> io::Result<Named> {
        let part = part_name(name)?;
        let len =
            |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|m| m.len());
        let (have, in_name) = match (resume, len(&part), len(name)) {
            (true, Some(have), _) => (have, false),
            (true, None, Some(have)) => (have, true),
            _ => (0, false),
        };
        // Told now, before anything is fetched.
        let directory = part.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::metadata(directory)?;
        Ok(Named { name: name.to_owned(), part, have, in_name, file: None })
    }

    /// Opens the part file, behind what is there of it.
    fn begin(&mut self, hash: Option<&mut Sha256>) -> io::Result<()> {
        if self.have > 0 {
            self.hash_into(hash)?;
        }
        if self.in_name {
            fs::rename(&self.name, &self.part)?;
        }
        // The name is easy to guess: a link that somebody has put there must not be followed.
        let mut options = OpenOptions::new();
        options.create(true).custom_flags(libc::O_NOFOLLOW);
        if self.have > 0 {
            options.append(true);
        } else {
            options.write(true).truncate(true);
        }
        self.file = Some(options.open(&self.part)?);
        Ok(())
    }

    /// Hashes what is there already.
    fn hash_into(&self, hash: Option<&mut Sha256>) -> io::Result<()> {
        let Some(hash) = hash else { return Ok(()) };
        let mut file = File::open(if self.in_name { &self.name } else { &self.part })?;
        let mut buf = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buf)? {
                0 => return Ok(()),
                n => hash.update(&buf[..n]),
            }
        }
    }

    fn complete(&mut self) -> io::Result<Option<PathBuf>> {
        let fetched = self.file.take().is_some();
        if fetched || (self.have > 0 && !self.in_name) {
            fs::rename(&self.part, &self.name)?;
        } else if !self.in_name {
            return Ok(None);
        }
        Ok(Some(self.name.clone()))
    }

    /// Keeps what is worth keeping, and says where it is.
    fn abandon(&mut self) -> Option<PathBuf> {
        let Some(file) = self.file.take() else {
            return (self.have > 0 && !self.in_name).then(|| self.part.clone());
        };
        let len = file.metadata().map(|meta| meta.len()).unwrap_or_default();
        // None of these can be done better when it fails: the part file is named in the message.
        if len == 0 {
            let _ = fs::remove_file(&self.part);
            return None;
        }
        if self.in_name && len == self.have && fs::rename(&self.part, &self.name).is_ok() {
            return None;
        }
        Some(self.part.clone())
    }
}

/// `.NAME.part` in the same directory.
pub(crate) fn part_name(name: &Path) -> io::Result<PathBuf> {
    let Some(base) = name.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    let mut part = std::ffi::OsString::from(".");
    part.push(base);
    part.push(".part");
    Ok(name.with_file_name(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(name: &Path, resume: bool) -> FileSink {
        let destination = Destination::File(name.to_owned());
        FileSink::open(&destination, resume, true, Progress::new("", false), Arc::default()).unwrap()
    }

    fn info(offset: u64) -> BodyInfo {
        BodyInfo { offset, length: None }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const SHA_OF_HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_complete_file_gets_its_name_only_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        let mut sink = sink(&name, false);
        sink.begin(&info(0)).unwrap();
        sink.data(b"hello").unwrap();
        assert_eq!(names(dir.path()), [".f.part"]);
        let left = sink.finish(true).unwrap();
        assert_eq!(left.sha256.as_deref(), Some(SHA_OF_HELLO));
        assert_eq!(names(dir.path()), ["f"]);
        assert_eq!(fs::read(&name).unwrap(), b"hello");
    }

    #[test]
    fn an_incomplete_file_stays_and_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        let mut first = sink(&name, false);
        first.begin(&info(0)).unwrap();
        first.data(b"hel").unwrap();
        assert_eq!(first.finish(false).unwrap().part, Some(dir.path().join(".f.part")));
        let mut second = sink(&name, true);
        assert_eq!(second.have(), 3);
        second.begin(&info(3)).unwrap();
        second.data(b"lo").unwrap();
        assert_eq!(second.finish(true).unwrap().sha256.as_deref(), Some(SHA_OF_HELLO));
        assert_eq!(names(dir.path()), ["f"]);
    }

    #[test]
    fn an_existing_file_is_resumed_or_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        fs::write(&name, "hel").unwrap();
        let mut failed = sink(&name, true);
        failed.begin(&info(3)).unwrap();
        assert!(failed.finish(false).unwrap().part.is_none());
        assert_eq!(names(dir.path()), ["f"]);
        let mut sink = sink(&name, true);
        sink.begin(&info(3)).unwrap();
        sink.data(b"lo").unwrap();
        assert_eq!(sink.finish(true).unwrap().sha256.as_deref(), Some(SHA_OF_HELLO));
        assert_eq!(fs::read(&name).unwrap(), b"hello");
    }

    #[test]
    fn a_file_with_nothing_left_to_fetch_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        fs::write(dir.path().join(".f.part"), "hello").unwrap();
        let left = sink(&name, true).finish(true).unwrap();
        assert_eq!(left.sha256.as_deref(), Some(SHA_OF_HELLO));
        assert_eq!(names(dir.path()), ["f"]);
        assert_eq!(sink(&name, true).finish(true).unwrap().output, Some(name));
    }

    #[test]
    fn nothing_remains_when_nothing_came() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("f");
        sink(&name, false).finish(false).unwrap();
        let mut begun = sink(&name, false);
        begun.begin(&info(0)).unwrap();
        begun.finish(false).unwrap();
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_link_under_the_temporary_name_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(".f.part")).unwrap();
        assert!(sink(&dir.path().join("f"), false).begin(&info(0)).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_directory_is_no_output() {
        let dir = tempfile::tempdir().unwrap();
        let destination = Destination::File(dir.path().to_owned());
        let open =
            |d: &Destination| FileSink::open(d, false, false, Progress::new("", false), Arc::default());
        assert!(open(&destination).is_err());
        assert!(open(&Destination::File(dir.path().join("missing/f"))).is_err());
    }
}
