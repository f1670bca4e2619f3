//! Running the programs that the lab is built with, and saying clearly which one is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Result;
use crate::error::{Doing, LabError};

/// Where programs are looked for beside `$PATH`: an ordinary user's path on Debian lacks the first two.
const SYSTEM_DIRS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];

/// The file of a program, as a shell would find it.
///
/// # Errors
/// [`LabError::MissingTool`] with the Debian package to install.
pub fn find(tool: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(tool))
        .find(|file| is_executable(file))
        .ok_or_else(|| LabError::MissingTool { tool: tool.to_owned(), package: package_of(tool) })
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn package_of(tool: &str) -> &'static str {
    match tool {
        "ip" => "iproute2",
        "ethtool" => "ethtool",
        "nginx" => "nginx-light",
        "vsftpd" => "vsftpd",
        "dnsmasq" => "dnsmasq-base",
        "curl" => "curl",
        "tcpdump" => "tcpdump",
        "openssl" => "openssl",
        "tshark" => "tshark",
        "iperf3" => "iperf3",
        "sockperf" => "sockperf",
        "wrk" => "wrk",
        _ => "coreutils",
    }
}

/// A command for a program, found by [`find`].
///
/// # Errors
/// [`LabError::MissingTool`].
pub fn command(tool: &str) -> Result<Command> {
    Ok(Command::new(find(tool)?))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// [`LabError::MissingTool`], or [`LabError::Command`] with what it said when it did not succeed.
pub fn run(tool: &str, args: &[&str]) -> Result<String> {
    let mut command = command(tool)?;
    command.args(args);
    output(&mut command)
}

/// Runs a prepared command to its end and returns what it printed.
///
/// # Errors
/// [`LabError::Command`] with what it said when it did not succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().doing(|| show(command))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(LabError::Command {
        command: show(command),
        status: status.to_string(),
        stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
    })
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Checks that this process may make namespaces, and that the programs to do so are there.
///
/// # Errors
/// [`LabError::NotRoot`] with the one command to run, [`LabError::MissingTool`].
pub fn check_prerequisites() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        return Err(LabError::NotRoot { command });
    }
    find("ip")?;
    find("ethtool")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_package_of_a_missing_program() {
        let error = find("no-such-program-here").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("apt-get install"), "{error}");
    }

    #[test]
    fn says_what_a_failed_command_said() {
        let error = run("sh", &["-c", "echo broken >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().contains("broken") && error.to_string().contains('3'), "{error}");
    }
}
