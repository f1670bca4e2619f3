//! What tests there are: the workspace's sources are read from their roots along their `mod` lines, as the compiler
//! does it, and every `#[test]` is noted under the name that nextest prints. Scripts are files.
//!
//! The sources are in rustfmt's layout, which a lint of its own checks: an inline module ends with a `}` that stands
//! where its `mod` line began. So no parser is needed. A test that is ignored shows nothing, and is not noted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Problem;

/// Tests and scripts by name, each with its file, relative to the root of the repository.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    files: BTreeMap<String, PathBuf>,
}

impl Evidence {
    /// Reads the sources below `root`.
    ///
    /// # Errors
    /// When a directory or a source cannot be read.
    pub fn of(root: &Path) -> Result<Self, Problem> {
        let mut found = Self::default();
        let mut packages = vec![root.join("benches")];
        for group in ["crates", "tools"] {
            packages.extend(entries(&root.join(group)));
        }
        for package in packages {
            if let Some(name) = package_name(&package.join("Cargo.toml")) {
                found.package(root, &package, &name)?;
            }
            found.scripts(root, &package.join("scripts"));
        }
        Ok(found)
    }

    /// The file in which a test or script of this name is.
    pub fn file(&self, name: &str) -> Option<&Path> {
        self.files.get(name).map(PathBuf::as_path)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The targets of a package that cargo finds by itself.
    fn package(&mut self, root: &Path, package: &Path, name: &str) -> Result<(), Problem> {
        let mut targets = vec![
            (name.to_owned(), package.join("src/lib.rs")),
            (format!("{name}::bin/{name}"), package.join("src/main.rs")),
        ];
        for entry in entries(&package.join("tests")) {
            let stem = entry.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let file = if entry.is_dir() { entry.join("main.rs") } else { entry.clone() };
            if file.extension().is_some_and(|extension| extension == "rs") {
                targets.push((format!("{name}::{stem}"), file));
            }
        }
        for (binary, file) in targets {
            if file.is_file() {
                let dir = file.parent().unwrap_or(package).to_owned();
                self.module(root, &binary, &[], &file, &dir)?;
            }
        }
        Ok(())
    }

    /// A file that is a module, and those that it names. `dir` is where its modules are looked for.
    fn module(
        &mut self,
        root: &Path,
        binary: &str,
        path: &[String],
        file: &Path,
        dir: &Path,
    ) -> Result<(), Problem> {
        let text =
            std::fs::read_to_string(file).map_err(|error| Problem(format!("{}: {error}", file.display())))?;
        // Inline modules that are open, with their indentation.
        let mut open: Vec<(usize, String)> = Vec::new();
        let (mut test, mut ignored) = (false, false);
        for line in text.lines() {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            if code.starts_with("//") {
                continue;
            }
            if code.starts_with('}') && open.last().is_some_and(|(at, _)| *at == indent) {
                open.pop();
            }
            test |= code.starts_with("#[test]");
            ignored |= code.starts_with("#[ignore");
            if let Some(name) = declared(code, "mod") {
                if code.trim_end().ends_with(';') {
                    let mut below = dir.to_owned();
                    below.extend(open.iter().map(|(_, name)| name));
                    let candidates = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
                    if let Some(child) = candidates.into_iter().find(|file| file.is_file()) {
                        let mut path = extended(path, &open);
                        path.push(name.to_owned());
                        self.module(root, binary, &path, &child, &below.join(name))?;
                    }
                } else if code.trim_end().ends_with('{') {
                    open.push((indent, name.to_owned()));
                }
            }
            if let Some(name) = declared(code, "fn") {
                if test && !ignored {
                    let mut path = extended(path, &open);
                    path.push(name.to_owned());
                    let file = file.strip_prefix(root).unwrap_or(file).to_owned();
                    self.files.insert(format!("{binary} {}", path.join("::")), file);
                }
                (test, ignored) = (false, false);
            }
        }
        Ok(())
    }

    /// `scripts/THEME/NAME.pkt` is `pkt/THEME/NAME`.
    fn scripts(&mut self, root: &Path, dir: &Path) {
        for theme in entries(dir) {
            for script in entries(&theme) {
                let (Some(theme), Some(stem)) = (theme.file_name(), script.file_stem()) else { continue };
                if script.extension().is_some_and(|extension| extension == "pkt") {
                    let name = format!("pkt/{}/{}", theme.to_string_lossy(), stem.to_string_lossy());
                    let file = script.strip_prefix(root).unwrap_or(&script).to_owned();
                    self.files.insert(name, file);
                }
            }
        }
    }
}

fn extended(path: &[String], open: &[(usize, String)]) -> Vec<String> {
    path.iter().cloned().chain(open.iter().map(|(_, name)| name.clone())).collect()
}

/// The name that a line declares: `pub(crate) fn NAME…`, `mod NAME;`.
fn declared<'a>(code: &'a str, keyword: &str) -> Option<&'a str> {
    let mut words = code.split_whitespace();
    let mut word = words.next()?;
    while word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "in") {
        word = words.next()?;
    }
    if word != keyword {
        return None;
    }
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    (end > 0).then(|| &name[..end])
}

/// What a directory holds, in order; nothing if there is no such directory.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(read) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut all: Vec<_> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    all.sort();
    all
}

/// The name in a package's manifest.
fn package_name(manifest: &Path) -> Option<String> {
    let text = std::fs::read_to_string(manifest).ok()?;
    let table: toml::Table = text.parse().ok()?;
    Some(table.get("package")?.get("name")?.as_str()?.to_owned())
}
