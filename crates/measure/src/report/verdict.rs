//! The first thing on the page: whether to believe the rest.

use std::fmt::Write;

use super::format;
use super::html::escape;
use crate::result::{Reason, ReasonCode, RunResult, RunState, Verdict};

/// How a result stands, in one word, and its class in the style sheet.
pub(super) fn standing(result: &RunResult) -> (&'static str, &'static str) {
    match (result.state, result.verdict.as_ref().map(|verdict| verdict.valid)) {
        (RunState::Failed, _) => ("failed", "bad"),
        (_, Some(false)) => ("not valid", "bad"),
        (RunState::Partial, _) => ("cut short", "doubt"),
        (RunState::Complete, Some(true)) => ("valid", "good"),
        (RunState::Complete, None) => ("not judged", "doubt"),
    }
}

/// The banner.
pub(super) fn banner(result: &RunResult) -> String {
    let (word, class) = standing(result);
    let sign = match class {
        "good" => "✓",
        "bad" => "✕",
        _ => "!",
    };
    let headline = match (word, &result.verdict) {
        ("valid", _) => "Valid: nothing speaks against this result.",
        ("not valid", _) => "Not valid: do not rely on these figures.",
        ("failed", _) => "The run failed.",
        ("cut short", _) => "The run was cut short: this is what had been measured by then.",
        _ => "Nobody has judged this result.",
    };
    let mut text = format!(
        "<section id=\"verdict\" class=\"verdict {class}\" aria-label=\"Verdict\">\n<span class=\"sign\" \
         aria-hidden=\"true\">{sign}</span>\n<div><p class=\"headline\">{headline}</p>\n"
    );
    if let Some(error) = &result.error {
        let _ = writeln!(text, "<p>{}</p>", escape(&error.message));
    }
    if let Some(verdict) = &result.verdict {
        text.push_str(&reasons(verdict));
        if !verdict.checked.is_empty() {
            let checked: Vec<String> = verdict.checked.iter().map(|code| code_words(*code)).collect();
            let _ = writeln!(text, "<p class=\"checked\">Looked at: {}.</p>", escape(&checked.join(", ")));
        }
    }
    text.push_str("</div>\n</section>\n");
    text
}

fn reasons(verdict: &Verdict) -> String {
    if verdict.reasons.is_empty() {
        return String::new();
    }
    let items: String = verdict
        .reasons
        .iter()
        .map(|reason| {
            let code = format::title(&code_words(reason.code));
            let figures = figures(reason).map_or_else(String::new, |text| {
                format!(" <span class=\"figures\">{}</span>", escape(&text))
            });
            format!("<li><strong>{}</strong>: {}{figures}</li>\n", escape(&code), escape(&reason.message))
        })
        .collect();
    format!("<ul>\n{items}</ul>\n")
}

/// What was measured and what would have been accepted.
fn figures(reason: &Reason) -> Option<String> {
    let tell = |value: f64| match reason.unit.as_deref() {
        Some("nanoseconds") => format::nanoseconds(value),
        Some("ratio") => format::share(value),
        Some("seconds") => format::seconds(value),
        Some("bits_per_second") => format::bits_per_second(value),
        Some("count") | None => format::number(value),
        Some(unit) => format!("{} {}", format::number(value), format::words(unit)),
    };
    match (reason.measured, reason.limit) {
        (Some(measured), Some(limit)) => Some(format!("({}; the limit is {})", tell(measured), tell(limit))),
        (Some(measured), None) => Some(format!("({})", tell(measured))),
        _ => None,
    }
}

/// The name of a check as words.
pub(super) fn code_words(code: ReasonCode) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => format::words(&name),
        _ => format!("{code:?}"),
    }
}
