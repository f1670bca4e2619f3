//! `bypath report`: results that `--json` wrote, one as a page or several side by side.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bypath_measure::export::Output;
use bypath_measure::report::{self, Comparison, Named};
use bypath_measure::result::{ErrorCode, RunResult};
use clap::Args;

/// More runs than this cannot be told apart.
const MOST: usize = 8;

/// The options of `bypath report`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArgs {
    /// Results, as `--json` of the measuring commands writes them; "-" is stdin. What the others are compared with comes
    /// first.
    #[arg(required = true, value_name = "RESULT")]
    results: Vec<PathBuf>,

    /// Write a page: of the result, or of the results side by side.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

/// What went wrong, and what kind of error it is.
struct Failure {
    code: ErrorCode,
    message: String,
}

impl Failure {
    fn new(code: ErrorCode, message: String) -> Failure {
        Failure { code, message }
    }
}

/// Runs the command.
pub(crate) fn run(args: &ReportArgs) -> ExitCode {
    match compare(args) {
        Ok(text) => crate::print(&text),
        Err(failure) => {
            let failed =
                RunResult::failed("report", env!("CARGO_PKG_VERSION"), failure.code, &failure.message);
            if args.json {
                crate::print(&format!("{}\n", serde_json::to_string_pretty(&failed).unwrap_or_default()));
            } else {
                crate::complain!("bypath: {}", failure.message);
            }
            ExitCode::from(failed.exit_code(false))
        }
    }
}

/// Writes the page, and returns what is to be printed.
fn compare(args: &ReportArgs) -> Result<String, Failure> {
    if args.results.len() > MOST {
        let given = args.results.len();
        return Err(Failure::new(ErrorCode::Usage, format!("{MOST} results can be compared, not {given}")));
    }
    let runs: Vec<Named> = names(&args.results)
        .into_iter()
        .zip(&args.results)
        .map(|(name, path)| Ok(Named { name, result: read(path)? }))
        .collect::<Result<_, Failure>>()?;
    if let Some(path) = &args.html {
        let page = match runs.as_slice() {
            [one] => report::page(&one.result),
            several => report::comparison_page(several),
        };
        let written = Output::create(path).and_then(|output| output.complete(page.as_bytes()));
        written.map_err(|error| {
            let message = format!("cannot write the page {}: {}", path.display(), error.io());
            Failure::new(ErrorCode::Output, message)
        })?;
        if path.as_os_str() == "-" {
            return Ok(String::new());
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&Comparison::of(&runs)).unwrap_or_default();
        return Ok(format!("{text}\n"));
    }
    Ok(report::comparison_text(&runs))
}

fn read(path: &Path) -> Result<RunResult, Failure> {
    let mut text = String::new();
    let got = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    got.map_err(|error| {
        Failure::new(ErrorCode::Output, format!("cannot read the result {}: {error}", path.display()))
    })?;
    report::read(&text).map_err(|error| {
        Failure::new(ErrorCode::Usage, format!("cannot use the result {}: {error}", path.display()))
    })
}

/// What to call each run: the name of its file without directory and ending, where that tells them apart.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let short: Vec<String> = paths
        .iter()
        .map(|path| path.file_stem().unwrap_or(OsStr::new("-")).to_string_lossy().into_owned())
        .collect();
    let is_unique = |name: &String| short.iter().filter(|other| *other == name).count() == 1;
    short
        .iter()
        .zip(paths)
        .map(|(name, path)| if is_unique(name) { name.clone() } else { path.display().to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_called_after_their_files() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(names(&paths(&["a/before.json", "b/after.json"])), ["before", "after"]);
        assert_eq!(names(&paths(&["a/run.json", "b/run.json", "c.json"])), ["a/run.json", "b/run.json", "c"]);
        assert_eq!(names(&paths(&["-"])), ["-"]);
    }
}
