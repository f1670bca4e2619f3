//! `bypath man`: manual pages, made from the description of the commands.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

/// The options of `bypath man`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory, which is made if it is not there. Without it the page of
    /// `bypath` itself goes to stdout.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints or writes the pages.
pub(crate) fn run(args: &ManArgs, mut command: Command) -> ExitCode {
    command.build();
    let result = match &args.dir {
        None => print(&command).map_err(|error| format!("cannot write the page: {error}")),
        Some(dir) => write_all(&command, dir)
            .map_err(|error| format!("cannot write manual pages into {}: {error}", dir.display())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            crate::complain!("bypath: {text}");
            ExitCode::FAILURE
        }
    }
}

fn print(command: &Command) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&page(command, command.get_name())?)?;
    stdout.flush()
}

/// All pages are made before the first is written.
fn write_all(command: &Command, dir: &Path) -> io::Result<()> {
    let mut pages = Vec::new();
    collect(command, "", &mut pages)?;
    fs::create_dir_all(dir)?;
    for (name, page) in pages {
        fs::write(dir.join(name), page)?;
    }
    Ok(())
}

/// The pages of a command and of those below it: `bypath.1`, `bypath-lab.1`, `bypath-lab-up.1` …
fn collect(command: &Command, prefix: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = format!("{prefix}{}", command.get_name());
    let page = page(command, &name)?;
    pages.push((format!("{name}.1"), page));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        collect(inner, &format!("{name}-"), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    Man::new(command.clone())
        .title(name)
        .source(format!("bypath {version}"))
        .manual("bypath manual")
        .render(&mut page)?;
    Ok(page)
}
