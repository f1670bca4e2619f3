//! `cargo xtask`: what a developer of bypath does often. No dependency and no clang is needed to build
//! it, because installing those is one of the things it does.

mod demo;
mod fuzz;
mod guest;
mod ledger;
mod setup;
mod shell;
mod test;
mod zero_copy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup          install the Debian packages that building and testing need
  test           format, lints, documentation, then every test; namespace tests need root
                 --zero-copy: in emulated machines, on NICs whose drivers do zero-copy; --help tells more
  demo           build the release and fetch files from real servers in a lab
  versus         build the release and compare it with the kernel's stack by iperf3, sockperf, wrk and curl; --json FILE
  ledger         make docs/compliance.md of its tables and check both; --check writes nothing
  fuzz           the fuzz targets, some minutes each; --help tells more
  lab ARGS…      the built `bypath lab`: up, down, exec, status
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match command.as_str() {
        "setup" => setup::run(),
        "test" => test::run(&rest),
        "demo" => demo::run(),
        "versus" => demo::versus(&rest),
        "ledger" => ledger::run(&rest),
        "lab" => demo::lab(&rest),
        "fuzz" => fuzz::run(&rest),
        fuzz::DEAF => fuzz::run_deaf(&rest),
        "-h" | "--help" | "help" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(shell::Failure(message)) => {
            eprintln!("xtask {command}: {message}");
            ExitCode::FAILURE
        }
    }
}
