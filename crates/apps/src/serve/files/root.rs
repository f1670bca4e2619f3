//! The directory that is served, and the only way to what is in it: by paths that the kernel keeps beneath it, links
//! included (`openat2` with `RESOLVE_BENEATH`).

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::Errno;

/// Entries of a directory that are listed at most.
const MOST_ENTRIES: usize = 20_000;

/// A directory to serve.
#[derive(Debug, Clone)]
pub struct Root {
    dir: Arc<OwnedFd>,
    path: PathBuf,
}

/// Why a path does not lead to something that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is nothing.
    NotFound,
    /// It may not be read, is beyond the directory, or is neither file nor directory.
    Forbidden,
    /// It exists already, is not empty, or is the wrong kind of thing.
    Conflict,
    /// No room on the device.
    Full,
    /// The system could not.
    Failed,
}

impl Refusal {
    fn of(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL => Self::NotFound,
            Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP | Errno::ROFS | Errno::NXIO => {
                Self::Forbidden
            }
            Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR => Self::Conflict,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::Full,
            _ => Self::Failed,
        }
    }

    /// The same of an error of the standard library.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        error.raw_os_error().map_or(Self::Failed, |code| Self::of(Errno::from_raw_os_error(code)))
    }
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) is_dir: bool,
    pub(crate) is_link: bool,
    pub(crate) len: u64,
    /// Since 1970.
    pub(crate) modified: i64,
    pub(crate) modified_nanos: u32,
    pub(crate) mode: u32,
    device: u64,
    inode: u64,
}

impl Facts {
    fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        Self {
            is_dir: kind.is_dir(),
            is_link: kind.is_symlink(),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            modified: stat.st_mtime,
            modified_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            mode: stat.st_mode & 0o7777,
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    /// When it was changed last.
    pub(crate) fn time(&self) -> SystemTime {
        match u64::try_from(self.modified) {
            Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
            Err(_) => UNIX_EPOCH,
        }
    }
}

/// Something opened.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A regular file, to be read.
    File(File, Facts),
    /// A directory.
    Directory(OwnedFd),
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub(crate) struct DirEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) facts: Facts,
}

impl Root {
    /// Opens the directory that will be served.
    ///
    /// # Errors
    /// When it does not exist, is no directory, or cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { dir: Arc::new(dir), path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn at(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Refusal> {
        let path = if path.is_empty() { &b"."[..] } else { path };
        let name = CString::new(path).map_err(|_| Refusal::NotFound)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(self.dir.as_fd(), &name, flags, mode, resolve) {
                // The kernel cannot tell whether the path stays beneath while somebody renames: it did not follow it.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.map_err(Refusal::of),
            }
        }
    }

    /// Opens what `path`, relative to the directory, leads to. Devices and pipes are not opened.
    pub(crate) fn look(&self, path: &[u8]) -> Result<Opened, Refusal> {
        // Without O_NONBLOCK a pipe would wait for its writer.
        let fd = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd).map_err(Refusal::of)?;
        let facts = Facts::of(&stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Opened::File(fd.into(), facts)),
            FileType::Directory => Ok(Opened::Directory(fd)),
            _ => Err(Refusal::Forbidden),
        }
    }

    /// What there is to know of `path`, without reading it.
    pub(crate) fn facts(&self, path: &[u8]) -> Result<Facts, Refusal> {
        let fd = self.at(path, OFlags::PATH, Mode::empty())?;
        rustix::fs::fstat(&fd).map(|stat| Facts::of(&stat)).map_err(Refusal::of)
    }

    /// The entries of an opened directory, sorted: directories first, `.` and `..` not among them. A link is told of as
    /// what it leads to, and not at all if that is beyond the directory that is served.
    pub(crate) fn list(&self, path: &[u8], dir: &OwnedFd) -> Result<Vec<DirEntry>, Refusal> {
        let mut entries = Vec::new();
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut raw = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = raw.next() {
            let entry = entry.map_err(Refusal::of)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let name = name.to_bytes();
            let mut facts = Facts::of(&stat);
            if facts.is_link {
                let target = [path, if path.is_empty() { b"" } else { b"/" }, name].concat();
                match self.facts(&target) {
                    Ok(found) => facts = found,
                    Err(_) => continue,
                }
            }
            entries.push(DirEntry { name: name.to_vec(), facts });
            if entries.len() >= MOST_ENTRIES {
                break;
            }
        }
        entries.sort_by(|a, b| (!a.facts.is_dir, &a.name).cmp(&(!b.facts.is_dir, &b.name)));
        Ok(entries)
    }

    /// The directory that holds `path`, and the last name in it.
    fn parent<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Refusal> {
        let (dir, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Err(Refusal::Forbidden);
        }
        Ok((self.at(dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?, name))
    }

    /// Makes a new file for writing, under a name that is not taken.
    pub(crate) fn create(&self, path: &[u8]) -> Result<File, Refusal> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        self.at(path, flags, Mode::from_raw_mode(0o644)).map(File::from)
    }

    /// Opens a file for writing, or makes it; and how long it is.
    pub(crate) fn open_to_write(&self, path: &[u8]) -> Result<(File, u64), Refusal> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.at(path, flags, Mode::from_raw_mode(0o644))?;
        let stat = rustix::fs::fstat(&fd).map_err(Refusal::of)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Refusal::Forbidden);
        }
        Ok((fd.into(), Facts::of(&stat).len))
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &[u8]) -> Result<(), Refusal> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(Refusal::of)
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, path: &[u8]) -> Result<(), Refusal> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).map_err(Refusal::of)
    }

    /// Makes a directory.
    pub(crate) fn make_dir(&self, path: &[u8]) -> Result<(), Refusal> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)).map_err(Refusal::of)
    }

    /// Gives a file or directory another name, replacing a file that has it.
    pub(crate) fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Refusal> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        rustix::fs::renameat(from_dir, from_name, to_dir, to_name).map_err(Refusal::of)
    }
}

/// A path from a client without `.`, `..` and empty parts, relative to the directory; `None`: it leads above it, or has a
/// zero in it.
pub(crate) fn normalise(path: &[u8], into: &mut Vec<u8>) -> Option<()> {
    into.clear();
    extend(path, into)
}

/// The same for a path from where `into` is.
pub(crate) fn extend(path: &[u8], into: &mut Vec<u8>) -> Option<()> {
    if path.contains(&0) {
        return None;
    }
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if into.is_empty() {
                    return None;
                }
                into.truncate(into.iter().rposition(|b| *b == b'/').unwrap_or(0));
            }
            name => {
                if !into.is_empty() {
                    into.push(b'/');
                }
                into.extend_from_slice(name);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let base = std::env::temp_dir().join(format!("bypath-root-{name}-{}", std::process::id()));
            std::fs::create_dir_all(base.join("in/sub")).unwrap();
            std::fs::write(base.join("secret"), "no").unwrap();
            std::fs::write(base.join("in/sub/file"), "yes").unwrap();
            symlink("../secret", base.join("in/out")).unwrap();
            symlink(base.join("in/sub/file"), base.join("in/absolute")).unwrap();
            symlink("sub/../sub/file", base.join("in/inside")).unwrap();
            symlink("..", base.join("in/up")).unwrap();
            Self(base)
        }

        fn root(&self) -> Root {
            Root::open(&self.0.join("in")).unwrap()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_lead_to_files_inside_and_never_outside() {
        let tree = Tree::new("links");
        let root = tree.root();
        assert!(matches!(root.look(b"sub/file"), Ok(Opened::File(..))));
        assert!(matches!(root.look(b"inside"), Ok(Opened::File(..))));
        for path in
            [&b"out"[..], b"absolute", b"up/secret", b"../secret", b"sub/../../secret", b"/etc/passwd"]
        {
            assert_eq!(root.look(path).unwrap_err(), Refusal::Forbidden, "{path:?}");
            assert!(root.facts(path).is_err(), "{path:?}");
        }
        assert_eq!(root.look(b"nothing").unwrap_err(), Refusal::NotFound);
        for path in [&b"up/new"[..], b"../new", b"out/new"] {
            assert!(root.create(path).is_err() && root.make_dir(path).is_err(), "{path:?}");
        }
        assert!(root.remove(b"up/secret").is_err() && root.rename(b"sub/file", b"up/x").is_err());
        assert_eq!(std::fs::read(tree.0.join("secret")).unwrap(), b"no");
    }

    #[test]
    fn paths_lose_their_dots_and_do_not_climb() {
        let norm = |path: &[u8]| {
            let mut out = Vec::new();
            normalise(path, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(norm(b"/a/./b//c/../d").as_deref(), Some("a/b/d"));
        assert_eq!(norm(b"/").as_deref(), Some(""));
        assert_eq!(norm(b"a/../").as_deref(), Some(""));
        for bad in [&b"/.."[..], b"a/../../b", b"..", b"a\0b"] {
            assert_eq!(norm(bad), None);
        }
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_directory(path in "(/|\\.|\\.\\.|a|b|%|\\\\){0,24}") {
            let mut out = Vec::new();
            if normalise(path.as_bytes(), &mut out).is_some() {
                prop_assert!(out.first() != Some(&b'/') && out.last() != Some(&b'/'));
                let clean = |p: &[u8]| !matches!(p, b"." | b".." | b"");
                prop_assert!(out.is_empty() || out.split(|b| *b == b'/').all(clean));
            }
        }
    }
}
