//! Arguments and results of system calls.

use crate::cursor::Cursor;
use crate::failure::Trouble;
use crate::script::Value;

/// `(a, b, …)`.
pub(super) fn arguments(cursor: &mut Cursor<'_>) -> Result<Vec<Value>, Trouble> {
    list(cursor, "(", ")")
}

fn list(cursor: &mut Cursor<'_>, open: &str, close: &str) -> Result<Vec<Value>, Trouble> {
    cursor.expect(open)?;
    let mut values = Vec::new();
    while !cursor.eat(close) {
        if !values.is_empty() {
            cursor.expect(",")?;
        }
        values.push(value(cursor)?);
    }
    Ok(values)
}

/// One value, with what `|` joins to it.
pub(super) fn value(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    let first = single(cursor)?;
    if cursor.eat("|") {
        return Ok(Value::Or(Box::new(first), Box::new(value(cursor)?)));
    }
    Ok(first)
}

fn single(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    if cursor.eat("...") {
        return Ok(Value::Any);
    }
    if cursor.looks_at("[") {
        return list(cursor, "[", "]").map(Value::List);
    }
    if cursor.looks_at("{") {
        return record(cursor);
    }
    if cursor.looks_at("\"") {
        let mut text = String::new();
        while cursor.looks_at("\"") {
            text.push_str(cursor.between("\"", "\"")?);
        }
        // `"abc"...`: what follows does not matter.
        let _ = cursor.eat("...");
        return Ok(Value::Text(text));
    }
    let word = cursor.peek_word();
    if word.starts_with(|c: char| c.is_ascii_digit()) || cursor.looks_at("-") {
        return cursor.number().map(Value::Number);
    }
    let word = cursor.word()?.to_owned();
    if cursor.looks_at("(") {
        return Ok(Value::Apply(word, arguments(cursor)?));
    }
    Ok(Value::Word(word))
}

/// `{name=value, …}`; members without a name (`{1, 0}`) are numbered.
fn record(cursor: &mut Cursor<'_>) -> Result<Value, Trouble> {
    cursor.expect("{")?;
    let mut members = Vec::new();
    while !cursor.eat("}") {
        if !members.is_empty() {
            cursor.expect(",")?;
        }
        let mut ahead = cursor.clone();
        let named = ahead.word().is_ok() && ahead.eat("=");
        let name = if named {
            let name = cursor.word()?.to_owned();
            cursor.expect("=")?;
            name
        } else {
            members.len().to_string()
        };
        members.push((name, value(cursor)?));
    }
    Ok(Value::Record(members))
}
