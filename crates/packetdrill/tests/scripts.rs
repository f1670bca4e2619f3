//! Every script under `scripts/` is a test, in both families of addresses: `pkt::THEME::NAME` over IPv4 and
//! `pkt6::THEME::NAME` over IPv6. A script that says `--ip_version` runs in that one only.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bypath_packetdrill::{Options, parse, run};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut trials = Vec::new();
    for path in scripts_in(&root) {
        let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("");
        let name = name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "::");
        let version = std::fs::read_to_string(&path).ok().and_then(|text| pinned(&text));
        for ipv6 in [false, true] {
            if version.is_none_or(|wanted| wanted == ipv6) {
                let path = path.clone();
                let family = if ipv6 { "pkt6" } else { "pkt" };
                trials.push(Trial::test(format!("{family}::{name}"), move || play(&path, ipv6)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Every file `*.pkt` below `folder`, sorted.
fn scripts_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(scripts_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The family that a script names; `true`: IPv6.
fn pinned(text: &str) -> Option<bool> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("--ip_version="))?;
    Some(value.trim() == "ipv6")
}

fn play(path: &Path, ipv6: bool) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path)?;
    if !text.starts_with("//") {
        return Err("a script begins with a comment that says what it shows".into());
    }
    let script = parse(&path.to_string_lossy(), &text)?;
    let outcome = run(&script, &Options { ipv6, strict: true })?;
    if std::env::var_os("BYPATH_PKT_TRACE").is_some() {
        for line in &outcome.trace {
            println!("{line}");
        }
    }
    Ok(())
}
