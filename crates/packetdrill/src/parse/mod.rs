//! From text to a [`Script`]: options, events and their times. Packets and values have files of their own.

mod packet;
mod tcp_options;
mod value;

use crate::cursor::Cursor;
use crate::failure::{Failure, Trouble};
use crate::script::{Action, Call, Event, Script, ScriptOption, Time};

/// Reads a script; `file` names it in messages.
///
/// # Errors
/// At the first line that is not of the language, with what stands there.
pub fn parse(file: &str, text: &str) -> Result<Script, Failure> {
    script(file, text).map_err(|trouble| trouble.in_file(file, Vec::new()))
}

fn script(file: &str, text: &str) -> Result<Script, Trouble> {
    let mut cursor = Cursor::new(text);
    let mut options: Vec<ScriptOption> = Vec::new();
    let mut events = Vec::new();
    while !cursor.at_end() {
        if cursor.looks_at("--") {
            if !events.is_empty() {
                return Err(cursor.trouble("options stand before the first event"));
            }
            options.push(option(&mut cursor)?);
        } else if cursor.looks_at("`") {
            // Before the first event, and after the last: to set up and to clean up.
            let line = cursor.line();
            let command = cursor.between("`", "`")?.to_owned();
            events.push(Event { line, time: Time::Relative(0), action: Action::Command(command) });
        } else {
            events.push(event(&mut cursor)?);
        }
    }
    Ok(Script { file: file.to_owned(), options, events, last_line: cursor.line() })
}

fn option(cursor: &mut Cursor<'_>) -> Result<ScriptOption, Trouble> {
    let line = cursor.line();
    cursor.expect("--")?;
    let name = cursor.word()?.to_owned();
    let value = if cursor.rest().starts_with('=') {
        cursor.expect("=")?;
        cursor.take_while(|c| !c.is_whitespace()).trim_matches('"').to_owned()
    } else {
        String::new()
    };
    Ok(ScriptOption { line, name, value })
}

fn event(cursor: &mut Cursor<'_>) -> Result<Event, Trouble> {
    cursor.skip();
    let line = cursor.line();
    let time = time(cursor)?;
    let action = action(cursor)?;
    let flexible = matches!(time, Time::Any | Time::AbsoluteRange(..) | Time::RelativeRange(..));
    if flexible && !matches!(action, Action::Outbound(_)) {
        return Err(Trouble::new(line, "`*` and ranges of time are for outbound packets only"));
    }
    Ok(Event { line, time, action })
}

fn time(cursor: &mut Cursor<'_>) -> Result<Time, Trouble> {
    if cursor.eat("*") {
        return Ok(Time::Any);
    }
    let relative = cursor.eat("+");
    let from = seconds(cursor)?;
    if !cursor.eat("~") {
        return Ok(if relative { Time::Relative(from) } else { Time::Absolute(from) });
    }
    // Upstream repeats the sign of a relative time; without it the meaning is the same.
    let _ = cursor.eat("+");
    let to = seconds(cursor)?;
    if to < from {
        return Err(cursor.trouble("the range of time is backwards"));
    }
    Ok(if relative { Time::RelativeRange(from, to) } else { Time::AbsoluteRange(from, to) })
}

/// A time in seconds, as nanoseconds. Digits are read one by one: no rounding.
fn seconds(cursor: &mut Cursor<'_>) -> Result<u64, Trouble> {
    cursor.skip();
    let before = cursor.clone();
    let wrong = || before.trouble("not an event: a time begins each (`0.1`, `+.1`, `+0`, `*`)");
    let whole = cursor.take_while(|c| c.is_ascii_digit());
    let mut fraction = "";
    if cursor.rest().starts_with('.') && !cursor.rest().starts_with("...") {
        cursor.expect(".")?;
        fraction = cursor.take_while(|c| c.is_ascii_digit());
    }
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return Err(wrong());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(nanos)).ok_or_else(wrong)
}

fn action(cursor: &mut Cursor<'_>) -> Result<Action, Trouble> {
    if cursor.eat("<") {
        return packet::packet(cursor, true).map(Action::Inbound);
    }
    if cursor.eat(">") {
        return packet::packet(cursor, false).map(Action::Outbound);
    }
    if cursor.looks_at("`") {
        return Ok(Action::Command(cursor.between("`", "`")?.to_owned()));
    }
    if cursor.looks_at("%{") {
        return Ok(Action::Code(cursor.between("%{", "}%")?.to_owned()));
    }
    call(cursor).map(Action::Call)
}

fn call(cursor: &mut Cursor<'_>) -> Result<Call, Trouble> {
    let end = if cursor.eat("...") { Some(seconds(cursor)?) } else { None };
    let before = cursor.clone();
    let name = match cursor.word() {
        Ok(name) if cursor.looks_at("(") => name.to_owned(),
        _ => return Err(before.trouble("neither packet, system call, command nor code")),
    };
    let arguments = value::arguments(cursor)?;
    cursor.expect("=")?;
    let result = value::value(cursor)?;
    let errno = cursor.peek_word();
    let errno = (errno.starts_with('E')
        && errno.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
    .then(|| errno.to_owned());
    if let Some(errno) = &errno {
        cursor.expect(errno)?;
    }
    if cursor.looks_at("(") {
        // A note: the text that strerror has for it.
        cursor.between("(", ")")?;
    }
    Ok(Call { end, name, arguments, result, errno })
}

#[cfg(test)]
mod tests;
