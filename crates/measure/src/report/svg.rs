//! A picture in SVG, written element by element. Colours are classes, which the page's style sheet gives meaning.

use std::fmt::Write;

use super::html::escape;

/// An element with its attributes and content, appended to a picture.
#[derive(Debug, Default)]
pub(super) struct Svg {
    text: String,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// A picture of that size. `title` is its name for those who do not see it, `summary` what it shows.
    pub(super) fn new(id: &str, width: f64, height: f64, title: &str, summary: &str) -> Svg {
        let mut svg = Svg::default();
        let (id, title, summary) = (escape(id), escape(title), escape(summary));
        let _ = write!(
            svg.text,
            "<svg id=\"{id}\" class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\" tabindex=\"0\">\n\
             <title id=\"{id}-t\">{title}</title>\n<desc id=\"{id}-d\">{summary}</desc>\n",
            n(width),
            n(height)
        );
        svg
    }

    /// The whole.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    pub(super) fn open_group(&mut self, class: &str) {
        let _ = writeln!(self.text, "<g class=\"{class}\">");
    }

    pub(super) fn close_group(&mut self) {
        self.text.push_str("</g>\n");
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.text,
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            n(from.0),
            n(from.1),
            n(to.0),
            n(to.1)
        );
    }

    pub(super) fn path(&mut self, class: &str, path: &Path) {
        if !path.text.is_empty() {
            let _ = writeln!(self.text, "<path class=\"{class}\" d=\"{}\"/>", path.text);
        }
    }

    /// A rectangle: left, top, width, height.
    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let _ = writeln!(
            self.text,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            n(at.0),
            n(at.1),
            n(size.0),
            n(size.1)
        );
    }

    /// A dot that says something when it is pointed at.
    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, says: &str) {
        let _ = writeln!(
            self.text,
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"><title>{}</title></circle>",
            n(at.0),
            n(at.1),
            n(radius),
            escape(says)
        );
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.text,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            n(at.0),
            n(at.1),
            escape(content)
        );
    }
}

/// The outline of a shape.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
}

impl Path {
    pub(super) fn move_to(&mut self, x: f64, y: f64) {
        let _ = write!(self.text, "M{} {}", n(x), n(y));
    }

    pub(super) fn line_to(&mut self, x: f64, y: f64) {
        let _ = write!(self.text, "L{} {}", n(x), n(y));
    }

    /// A rectangle of its own: left, top, width, height.
    pub(super) fn cell(&mut self, x: f64, y: f64, width: f64, height: f64) {
        let _ = write!(self.text, "M{} {}h{}v{}h{}z", n(x), n(y), n(width), n(height), n(-width));
    }

    pub(super) fn close(&mut self) {
        self.text.push('z');
    }
}

/// A coordinate to a hundredth of a unit.
pub(super) fn n(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
