//! Where something stands in a file, for people.

use std::ops::Range;

/// The text of a configuration file and what the user calls it.
pub(super) struct Source<'a> {
    pub(super) name: String,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error of this file: its name, line and column, what is wrong, and the line with the place underlined.
    pub(super) fn complain(&self, span: &Range<usize>, what: &str) -> String {
        let begin = span.start.min(self.text.len());
        let line_begin = self.text[..begin].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_begin..].lines().next().unwrap_or_default();
        let number = self.text[..begin].matches('\n').count() + 1;
        let column = self.text[line_begin..begin].chars().count() + 1;
        let end = span.end.clamp(begin, line_begin + line.len().max(begin - line_begin));
        let width = self.text[begin..end].chars().count().max(1);

        let gutter = number.to_string();
        let margin = " ".repeat(gutter.len());
        let indent: String =
            line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!(
            "{}:{number}:{column}: {what}\n{margin} |\n{gutter} | {line}\n{margin} | {indent}{}",
            self.name,
            "^".repeat(width)
        )
    }
}
