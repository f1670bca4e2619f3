//! The effective configuration as TOML that `--config` reads back to the same.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::file::{is_settable, key_of, takes_several};

/// What the matches of the command `leaf` come to. Options that are not set stand there as comments.
pub(super) fn configuration(leaf: &Command, path: &[String], matches: &ArgMatches) -> Result<String, String> {
    let name = path.join(" ");
    let mut text =
        format!("# Options of `bypath {name}`, for `bypath {name} --config FILE`.\n[{}]\n", path.join("."));
    let mut heading: Option<&str> = None;
    let all = || leaf.get_arguments().filter(|arg| is_settable(arg));
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) = all().partition(|arg| arg.is_positional());
    for arg in positional.into_iter().chain(options) {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            text.push_str(&format!("\n# {}\n", heading.unwrap_or("Options")));
        }
        match value(arg, matches)? {
            Some(value) => text.push_str(&format!("{} = {value}\n", key_of(arg))),
            None if arg.is_hide_set() => {}
            None => text.push_str(&format!("# {} = {}\n", key_of(arg), placeholder(arg))),
        }
    }
    Ok(text)
}

fn value(arg: &Arg, matches: &ArgMatches) -> Result<Option<String>, String> {
    let id = arg.get_id().as_str();
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => Ok(Some(matches.get_flag(id).to_string())),
        ArgAction::Count => Ok(Some(matches.get_count(id).to_string())),
        _ => {
            if matches.value_source(id).is_none() {
                return Ok(None);
            }
            let mut values = Vec::new();
            for raw in matches.get_raw(id).into_iter().flatten() {
                let Some(text) = raw.to_str() else {
                    return Err(format!(
                        "{:?} has a value that is not UTF-8, which TOML cannot hold",
                        key_of(arg)
                    ));
                };
                values.push(scalar(text));
            }
            Ok(Some(match values.as_slice() {
                [] => "true".to_owned(),
                [one] if !takes_several(arg) => one.clone(),
                several if takes_several(arg) => format!("[{}]", several.join(", ")),
                // One value that was cut at its delimiters.
                _ => {
                    let delimiter = arg.get_value_delimiter().unwrap_or(',').to_string();
                    let raw: Vec<_> =
                        matches.get_raw(id).into_iter().flatten().filter_map(|raw| raw.to_str()).collect();
                    string(&raw.join(&delimiter))
                }
            }))
        }
    }
}

/// What stands for the value of an option that has none.
fn placeholder(arg: &Arg) -> String {
    let name = match arg.get_value_names() {
        Some([name, ..]) => name.as_str(),
        _ => arg.get_id().as_str(),
    };
    if takes_several(arg) { format!("[{}]", string(name)) } else { string(name) }
}

/// A number as a number if that reads back to the same text, else a string.
fn scalar(text: &str) -> String {
    let integer = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    let float = text.contains('.') && text.parse::<f64>().is_ok_and(|number| number.to_string() == text);
    if integer || float { text.to_owned() } else { string(text) }
}

/// A TOML basic string.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
