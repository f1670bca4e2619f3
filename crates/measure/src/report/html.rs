//! Pieces of HTML: escaping, tables, the frame of a page.

use std::borrow::Cow;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Text as it may stand between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '<' | '>' | '&' | '"' | '\'') && is_allowed(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if is_allowed(c) => escaped.push(c),
            _ => escaped.push('\u{fffd}'),
        }
    }
    Cow::Owned(escaped)
}

/// A name that can be the identifier of an element.
pub(super) fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// HTML has no way to write control characters.
fn is_allowed(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

/// A whole page around `body`.
pub(super) fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"bypath {version}\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\
         <footer>bypath {version}. Times are percentiles of HdrHistogram with three significant digits; \
         bits are payload bits.</footer>\n<div id=\"tip\" role=\"status\" hidden></div>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// A section with its heading; nothing if there is nothing in it.
pub(super) fn section(id: &str, heading: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let heading = escape(heading);
    format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{body}</section>\n")
}

/// A picture with its caption.
pub(super) fn figure(caption: &str, picture: &str) -> String {
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n<div class=\"scroll\">{picture}</div>\n</figure>\n",
        escape(caption)
    )
}

/// A table, filled row by row. Its first column heads the rows.
#[derive(Debug)]
pub(super) struct Table {
    text: String,
    rows: usize,
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    class: &'static str,
    html: String,
}

impl Cell {
    /// Text.
    pub(super) fn text(text: &str) -> Cell {
        Cell { class: "", html: escape(text).into_owned() }
    }

    /// A number, set to the right.
    pub(super) fn number(text: impl AsRef<str>) -> Cell {
        Cell { class: "n", html: escape(text.as_ref()).into_owned() }
    }

    /// Something made elsewhere, which is HTML already.
    pub(super) fn html(html: String) -> Cell {
        Cell { class: "", html }
    }

    /// The same with a class instead of its own.
    pub(super) fn class(mut self, class: &'static str) -> Cell {
        self.class = class;
        self
    }
}

impl Table {
    /// A table with the names of its columns; those of numbers begin with `#`, which is left out.
    pub(super) fn new(caption: &str, columns: &[&str]) -> Table {
        let mut text = format!("<div class=\"scroll\"><table>\n<caption>{}</caption>\n", escape(caption));
        if !columns.is_empty() {
            text.push_str("<thead><tr>");
            for column in columns {
                let (class, name) = match column.strip_prefix('#') {
                    Some(name) => (" class=\"n\"", name),
                    None => ("", *column),
                };
                let _ = write!(text, "<th scope=\"col\"{class}>{}</th>", escape(name));
            }
            text.push_str("</tr></thead>\n");
        }
        text.push_str("<tbody>\n");
        Table { text, rows: 0 }
    }

    /// Appends a row.
    pub(super) fn row(&mut self, head: &str, cells: &[Cell]) {
        self.rows += 1;
        let _ = write!(self.text, "<tr><th scope=\"row\">{}</th>", escape(head));
        for cell in cells {
            match cell.class {
                "" => self.text.push_str("<td>"),
                class => {
                    let _ = write!(self.text, "<td class=\"{class}\">");
                }
            }
            let _ = write!(self.text, "{}</td>", cell.html);
        }
        self.text.push_str("</tr>\n");
    }

    /// The whole; nothing if no row was added.
    pub(super) fn finish(mut self) -> String {
        if self.rows == 0 {
            return String::new();
        }
        self.text.push_str("</tbody>\n</table></div>\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_markup_is_escaped() {
        assert_eq!(escape("<a b='c'>&\"\u{1}"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\u{fffd}");
        assert!(matches!(escape("plain é"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(Table::new("x", &["a"]).finish(), "");
    }
}
