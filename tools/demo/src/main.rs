//! The demo: `bypath get` fetches files from dnsmasq, vsftpd and nginx over AF_XDP, in a lab of two
//! namespaces, beside curl over the kernel. Started by `cargo xtask demo`, which builds everything.

mod error;
mod files;
mod get;
mod programs;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::error::DemoError;

/// What the demo runs and where its files are.
struct Paths {
    /// The built `bypath`.
    bypath: PathBuf,
    /// The built `ceiling` example of bypath-xdp.
    ceiling: Option<PathBuf>,
    /// Where the large file is made, once.
    files: PathBuf,
}

fn paths() -> Option<Paths> {
    let (mut bypath, mut ceiling, mut files) = (None, None, None);
    let mut args = std::env::args_os().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().map(PathBuf::from);
        match option.to_str()? {
            "--bypath" => bypath = value,
            "--ceiling" => ceiling = value,
            "--files" => files = value,
            _ => return None,
        }
    }
    Some(Paths { bypath: bypath?, ceiling, files: files? })
}

fn main() -> ExitCode {
    let Some(paths) = paths() else {
        eprintln!("usage: bypath-demo --bypath FILE --files DIR [--ceiling FILE]; or: cargo xtask demo");
        return ExitCode::from(2);
    };
    match story::tell(&paths) {
        Ok(()) => {
            println!("demo: ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("demo: failed: {error}");
            ExitCode::from(if matches!(error, DemoError::Interrupted) { 130 } else { 1 })
        }
    }
}
