//! Files to send, and a bounded memory of those that were asked for lately, one for each worker.
//!
//! An entry is believed for a second: then the path is looked up once more, and when file, length and time of change are
//! the same, the entry is good for another second. So a file that is asked for often costs no system call.

mod content;
mod mapped;
mod root;

use std::sync::Arc;

use bypath::Instant;
use hashbrown::HashMap;

pub(crate) use content::Content;
pub use root::Root;
pub(crate) use root::{DirEntry, Facts, Opened, Refusal, extend, normalise};

/// For so long nobody looks whether a file has changed.
const BELIEVED_NS: u64 = 1_000_000_000;
/// Files that are remembered, by each worker.
const MOST_FILES: usize = 512;
/// Bytes of small files that are remembered, by each worker.
const MOST_BYTES: usize = 64 << 20;

/// A file as it is served.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) content: Arc<Content>,
    pub(crate) facts: Facts,
    /// Entity tag with its quotation marks.
    pub(crate) etag: String,
    /// As HTTP dates are written.
    pub(crate) last_modified: String,
    pub(crate) mime: String,
    /// Of the answer to a plain GET: the lines that are always the same, and the length.
    pub(crate) head: Vec<u8>,
}

struct Remembered {
    entry: Arc<Entry>,
    checked: Instant,
    used: Instant,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found {
    File(Arc<Entry>),
    Directory(std::os::fd::OwnedFd),
}

/// The files that a worker remembers, by directory and path.
#[derive(Default)]
pub(crate) struct FileCache {
    files: HashMap<(usize, Vec<u8>), Remembered>,
    bytes: usize,
}

impl FileCache {
    /// What `path` leads to in the directory `root`, which is the server's number `site`.
    pub(crate) fn find(
        &mut self,
        now: Instant,
        (site, root): (usize, &Root),
        path: &[u8],
        make: impl FnOnce(&Facts, &[u8], Content) -> Entry,
    ) -> Result<Found, Refusal> {
        let key = KeyRef(site, path);
        if let Some(known) = self.files.get_mut(&key) {
            known.used = now;
            if now.nanos_since(known.checked) < BELIEVED_NS && known.entry.content.is_intact() {
                return Ok(Found::File(known.entry.clone()));
            }
        }
        let opened = root.look(path);
        let (file, facts) = match opened {
            Ok(Opened::File(file, facts)) => (file, facts),
            Ok(Opened::Directory(dir)) => {
                self.forget(&key);
                return Ok(Found::Directory(dir));
            }
            Err(refusal) => {
                self.forget(&key);
                return Err(refusal);
            }
        };
        if let Some(known) = self.files.get_mut(&key)
            && known.entry.facts == facts
            && known.entry.content.is_intact()
        {
            known.checked = now;
            return Ok(Found::File(known.entry.clone()));
        }
        self.forget(&key);
        let content = Content::read(&file, facts.len).map_err(|error| Refusal::of_io(&error))?;
        let entry = Arc::new(make(&facts, path, content));
        self.remember(now, site, path, &entry);
        Ok(Found::File(entry))
    }

    fn remember(&mut self, now: Instant, site: usize, path: &[u8], entry: &Arc<Entry>) {
        let size = entry.content.memory();
        while self.files.len() >= MOST_FILES || self.bytes + size > MOST_BYTES {
            let oldest = self.files.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            let Some((site, path)) = oldest else { return };
            self.forget(&KeyRef(site, &path));
        }
        self.bytes += size;
        let known = Remembered { entry: entry.clone(), checked: now, used: now };
        self.files.insert((site, path.to_vec()), known);
    }

    fn forget(&mut self, key: &KeyRef<'_>) {
        if let Some(known) = self.files.remove(key) {
            self.bytes -= known.entry.content.memory();
        }
    }
}

/// A key that is looked for without making one.
#[derive(Hash)]
struct KeyRef<'a>(usize, &'a [u8]);

impl hashbrown::Equivalent<(usize, Vec<u8>)> for KeyRef<'_> {
    fn equivalent(&self, key: &(usize, Vec<u8>)) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}
