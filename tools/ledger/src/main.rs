//! `bypath-ledger [--check | --names]`: writes `docs/compliance.md`, and fails when something is wrong with the
//! ledger. With `--check` nothing is written; `--names` prints the tests and scripts that rows may name.

use std::path::Path;
use std::process::ExitCode;

use bypath_ledger::scan::Evidence;
use bypath_ledger::{Problem, examine, write_page};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).unwrap_or(here);
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => write_page(root).and_then(|()| examine(root, false)),
        ["--check"] => examine(root, true),
        ["--names"] => names(root),
        _ => {
            eprintln!("usage: bypath-ledger [--check | --names]");
            return ExitCode::from(2);
        }
    };
    let problems = done.unwrap_or_else(|problem| vec![problem]);
    for problem in &problems {
        eprintln!("ledger: {problem}");
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn names(root: &Path) -> Result<Vec<Problem>, Problem> {
    for name in Evidence::of(root)?.names() {
        println!("{name}");
    }
    Ok(Vec::new())
}
