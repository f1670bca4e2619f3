//! `cargo xtask setup`: the Debian packages that are missing, without starting what they bring along.

use std::path::Path;
use std::process::Command;

use crate::guest;
use crate::shell::{self, Failure, Result, as_root, has, output};

/// What building needs, then what the lab needs, then the peers and tools of the tests.
const PACKAGES: [&str; 34] = [
    "clang",
    "llvm",
    "libelf-dev",
    "zlib1g-dev",
    "pkg-config",
    "m4",
    "gcc",
    "make",
    "libc6-dev",
    "linux-libc-dev",
    "libbpf-dev",
    "libpcap-dev",
    "iproute2",
    "ethtool",
    "nginx-light",
    "vsftpd",
    "dnsmasq-base",
    "curl",
    "wget",
    "lftp",
    "aria2",
    "wrk",
    "iperf3",
    "sockperf",
    "python3",
    "tcpdump",
    "tshark",
    "ca-certificates",
    "openssl",
    "xz-utils",
    "mandoc",
    // Reads our histograms, beside us.
    "default-jre-headless",
    "libhdrhistogram-java",
    // Opens reports, without a window: a third of what `chromium` brings along.
    "chromium-headless-shell",
];

/// The packages that come with a service.
const SERVICES: [&str; 2] = ["nginx", "vsftpd"];

/// The programs among them, for machines that are not Debian.
const PROGRAMS: [&str; 20] = [
    "clang",
    "pkg-config",
    "m4",
    "gcc",
    "make",
    "ip",
    "ethtool",
    "nginx",
    "vsftpd",
    "dnsmasq",
    "curl",
    "wget",
    "lftp",
    "aria2c",
    "wrk",
    "iperf3",
    "sockperf",
    "python3",
    "tcpdump",
    "tshark",
];

/// Installs what is missing, and is silent when nothing is.
pub(crate) fn ensure() -> Result<()> {
    if !has("apt-get") || !has("dpkg-query") {
        let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !has(program)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (missing, all) = (missing.join(" "), PACKAGES.join(" "));
        return Err(Failure(format!("missing: {missing}. On Debian these packages bring all: {all}")));
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing {}", missing.join(" "));
    let mut script = as_root(Path::new("/bin/sh"))?;
    script.args(["-c", INSTALL, "setup"]).args(&missing);
    shell::run(&mut script)?;
    let fresh: Vec<&str> = SERVICES
        .into_iter()
        .filter(|service| missing.iter().any(|package| package.contains(service)))
        .collect();
    if !fresh.is_empty() && has("systemctl") {
        let mut systemctl = as_root(Path::new("systemctl"))?;
        // Where systemd does not run this cannot work, and need not.
        let _ = output(systemctl.args(["disable", "--now"]).args(fresh));
    }
    Ok(())
}

/// `cargo xtask setup` itself: what emulated machines are made of as well, which tests do without where it is not to be
/// had. Says so when there was nothing to do.
pub(crate) fn run() -> Result<()> {
    ensure()?;
    match guest::parts() {
        Ok(_) => println!("setup: everything is installed"),
        Err(Failure(why)) => println!("setup: all but the zero-copy tests can run: {why}"),
    }
    Ok(())
}

/// While policy-rc.d says 101 no package starts its service (see invoke-rc.d(8)); RUNLEVEL tells the
/// older scripts the same. A policy that is there already is left alone, and ours goes in any case.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
apt-get install -qq -y --no-install-recommends "$@" || {
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@"
}
"#;

fn missing() -> Vec<&'static str> {
    PACKAGES.into_iter().filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    let status = output(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]));
    status.is_some_and(|status| status == "installed")
}
