//! Configuration files, for every command that has options: `--config FILE` reads one, `--print-config` prints one.
//!
//! It works on clap's description of the commands and knows none of them. What the file says is put into the
//! arguments, in front of what the command line says, which wins; then clap reads the whole as it would have without.

mod file;
mod place;
mod print;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use file::{Entry, Setting};
use place::Source;

const CONFIG: &str = "config";
const PRINT: &str = "print-config";

/// What the arguments and the configuration file come to.
pub(crate) enum Outcome {
    /// The command is to be run.
    Run(ArgMatches),
    /// This is to be printed instead.
    Print(String),
}

/// Gives `--config` and `--print-config` to every command below this one that has options.
pub(crate) fn with_options(command: Command) -> Command {
    if command.has_subcommands() {
        return command.mut_subcommands(with_options);
    }
    if !command.get_arguments().any(|arg| arg.get_long().is_some()) {
        return command;
    }
    command
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .overrides_with(CONFIG)
                .help_heading("Configuration")
                .help("Take options from a TOML file: keys are the long names of options. The command line wins"),
        )
        .arg(
            Arg::new(PRINT)
                .long(PRINT)
                .action(ArgAction::SetTrue)
                .overrides_with(PRINT)
                .help_heading("Configuration")
                .help("Print the effective configuration as TOML for --config, and run nothing"),
        )
}

/// Reads the arguments, `args[0]` being the program's name, and the configuration file that they name. `command`
/// is what [`with_options`] returned.
pub(crate) fn read(command: &Command, args: &[OsString]) -> Result<Outcome, clap::Error> {
    let mut command = command.clone();
    // Errors are left for the real reading below, which words them.
    let first = match command.clone().ignore_errors(true).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(_) => return strictly(command, args, None).map(Outcome::Run),
    };
    let (path, given) = deepest(&first);
    if !path.is_empty() && given.ids().any(|id| id == PRINT) && given.get_flag(PRINT) {
        command = change(command, &path, &|leaf| leaf.mut_args(|arg| arg.required(false)));
    }
    let config = match given.try_get_one::<PathBuf>(CONFIG) {
        Ok(Some(file)) => file.clone(),
        _ => return finish(command, args, &path, None),
    };

    let mut built = command.clone();
    built.build();
    let Some(leaf) = leaf(&built, &path) else { return finish(command, args, &path, None) };
    let text = std::fs::read_to_string(&config).map_err(|error| {
        refused(&format!("cannot read the configuration file {}: {error}", config.display()))
    })?;
    let source = Source { name: config.display().to_string(), text: &text };
    let entries = file::read(&source, &built, leaf, &path).map_err(|text| refused(&text))?;
    for entry in &entries {
        check(&command, &path, entry, &source)?;
    }
    let entries: Vec<&Entry<'_>> = entries.iter().filter(|entry| !is_overruled(leaf, given, entry)).collect();
    let args = merged(args, &built, &path, &config, &entries);
    finish(command, &args, &path, Some(&config))
}

/// The last reading, and the printing of what it came to if that was asked for.
fn finish(
    command: Command,
    args: &[OsString],
    path: &[String],
    config: Option<&Path>,
) -> Result<Outcome, clap::Error> {
    let mut built = command.clone();
    let matches = strictly(command, args, config)?;
    built.build();
    let (_, chosen) = deepest(&matches);
    match leaf(&built, path) {
        Some(leaf) if chosen.ids().any(|id| id == PRINT) && chosen.get_flag(PRINT) => {
            print::configuration(leaf, path, chosen).map(Outcome::Print).map_err(|text| refused(&text))
        }
        _ => Ok(Outcome::Run(matches)),
    }
}

fn strictly(
    mut command: Command,
    args: &[OsString],
    config: Option<&Path>,
) -> Result<ArgMatches, clap::Error> {
    command.try_get_matches_from_mut(args).map_err(|mut error| {
        if let Some(config) = config
            && error.use_stderr()
        {
            let note = format!("some options are from the configuration file {}", config.display());
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![note.into()]));
        }
        error
    })
}

fn refused(text: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::InvalidValue, format!("{text}\n"))
}

/// The subcommands that were chosen, and what is known of the innermost.
fn deepest(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut path, mut matches) = (Vec::new(), matches);
    while let Some((name, inner)) = matches.subcommand() {
        path.push(name.to_owned());
        matches = inner;
    }
    (path, matches)
}

fn leaf<'a>(command: &'a Command, path: &[String]) -> Option<&'a Command> {
    path.iter().try_fold(command, |command, name| command.find_subcommand(name))
}

/// The command with one of those below it changed.
fn change(command: Command, path: &[String], how: &dyn Fn(Command) -> Command) -> Command {
    match path.split_first() {
        None => how(command),
        Some((first, rest)) => command.mut_subcommand(first.clone(), |inner| change(inner, rest, how)),
    }
}

/// Whether one value of the file would be taken if it stood on the command line; the error names its line.
fn check(
    command: &Command,
    path: &[String],
    entry: &Entry<'_>,
    source: &Source<'_>,
) -> Result<(), clap::Error> {
    let relaxed = change(command.clone(), path, &|leaf| leaf.mut_args(|arg| arg.required(false)));
    let mut args = vec![OsString::from("bypath")];
    args.extend(path.iter().map(OsString::from));
    if entry.arg.is_positional() {
        args.push(OsString::from("--"));
    }
    args.extend(tokens(entry));
    let Err(error) = relaxed.clone().try_get_matches_from(args) else { return Ok(()) };
    let about_the_value = matches!(
        error.kind(),
        ErrorKind::InvalidValue
            | ErrorKind::ValueValidation
            | ErrorKind::TooManyValues
            | ErrorKind::TooFewValues
            | ErrorKind::WrongNumberOfValues
            | ErrorKind::NoEquals
            | ErrorKind::InvalidUtf8
    );
    if !about_the_value {
        return Ok(());
    }
    let reason = error.render().to_string();
    let reason = reason.lines().next().unwrap_or_default();
    let mut reason = reason.strip_prefix("error: ").unwrap_or(reason).to_owned();
    if let Some(possible) = possible_values(entry.arg) {
        reason.push_str(&format!("; it is one of {possible}"));
    }
    Err(refused(&source.complain(&entry.value_span, &reason)))
}

fn possible_values(arg: &Arg) -> Option<String> {
    let values = arg.get_possible_values();
    let names: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Whether the command line says the same thing itself, or what cannot stand beside it.
fn is_overruled(leaf: &Command, given: &ArgMatches, entry: &Entry<'_>) -> bool {
    let on_command_line =
        |arg: &Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    on_command_line(entry.arg) || leaf.get_arg_conflicts_with(entry.arg).into_iter().any(on_command_line)
}

/// The command line with the file's entries in it: options behind the names of the subcommands, positional arguments
/// at the end.
///
/// `--config=FILE` stands behind the options, where it changes nothing: it keeps an option whose value may be left out
/// from taking what follows for that value.
fn merged(
    args: &[OsString],
    command: &Command,
    path: &[String],
    config: &Path,
    entries: &[&Entry<'_>],
) -> Vec<OsString> {
    let mut fence = OsString::from(format!("--{CONFIG}="));
    fence.push(config);
    let begin = after_names(args, command, path);
    let mut all = args[..begin].to_vec();
    all.extend(entries.iter().filter(|entry| !entry.arg.is_positional()).flat_map(|entry| tokens(entry)));
    all.push(fence.clone());
    all.extend_from_slice(&args[begin..]);

    let mut positional: Vec<&&Entry<'_>> = entries.iter().filter(|entry| entry.arg.is_positional()).collect();
    positional.sort_by_key(|entry| entry.arg.get_index());
    let mut is_fenced = args.iter().any(|arg| arg == "--");
    if !positional.is_empty() && !is_fenced {
        all.push(fence);
    }
    for entry in positional {
        let values = tokens(entry);
        let dashes = values.iter().any(|value| value.as_encoded_bytes().starts_with(b"-"));
        if !is_fenced && (dashes || entry.arg.is_last_set()) {
            all.push(OsString::from("--"));
            is_fenced = true;
        }
        all.extend(values);
    }
    all
}

/// The index of the first argument behind the names of the subcommands.
fn after_names(args: &[OsString], command: &Command, path: &[String]) -> usize {
    let (mut at, mut command) = (1, command);
    for name in path {
        let Some(inner) = command.find_subcommand(name) else { break };
        let is_it = |arg: &OsStr| arg == name.as_str() || inner.get_all_aliases().any(|alias| arg == alias);
        while at < args.len() && !is_it(&args[at]) {
            at += 1;
        }
        at = (at + 1).min(args.len());
        command = inner;
    }
    at
}

/// An entry as it would be written on the command line.
fn tokens(entry: &Entry<'_>) -> Vec<OsString> {
    let arg = entry.arg;
    let name = match (arg.get_long(), arg.get_short()) {
        _ if arg.is_positional() => None,
        (Some(long), _) => Some(format!("--{long}")),
        (None, Some(short)) => Some(format!("-{short}")),
        (None, None) => None,
    };
    match (&entry.setting, name) {
        (Setting::Switch(times), Some(name)) => vec![OsString::from(name); usize::from(*times)],
        (Setting::Switch(_), None) => Vec::new(),
        (Setting::Values(values), None) => values.iter().map(OsString::from).collect(),
        (Setting::Values(values), Some(name)) if file::takes_several_at_once(arg) => {
            std::iter::once(name).chain(values.iter().cloned()).map(OsString::from).collect()
        }
        (Setting::Values(values), Some(name)) => {
            values.iter().map(|value| OsString::from(format!("{name}={value}"))).collect()
        }
    }
}

#[cfg(test)]
mod tests;
