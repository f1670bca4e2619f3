//! `cargo xtask versus`: bypath beside the kernel's stack and the raw ceiling, on the same wire, in turn. Peers are iperf3,
//! sockperf, wrk with nginx, and curl, with the kernel's offloads off and on. Every figure is the median of its rounds.

mod contest;
mod contests;
mod options;
mod program;
mod row;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use options::{Options, USAGE};
use row::{Row, table};
use wire::{Place, Wire};

/// Why there is no comparison.
type Error = String;

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == "--help" || arg == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprint!("versus: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(troubles) if troubles.is_empty() => ExitCode::SUCCESS,
        Ok(troubles) => {
            for trouble in troubles {
                eprintln!("versus: {trouble}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints, writes. Returns what could not be measured, whose rows are missing.
fn run(options: &Options) -> Result<Vec<String>, Error> {
    // Before an hour of measuring: a place that cannot be written.
    let report = options.json.as_deref().map(Report::create).transpose()?;
    let place = Place::new(options)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut troubles = Vec::new();
    for mtu in &options.mtus {
        println!("MTU {mtu}: {} rounds of {} s, everybody in turn", options.rounds, options.seconds);
        let wire = Wire::up(&place, *mtu)?;
        for contest in contests::all(options, &place, &wire) {
            let (mut found, mut failed) = contest.run(options, &wire);
            print!("{}", table(&found));
            rows.append(&mut found);
            troubles.append(&mut failed);
        }
    }
    if let Some(report) = report {
        report.complete(&rows)?;
    }
    Ok(troubles)
}

/// The file of `--json`, whole or not at all.
struct Report {
    file: tempfile::NamedTempFile,
    path: std::path::PathBuf,
}

impl Report {
    fn create(path: &std::path::Path) -> Result<Report, Error> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = tempfile::NamedTempFile::new_in(parent.unwrap_or(std::path::Path::new(".")));
        let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Report { file, path: path.to_owned() })
    }

    fn complete(mut self, rows: &[Row]) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(rows).map_err(|error| error.to_string())? + "\n";
        let path = self.path.display();
        self.file.write_all(text.as_bytes()).map_err(|error| format!("cannot write {path}: {error}"))?;
        self.file.persist(&self.path).map_err(|error| format!("cannot write {path}: {error}"))?;
        Ok(())
    }
}
