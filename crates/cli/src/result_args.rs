//! The options by which commands that measure give their results, and the giving itself: JSON, text, exit code.
//!
//! Reports are written under a temporary name and renamed, so an interrupted or refused one leaves nothing under the
//! final name. With `--json` stdout has exactly one document, and everything else goes to stderr.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bypath_measure::export::{Output, json, print, print_json};
use bypath_measure::report::page;
use bypath_measure::result::{ErrorCode, RunResult, RunState};
use clap::Args;

/// What becomes of a result.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Results")]
pub(crate) struct ResultArgs {
    /// Print the result as JSON, or write it to FILE.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    /// Write the result as a page that needs no network, "-" to stdout.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Show the run as it goes on the whole terminal, instead of lines.
    #[arg(long, conflicts_with = "silent")]
    pub(crate) tui: bool,

    /// Seconds between two interval lines.
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// End with exit code 3 when the verdict is against the result.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print nothing but errors.
    #[arg(short = 's', long)]
    pub(crate) silent: bool,
}

/// A time in seconds, with a fraction if need be.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("\"{text}\" is not a number of seconds"))?;
    if !seconds.is_finite() || !(0.0..=31_536_000.0).contains(&seconds) {
        return Err(format!("\"{text}\" is not a number of seconds from 0 to a year"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_seconds(text)?;
    if interval < Duration::from_millis(10) {
        return Err(String::from("an interval is 0.01 seconds or more"));
    }
    Ok(interval)
}

impl ResultArgs {
    /// Whether text for people goes to stdout.
    pub(crate) fn shows_text(&self) -> bool {
        !self.silent && !self.json_on_stdout() && self.html.as_deref() != Some(Path::new("-"))
    }

    /// Whether intervals are to keep their histograms, which heat maps are made of.
    pub(crate) fn keeps_histograms(&self) -> bool {
        self.json.is_some() || self.html.is_some()
    }

    /// What of the options cannot be had: known before the run, so that no measurement is lost.
    pub(crate) fn check(&self) -> Result<(), (ErrorCode, String)> {
        if self.tui && !std::io::stderr().is_terminal() {
            return Err((ErrorCode::Usage, "--tui draws on a terminal, and stderr is none".to_owned()));
        }
        if let Some(path) = &self.html {
            if path == Path::new("-") && self.json_on_stdout() {
                return Err((ErrorCode::Usage, "--json and --html both want stdout".to_owned()));
            }
            Output::create(path).map_err(|error| (ErrorCode::Output, error.to_string()))?;
        }
        if let Some(path) = &self.json {
            Output::create(path).map_err(|error| (ErrorCode::Output, error.to_string()))?;
        }
        Ok(())
    }

    fn json_on_stdout(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// Prints a line for people, where they want any.
    pub(crate) fn line(&self, text: &str) {
        if self.shows_text() {
            // With stdout closed there is nobody left to tell.
            let mut stdout = std::io::stdout().lock();
            let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        }
    }

    /// Gives the result in every form that was asked for; `summary` is the text at the end. What cannot be written makes
    /// the run a failure, and is told. Returns the exit code.
    pub(crate) fn give(&self, mut result: RunResult, summary: &dyn Fn(&RunResult) -> String) -> ExitCode {
        if let Some(path) = self.html.as_deref().filter(|_| result.state != RunState::Failed)
            && let Err(error) =
                Output::create(path).and_then(|output| output.complete(page(&result).as_bytes()))
        {
            result.fail(ErrorCode::Output, error.to_string());
        }
        if let Some(path) = self.json.as_deref().filter(|_| !self.json_on_stdout())
            && let Err(error) =
                Output::create(path).and_then(|output| output.complete(json(&result).as_bytes()))
        {
            result.fail(ErrorCode::Output, error.to_string());
        }
        let printed = if self.json_on_stdout() {
            print_json(&result)
        } else if self.shows_text() && result.state != RunState::Failed {
            print(&format!("{}\n", summary(&result).trim_end()))
        } else {
            Ok(())
        };
        if let Err(error) = printed {
            result.fail(ErrorCode::Output, error.to_string());
        }
        if let Some(error) = &result.error {
            let _ = writeln!(std::io::stderr(), "bypath {}: {}", result.command, error.message);
        }
        ExitCode::from(result.exit_code(self.strict))
    }
}
