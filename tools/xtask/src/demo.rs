//! `cargo xtask demo`, `versus` and `lab`: building the release and handing over to it.

use std::path::PathBuf;
use std::process::Command;

use crate::setup;
use crate::shell::{self, Failure, Result, as_root, cargo, target_dir};

/// Builds what the demo shows, and runs it as root.
pub(crate) fn run() -> Result<()> {
    setup::ensure()?;
    println!("demo: building the release");
    let packages = ["build", "--release", "--locked", "-p", "bypath-cli", "-p", "bypath-demo"];
    shell::run(&mut cargo(&packages))?;
    shell::run(&mut cargo(&["build", "--release", "--locked", "-p", "bypath-xdp", "--example", "ceiling"]))?;

    let release = target_dir().join("release");
    let mut demo = as_root(&release.join("bypath-demo"))?;
    demo.arg("--bypath").arg(release.join("bypath"));
    demo.arg("--ceiling").arg(release.join("examples/ceiling"));
    demo.arg("--files").arg(target_dir().join("demo"));
    hand_over(&mut demo)
}

/// Builds the release, and compares it with the kernel's stack as root.
pub(crate) fn versus(args: &[String]) -> Result<()> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return shell::run(
            cargo(&["run", "--quiet", "--release", "--locked", "-p", "bypath-versus", "--"]).args(args),
        );
    }
    setup::ensure()?;
    println!("versus: building the release");
    shell::run(&mut cargo(&["build", "--release", "--locked", "-p", "bypath-cli", "-p", "bypath-versus"]))?;
    let release = target_dir().join("release");
    let mut versus = as_root(&release.join("bypath-versus"))?;
    hand_over(versus.arg("--bypath").arg(release.join("bypath")).args(args))
}

/// Runs the built `bypath lab`, building it when it is not there.
pub(crate) fn lab(args: &[String]) -> Result<()> {
    let built = |profile: &str| Some(target_dir().join(profile).join("bypath")).filter(|file| file.exists());
    let bypath: PathBuf = match built("release").or_else(|| built("debug")) {
        Some(file) => file,
        None => {
            setup::ensure()?;
            shell::run(&mut cargo(&["build", "--locked", "-p", "bypath-cli"]))?;
            target_dir().join("debug/bypath")
        }
    };
    hand_over(as_root(&bypath)?.arg("lab").args(args))
}

/// Becomes the program: its exit code is ours, and Ctrl-C is between the terminal and it.
fn hand_over(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(Failure(format!("{}: {error}", command.get_program().to_string_lossy())))
}
