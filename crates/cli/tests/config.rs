//! Configuration files, completion scripts and manual pages as a user gets them from the program. What can be in a
//! configuration file is tested beside the code.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn bypath(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bypath")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
}

#[test]
fn every_command_prints_a_configuration_that_it_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    for command in commands() {
        let words: Vec<&str> = command.split(' ').collect();
        let printed = bypath(&[words.as_slice(), &["--print-config"]].concat());
        assert_eq!(printed.status.code(), Some(0), "{command}: {}", text(&printed.stderr));
        let file = dir.path().join("config.toml");
        std::fs::write(&file, &printed.stdout).unwrap();
        let again =
            bypath(&[words.as_slice(), &["--config", file.to_str().unwrap(), "--print-config"]].concat());
        assert_eq!(text(&again.stdout), text(&printed.stdout), "{command}: {}", text(&again.stderr));
    }
}

/// The commands that have `--print-config`, from the completion script, which names them all.
fn commands() -> Vec<String> {
    let script = text(&bypath(&["completions", "bash"]).stdout);
    let mut commands = Vec::new();
    let mut lines = script.lines().map(str::trim);
    while let Some(line) = lines.next() {
        // Such a line begins a command's part, and the next names its options.
        let Some(name) = line.strip_prefix("bypath__").and_then(|rest| rest.strip_suffix(')')) else {
            continue;
        };
        let options = lines.next().unwrap_or_default();
        if options.contains("--print-config") {
            commands.push(name.replace("subcmd__", "").replace("__", " "));
        }
    }
    assert!(
        commands.iter().any(|name| name == "get") && commands.iter().any(|name| name == "lab up"),
        "{commands:?}"
    );
    commands
}

#[test]
fn a_typo_in_a_file_ends_the_run_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "[get]\nstack = \"kernel\"\nmax-tim = 3\n").unwrap();
    let output = bypath(&["get", "http://127.0.0.1:1/", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("config.toml:3:1: \"max-tim\" is not an option of `bypath get`"), "{error}");
    assert!(error.contains("the nearest is \"max-time\""), "{error}");
}

#[test]
fn a_typo_in_a_file_is_json_for_who_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "stak = \"kernel\"\n").unwrap();
    let output = bypath(&["get", "http://127.0.0.1:1/", "--json", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document.to_string().contains("config.toml:1:1"), "{document}");
}

#[test]
fn a_file_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(
        &file,
        "[get]\nstack = \"kernel\"\nconnect-timeout = 5\nurls = [\"http://127.0.0.1:1/\"]\n",
    )
    .unwrap();
    let output = bypath(&["get", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
}

#[test]
fn bash_accepts_its_completion_script() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("bypath.bash");
    std::fs::write(&script, bypath(&["completions", "bash"]).stdout).unwrap();
    let check = Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(check.status.success(), "{}", text(&check.stderr));

    let ask = "source \"$1\"; COMP_WORDS=(bypath get --max-t); COMP_CWORD=2; \
               _bypath bypath --max-t get; echo \"${COMPREPLY[@]}\"";
    let answer = Command::new("bash").args(["-c", ask, "bash"]).arg(&script).output().unwrap();
    assert_eq!(text(&answer.stdout).trim(), "--max-time", "{}", text(&answer.stderr));
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bypath(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("print-config"), "{shell}");
    }
    assert_eq!(bypath(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn manual_pages_are_written_and_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    let output = bypath(&["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["bypath.1", "bypath-get.1", "bypath-lab-up.1"] {
        assert!(pages.join(name).exists(), "{name}");
    }
    for page in std::fs::read_dir(&pages).unwrap() {
        is_well_formed(&page.unwrap().path());
    }
    let printed = bypath(&["man"]);
    assert!(printed.stdout == std::fs::read(pages.join("bypath.1")).unwrap());
}

/// As the programs that show it see it, where they are installed.
fn is_well_formed(page: &Path) {
    if has("mandoc") {
        let lint = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(page).output().unwrap();
        assert!(lint.status.success(), "{}: {}", page.display(), text(&lint.stdout));
    }
    if has("man") && has("groff") {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(page).env("LC_ALL", "C.UTF-8");
        let show = man.output().unwrap();
        assert!(
            show.status.success() && show.stderr.is_empty(),
            "{}: {}",
            page.display(),
            text(&show.stderr)
        );
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let output = bypath(&["man", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write manual pages into /proc/nowhere"));
}
