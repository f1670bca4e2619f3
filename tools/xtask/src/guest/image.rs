//! The guest's file system: a cpio archive in the "newc" format, which the kernel unpacks into memory
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::shell::{Failure, Result, output};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const TRAILER: &str = "TRAILER!!!";

/// An archive that grows.
pub(crate) struct Image {
    bytes: Vec<u8>,
    present: BTreeSet<String>,
}

impl Image {
    /// With the directories that every system has.
    pub(crate) fn new() -> Self {
        let mut image = Image { bytes: Vec::new(), present: BTreeSet::new() };
        for directory in ["proc", "sys", "dev", "tmp", "run", "root", "bin"] {
            image.directory(directory);
        }
        image
    }

    fn directory(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.directory(above);
        }
        if !path.is_empty() && self.present.insert(path.to_owned()) {
            self.entry(path, DIRECTORY, &[]);
        }
    }

    /// Adds a program made of these bytes.
    pub(crate) fn script(&mut self, path: &str, text: &str) {
        self.put(path, PROGRAM, text.as_bytes());
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, path: &str, text: &str) {
        self.put(path, FILE, text.as_bytes());
    }

    /// Adds a file of this machine.
    pub(crate) fn file(&mut self, path: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).map_err(|error| Failure(format!("{}: {error}", from.display())))?;
        self.put(path, PROGRAM, &bytes);
        Ok(())
    }

    /// Adds a program of this machine with the libraries it needs, which lie where they lie here.
    pub(crate) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        self.file(path, from)?;
        // Nothing is printed for a program that needs none.
        let needs = output(std::process::Command::new("ldd").arg(from)).unwrap_or_default();
        for library in needs.lines().filter_map(library_in) {
            self.file(library.trim_start_matches('/'), Path::new(library))?;
        }
        Ok(())
    }

    fn put(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.directory(above);
        }
        if self.present.insert(path.to_owned()) {
            self.entry(path, mode, bytes);
        }
    }

    /// A header of thirteen numbers in hexadecimal, the name, the bytes; name and bytes padded to four.
    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        let inode = if path == TRAILER { 0 } else { self.present.len() };
        let (len, name_len) = (bytes.len(), path.len() + 1);
        self.bytes.extend_from_slice(b"070701");
        for number in [inode, mode as usize, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0] {
            self.bytes.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Writes the archive.
    pub(crate) fn write(mut self, to: &Path) -> Result<()> {
        self.entry(TRAILER, 0, &[]);
        fs::write(to, &self.bytes).map_err(|error| Failure(format!("{}: {error}", to.display())))
    }
}

/// The file in a line of ldd(1): `libz.so.1 => /lib/libz.so.1 (0x…)`, or the loader's `/lib64/ld-… (0x…)`.
fn library_in(line: &str) -> Option<&str> {
    let path = line.split_once("=>").map_or(line, |(_, path)| path).trim();
    path.split(' ').next().filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_their_directories_come_before_them() {
        let mut image = Image::new();
        image.text("a/b/c", "hello");
        image.text("a/b/c", "once is enough");
        let text = String::from_utf8(image.bytes.clone()).expect("text");
        assert_eq!(image.bytes.len() % 4, 0);
        let at = |name: &str| text.find(name).expect("there");
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/c\0"));
        assert_eq!(text.matches("a/b/c").count(), 1);
        for (start, _) in text.match_indices("070701") {
            assert_eq!(start % 4, 0);
        }
    }

    #[test]
    fn libraries_are_read_off_what_ldd_says() {
        let lines = [
            "\tlinux-vdso.so.1 (0x00007ffc)",
            "\tlibz.so.1 => /lib/libz.so.1 (0x7f)",
            "\t/lib64/ld-linux-x86-64.so.2 (0x7f)",
            "\tstatically linked",
        ];
        let found: Vec<_> = lines.into_iter().filter_map(library_in).collect();
        assert_eq!(found, ["/lib/libz.so.1", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
