//! What a configuration file says, key by key, matched with the options of a command.
//!
//! Keys at the top are for any command that the file is given to. A table named like a command (`[get]`, `[lab.up]`)
//! is for that command alone, so that one file can serve several.

use std::ops::Range;

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::place::Source;

/// How alike two names must be, from 0 to 1, for one to be proposed for the other.
const ALIKE: f64 = 0.75;

/// One key and what it says.
pub(super) struct Entry<'a> {
    pub(super) arg: &'a Arg,
    pub(super) setting: Setting,
    pub(super) value_span: Range<usize>,
    /// How many names lead to the table that it stands in. The deepest is the nearest to the command, and wins.
    depth: usize,
}

/// What a key says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// The option without a value, so many times.
    Switch(u8),
    Values(Vec<String>),
}

/// What the file says to the command `leaf`, which the names in `path` lead to from `root`.
pub(super) fn read<'a>(
    source: &Source<'_>,
    root: &Command,
    leaf: &'a Command,
    path: &[String],
) -> Result<Vec<Entry<'a>>, String> {
    let table = DeTable::parse(source.text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', ", ");
        source.complain(&error.span().unwrap_or(0..0), &format!("not TOML: {message}"))
    })?;
    let mut entries = Vec::new();
    level(source, table.get_ref(), root, leaf, (path, 0), &mut entries)?;
    Ok(entries)
}

/// Reads one table, that of the command `here`. From there the rest of the path leads to the leaf.
fn level<'a>(
    source: &Source<'_>,
    table: &DeTable<'_>,
    here: &Command,
    leaf: &'a Command,
    (path, depth): (&[String], usize),
    entries: &mut Vec<Entry<'a>>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if let DeValue::Table(inner) = value.get_ref() {
            let Some(command) = here.find_subcommand(name) else {
                let commands = here.get_subcommands().map(Command::get_name);
                let what = format!("{name:?} is not a command{}", proposal(name, commands));
                return Err(source.complain(&key.span(), &what));
            };
            // What is for another command shows its typos when that is run.
            if path.get(depth).is_some_and(|name| name == command.get_name()) {
                level(source, inner, command, leaf, (path, depth + 1), entries)?;
            }
            continue;
        }
        let (arg, setting) = entry(source, key, value, leaf)?;
        let entry = Entry { arg, setting, value_span: value.span(), depth };
        match entries.iter_mut().find(|other| other.arg.get_id() == arg.get_id()) {
            Some(other) if other.depth < depth => *other = entry,
            Some(_) => {}
            None => entries.push(entry),
        }
    }
    Ok(())
}

fn entry<'a>(
    source: &Source<'_>,
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    leaf: &'a Command,
) -> Result<(&'a Arg, Setting), String> {
    let name = key.get_ref().as_ref();
    let Some(arg) = leaf.get_arguments().find(|arg| is_settable(arg) && answers_to(arg, name)) else {
        let command = leaf.get_bin_name().unwrap_or_else(|| leaf.get_name());
        let by_short =
            leaf.get_arguments().find(|arg| arg.get_short().is_some_and(|c| name == c.to_string()));
        let hint = match by_short {
            Some(arg) => format!("; write {:?}, its long name", key_of(arg)),
            None => {
                let keys: Vec<String> =
                    leaf.get_arguments().filter(|arg| is_settable(arg)).map(key_of).collect();
                proposal(name, keys.iter().map(String::as_str))
            }
        };
        return Err(source.complain(&key.span(), &format!("{name:?} is not an option of `{command}`{hint}")));
    };
    let setting = setting(arg, value.get_ref())
        .map_err(|what| source.complain(&value.span(), &format!("{:?} {what}", key_of(arg))))?;
    Ok((arg, setting))
}

/// What a value says to an option, or what the option wants instead.
fn setting(arg: &Arg, value: &DeValue<'_>) -> Result<Setting, &'static str> {
    let takes_none = !arg.get_action().takes_values();
    let may_take_none = takes_none || arg.get_num_args().is_some_and(|range| range.min_values() == 0);
    match value {
        DeValue::Boolean(on) if may_take_none => Ok(Setting::Switch(u8::from(*on))),
        DeValue::Integer(_) if matches!(arg.get_action(), ArgAction::Count) => {
            let times = scalar(value).and_then(|text| text.parse().ok());
            times.map(Setting::Switch).ok_or("is counted from 0 to 255")
        }
        _ if takes_none => Err("is true or false"),
        DeValue::Array(items) if takes_several(arg) => {
            let values: Option<Vec<String>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            values.map(Setting::Values).ok_or("takes strings and numbers")
        }
        DeValue::Array(_) => Err("takes one value, not several"),
        value => match scalar(value) {
            Some(text) => Ok(Setting::Values(vec![text])),
            None => Err("takes a string or a number"),
        },
    }
}

/// A string or a number as it would be written on the command line.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// The key of an option in a configuration file: its long name, or what a positional argument is called.
pub(super) fn key_of(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => long.to_owned(),
        (None, Some(short)) => short.to_string(),
        (None, None) => arg.get_id().as_str().replace('_', "-"),
    }
}

/// Whether a configuration file can have it.
pub(super) fn is_settable(arg: &Arg) -> bool {
    let is_action = matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    !is_action && ![super::CONFIG, super::PRINT].contains(&arg.get_id().as_str())
}

/// Whether its values are an array.
pub(super) fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || takes_several_at_once(arg)
}

/// Whether one occurrence takes several values.
pub(super) fn takes_several_at_once(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1) && arg.get_value_delimiter().is_none()
}

fn answers_to(arg: &Arg, name: &str) -> bool {
    key_of(arg) == name || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
}

fn proposal<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let nearest =
        known.map(|other| (strsim::jaro_winkler(name, other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((alike, other)) if alike >= ALIKE => format!("; the nearest is {other:?}"),
        _ => String::new(),
    }
}
