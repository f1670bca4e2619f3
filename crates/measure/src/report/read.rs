//! Results read back from the files that `--json` wrote.

use serde_json::Value;

use crate::result::{RunResult, SCHEMA};

/// Why a text is not a result.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    Json(serde_json::Error),
    /// It holds more than one result, as of a program that printed one after the other.
    #[error("there is more behind the first JSON document; a file holds one result")]
    Trailing,
    /// It is JSON, but no result.
    #[error("it is no result of bypath: {0}")]
    Foreign(String),
    /// It was written by a version that knows more.
    #[error("it says {found}, which a newer bypath wrote; this one reads {SCHEMA}")]
    Newer {
        /// What it says.
        found: String,
    },
    /// It claims to be a result and lacks what one has.
    #[error("it is a damaged result: {0}")]
    Damaged(serde_json::Error),
}

/// The result in a text.
pub fn read(text: &str) -> Result<RunResult, ReadError> {
    let value: Value = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Syntax
            if error.to_string().starts_with("trailing") && starts_with_json(text) =>
        {
            ReadError::Trailing
        }
        _ => ReadError::Json(error),
    })?;
    let Value::Object(fields) = &value else {
        return Err(ReadError::Foreign("a result is one object".to_owned()));
    };
    match fields.get("schema") {
        Some(Value::String(schema)) if schema == SCHEMA => {}
        Some(Value::String(schema)) => return Err(other_schema(schema)),
        Some(_) => return Err(ReadError::Foreign("its \"schema\" is not a text".to_owned())),
        None => return Err(ReadError::Foreign("it has no \"schema\"".to_owned())),
    }
    // Read from the text and not from the value, for the line and column of what is wrong.
    serde_json::from_str(text).map_err(ReadError::Damaged)
}

/// A document that is complete before the text ends.
fn starts_with_json(text: &str) -> bool {
    let first = serde_json::Deserializer::from_str(text).into_iter::<Value>().next();
    matches!(first, Some(Ok(Value::Object(_) | Value::Array(_))))
}

fn other_schema(found: &str) -> ReadError {
    let version = |schema: &str| -> Option<(String, u64)> {
        let (name, version) = schema.rsplit_once('/')?;
        Some((name.to_owned(), version.parse().ok()?))
    };
    match (version(found), version(SCHEMA)) {
        (Some((name, theirs)), Some((ours_name, ours))) if name == ours_name && theirs > ours => {
            ReadError::Newer { found: found.to_owned() }
        }
        _ => ReadError::Foreign(format!("its \"schema\" is {found:?}, not {SCHEMA:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        match read(text) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted {text}"),
        }
    }

    #[test]
    fn a_result_reads_back() {
        let mut result = RunResult::new("load", "0.1.0");
        result.started_unix_seconds = 1.5;
        assert_eq!(read(&serde_json::to_string(&result).unwrap()).unwrap(), result);
    }

    #[test]
    fn what_is_no_result_is_told_apart() {
        let whole = serde_json::to_string(&RunResult::new("load", "0.1.0")).unwrap();
        for (text, words) in [
            ("", "not JSON: EOF"),
            ("{\"schema\":\n oops}", "line 2"),
            ("[]", "one object"),
            ("{}", "no \"schema\""),
            ("{\"schema\": 1}", "not a text"),
            ("{\"schema\": \"other/1\"}", "\"other/1\", not \"bypath.result/1\""),
            ("{\"schema\": \"bypath.result/2\"}", "a newer bypath wrote"),
            ("{\"schema\": \"bypath.result/1\"}", "damaged result: missing field"),
            (&whole[..whole.len() - 1], "not JSON: EOF"),
            (&format!("{whole}\n{whole}"), "more behind the first"),
        ] {
            assert!(why(text).contains(words), "{text}: {}", why(text));
        }
    }
}
