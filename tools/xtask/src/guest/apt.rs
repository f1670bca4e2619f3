//! apt on directories of our own: it downloads from the archive that this machine uses, and installs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Failure, Result, output};

/// apt with its lists and downloads under one directory.
pub(crate) struct Apt {
    dir: PathBuf,
    config: PathBuf,
}

/// Where packages come from.
#[derive(Debug, PartialEq, Eq)]
struct Archive {
    uri: String,
    signed_by: Option<String>,
}

impl Apt {
    /// Reads the lists of these suites into `dir`.
    pub(crate) fn update(dir: &Path, codename: &str, suites: &[&str]) -> Result<Apt> {
        let archive = this_machines(codename)?;
        let failed = |error: std::io::Error| Failure(format!("{}: {error}", dir.display()));
        for part in ["lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(dir.join(part)).map_err(failed)?;
        }
        let mut suites = suites.to_vec();
        suites.dedup();
        let mut sources =
            format!("Types: deb\nURIs: {}\nSuites: {}\nComponents: main\n", archive.uri, suites.join(" "));
        if let Some(key) = archive.signed_by {
            sources += &format!("Signed-By: {key}\n");
        }
        let config = dir.join("apt.conf");
        fs::write(dir.join("guest.sources"), sources).map_err(failed)?;
        fs::write(&config, CONFIG.replace("DIR", &dir.to_string_lossy())).map_err(failed)?;
        let apt = Apt { dir: dir.to_owned(), config };
        shell::run(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config).current_dir(self.dir.join("debs"));
        command
    }

    /// The newest version of a package in a suite.
    pub(crate) fn newest(&self, package: &str, suite: &str) -> Option<String> {
        let table = output(self.command("apt-cache").args(["madison", package]))?;
        let lines = table.lines().filter(|line| line.contains(&format!(" {suite}/")));
        lines.filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).next()
    }

    /// A package's description. `None`: there is no such package.
    pub(crate) fn show(&self, package: &str) -> Option<String> {
        output(self.command("apt-cache").args(["show", package])).filter(|text| !text.is_empty())
    }

    /// Unpacks packages into `to`, and with them those that they need and this machine has not installed.
    pub(crate) fn unpack_with_needs(&self, suite: &str, packages: &[&str], to: &Path) -> Result<()> {
        let how = ["-qq", "-y", "--no-install-recommends", "--download-only", "-t", suite, "install"];
        shell::run(self.command("apt-get").args(how).args(packages))?;
        unpack(&self.dir.join("cache/archives"), to)
    }

    /// Unpacks just these packages, whether or not this machine has them.
    pub(crate) fn unpack(&self, packages: &[&str], to: &Path) -> Result<()> {
        shell::run(self.command("apt-get").args(["-qq", "download"]).args(packages))?;
        unpack(&self.dir.join("debs"), to)
    }
}

/// Unpacks all packages of a directory and removes them.
fn unpack(from: &Path, to: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Failure(format!("{}: {error}", from.display()));
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            shell::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(to))?;
            fs::remove_file(&file).map_err(failed)?;
        }
    }
    Ok(())
}

/// Hooks that follow an update are cleared: they work on the system's own directories.
const CONFIG: &str = r#"#clear APT::Update;
Dir::Etc::sourcelist "DIR/guest.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "DIR/lists";
Dir::Cache "DIR/cache";
Dir::Cache::archives "DIR/cache/archives";
Debug::NoLocking "1";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"#;

/// The archive from which this machine has its release.
fn this_machines(codename: &str) -> Result<Archive> {
    let read = |file: PathBuf| fs::read_to_string(file).unwrap_or_default();
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    files.sort();
    let stanzas = files.iter().filter(|file| file.extension().is_some_and(|name| name == "sources"));
    let lines = files.iter().filter(|file| file.extension().is_some_and(|name| name == "list"));
    let lines = lines.cloned().chain([PathBuf::from("/etc/apt/sources.list")]);
    let found = stanzas.cloned().find_map(|file| in_stanzas(&read(file), codename));
    let found = found.or_else(|| lines.into_iter().find_map(|file| in_lines(&read(file), codename)));
    found.ok_or_else(|| Failure(format!("the sources of apt name no archive of \"{codename}\"")))
}

/// Searches the format of sources.list(5) in which an archive is a paragraph.
fn in_stanzas(text: &str, codename: &str) -> Option<Archive> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let lines = stanza.lines().filter_map(|line| line.split_once(':'));
            lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
        };
        let uri = field("URIs")?.split_whitespace().next()?.to_owned();
        let suited = field("Suites")?.split_whitespace().any(|suite| suite == codename);
        suited.then(|| Archive { uri, signed_by: field("Signed-By").map(str::to_owned) })
    })
}

/// Searches the format in which an archive is a line.
fn in_lines(text: &str, codename: &str) -> Option<Archive> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?.to_owned(), words.next()?);
        let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        (suite == codename).then(|| Archive { uri, signed_by: signed_by.map(str::to_owned) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_that_of_the_release_not_of_its_security_updates() {
        let text = "Types: deb\nURIs: http://security.test/debian\nSuites: bookworm-security\n\n\
                    Types: deb\n# a remark\nURIs: http://deb.test/debian\nSuites: bookworm bookworm-updates\n\
                    Signed-By: /usr/share/keyrings/a.gpg\n";
        let archive = in_stanzas(text, "bookworm").expect("there");
        assert_eq!(archive.uri, "http://deb.test/debian");
        assert_eq!(archive.signed_by.as_deref(), Some("/usr/share/keyrings/a.gpg"));
        assert_eq!(in_stanzas(text, "trixie"), None);
    }

    #[test]
    fn archives_in_lines_are_found_with_and_without_options() {
        let text = "# deb http://old.test trixie main\ndeb-src http://deb.test trixie main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://deb.test trixie main\n";
        let archive = in_lines(text, "trixie").expect("there");
        assert_eq!(archive, Archive { uri: "http://deb.test".into(), signed_by: Some("/k.gpg".into()) });
        let plain = in_lines("deb http://deb.test bookworm main", "bookworm").expect("there");
        assert_eq!(plain.signed_by, None);
    }
}
