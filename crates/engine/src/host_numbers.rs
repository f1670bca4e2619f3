//! Where a host's initial sequence numbers and timestamps come from: a key that stays while the host is up, and the
//! time since its start. An engine that is started again goes on where the last one left off, so that a peer that
//! still keeps the old connection in TIME-WAIT takes the new one (RFC 6191). With a fresh key for each engine half
//! of those connections would cost a reset and a second.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use bypath_tcp::IsnGenerator;

/// Gone with the host's next start, and readable for nobody but its owner: who knows the key can tell the numbers.
const KEY_DIRECTORY: &str = "/run/bypath";
const KEY_FILE: &str = "isn-key";

/// The host's generator.
///
/// # Errors
/// No key can be kept, for lack of rights above all.
pub(crate) fn generator() -> io::Result<IsnGenerator> {
    let key = u128::from_ne_bytes(kept_key(Path::new(KEY_DIRECTORY))?);
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ns = up.tv_sec.unsigned_abs() * 1_000_000_000 + up.tv_nsec.unsigned_abs();
    Ok(IsnGenerator::new((key as u64, (key >> 64) as u64)).running_since(ns))
}

/// The key kept in `directory`, made if there is none. Of several who make one at once all get the same.
fn kept_key(directory: &Path) -> io::Result<[u8; 16]> {
    let file = directory.join(KEY_FILE);
    if let Some(key) = read_key(&file)? {
        return Ok(key);
    }
    DirBuilder::new().mode(0o700).recursive(true).create(directory)?;
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let own = directory.join(format!(".{KEY_FILE}-{}", getrandom::u64().unwrap_or_default()));
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    let linked = out.write_all(&key).and_then(|()| fs::hard_link(&own, &file));
    fs::remove_file(&own)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(&file)?.ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        Err(error) => Err(error),
    }
}

/// `None`: there is none. One that others could have written or read is refused.
fn read_key(file: &Path) -> io::Result<Option<[u8; 16]>> {
    let mut input = match File::open(file) {
        Ok(input) => input,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let facts = input.metadata()?;
    let mine = facts.uid() == rustix::process::geteuid().as_raw();
    if !mine || facts.mode() & 0o077 != 0 || facts.len() != 16 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut key = [0; 16];
    input.read_exact(&mut key)?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept() {
        let room = tempfile::tempdir().unwrap();
        let directory = room.path().join("of bypath");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| kept_key(&directory).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_ne!(keys[0], [0; 16]);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_cut_is_not_used() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join(KEY_FILE);
        for (bytes, mode) in [(16, 0o644), (15, 0o600)] {
            fs::write(&file, vec![7; bytes]).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(kept_key(room.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
