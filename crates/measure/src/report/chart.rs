//! What all pictures with axes have in common: the area, the grid, lines, names at their ends, a legend.

use super::hover::{Hover, HoverLine};
use super::html::escape;
use super::scale::Axis;
use super::svg::{Anchor, Path, Svg};

/// Width of every picture, in its own units; the page scales it.
pub(super) const WIDTH: f64 = 960.0;
const LEFT: f64 = 84.0;
const TOP: f64 = 30.0;
const BELOW: f64 = 46.0;
/// Room for the names at the ends of lines.
pub(super) const NAMES: f64 = 112.0;
/// Lines of more points than this have no dots.
const MOST_DOTS: usize = 64;
/// Points nearer than this to the one before are not drawn.
const TOO_NEAR: f64 = 0.4;
/// Colours that there are.
pub(super) const COLOURS: usize = 8;

/// The class of the colour of the line number `i`.
pub(super) fn colour(i: usize) -> String {
    format!("s{}", i % COLOURS + 1)
}

/// What a picture is called and how large it is.
pub(super) struct About<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) summary: &'a str,
    pub(super) height: f64,
    /// Free room at the right, for names.
    pub(super) right: f64,
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
}

/// A picture with its axes drawn.
pub(super) struct Chart {
    pub(super) svg: Svg,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Left, top, right, bottom.
    pub(super) area: [f64; 4],
    id: String,
    names: Vec<(f64, String, String)>,
    pub(super) hover: Hover,
}

impl Chart {
    /// Draws the grid. The axes are given without their places.
    pub(super) fn new(about: &About<'_>, x: Axis, y: Axis) -> Chart {
        let area = [LEFT, TOP, WIDTH - about.right, about.height - BELOW];
        let [left, top, right, bottom] = area;
        let (x, y) = (x.between(left, right), y.between(bottom, top));
        let mut svg = Svg::new(about.id, WIDTH, about.height, about.title, about.summary);
        svg.open_group("grid");
        for tick in y.ticks() {
            let place = y.place(tick.at);
            let class = if tick.label.is_some() { "major" } else { "minor" };
            svg.line(class, (left, place), (right, place));
            if let Some(label) = tick.label {
                svg.text("tick", (left - 8.0, place + 4.0), Anchor::End, &label);
            }
        }
        let mut free_from = f64::MIN;
        for tick in x.ticks() {
            let place = x.place(tick.at);
            let class = if tick.label.is_some() { "major" } else { "minor" };
            svg.line(class, (place, top), (place, bottom));
            if let Some(label) = tick.label {
                // Digits are about 6.6 wide at this size.
                let half = label.chars().count() as f64 * 3.3;
                if place - half >= free_from {
                    svg.text("tick", (place, bottom + 18.0), Anchor::Middle, &label);
                    free_from = place + half + 6.0;
                }
            }
        }
        svg.close_group();
        svg.line("axis", (left, bottom), (right, bottom));
        svg.text("name", (left - 8.0, top - 14.0), Anchor::Start, about.y_name);
        svg.text("name", ((left + right) / 2.0, bottom + 38.0), Anchor::Middle, about.x_name);
        let hover = Hover { area, xs: Vec::new(), heads: Vec::new(), lines: Vec::new(), cells: None };
        Chart { svg, x, y, area, id: about.id.to_owned(), names: Vec::new(), hover }
    }

    /// A line through values, in the order of x; where there is none it is interrupted.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, Option<f64>)]) {
        let mut path = Path::default();
        let mut last: Option<(f64, f64)> = None;
        for (x, y) in points {
            let Some(y) = y else {
                last = None;
                continue;
            };
            let (x, y) = (self.x.place(*x), self.y.place(*y));
            match last {
                None => path.move_to(x, y),
                Some((lx, ly)) if (x - lx).abs() < TOO_NEAR && (y - ly).abs() < TOO_NEAR => continue,
                Some(_) => path.line_to(x, y),
            }
            last = Some((x, y));
        }
        self.svg.path(&format!("line {class}"), &path);
    }

    /// Dots at the values, if they are few enough to be told apart.
    pub(super) fn dots(&mut self, class: &str, points: &[(f64, Option<f64>)], says: &[String]) {
        if points.len() > MOST_DOTS {
            return;
        }
        for ((x, y), says) in points.iter().zip(says) {
            if let Some(y) = y {
                let at = (self.x.place(*x), self.y.place(*y));
                self.svg.dot(&format!("dot {class}"), at, 2.5, says);
            }
        }
    }

    /// Fills what lies below a line.
    pub(super) fn fill_below(&mut self, class: &str, points: &[(f64, Option<f64>)]) {
        let bottom = self.area[3];
        let mut path = Path::default();
        for run in points.split(|(_, y)| y.is_none()) {
            let known = || run.iter().filter_map(|(x, y)| Some((self.x.place(*x), self.y.place((*y)?))));
            let (Some(first), Some(last)) = (known().next(), known().next_back()) else { continue };
            path.move_to(first.0, bottom);
            known().for_each(|(x, y)| path.line_to(x, y));
            path.line_to(last.0, bottom);
            path.close();
        }
        self.svg.path(&format!("below {class}"), &path);
    }

    /// Has a name written at the right, at the height of a value.
    pub(super) fn name(&mut self, class: &str, value: f64, name: &str) {
        self.names.push((self.y.place(value) + 4.0, class.to_owned(), name.to_owned()));
    }

    /// Has the script tell of a line: its value in each column.
    pub(super) fn tell(&mut self, class: &str, name: &str, values: &[Option<f64>]) {
        self.hover.lines.push(HoverLine {
            name: name.to_owned(),
            class: class.to_owned(),
            ys: values.iter().map(|value| value.map(|value| tenth(self.y.place(value)))).collect(),
            says: values
                .iter()
                .map(|v| v.map_or_else(|| "–".to_owned(), |value| self.y.tell(value)))
                .collect(),
        });
    }

    /// Says where the columns are that the script tells of.
    pub(super) fn columns(&mut self, columns: &[(f64, String)]) {
        self.hover.xs = columns.iter().map(|(x, _)| tenth(self.x.place(*x))).collect();
        self.hover.heads = columns.iter().map(|(_, head)| head.clone()).collect();
    }

    /// The picture, and the data for the script.
    pub(super) fn finish(mut self) -> String {
        let right = self.area[2];
        // Names of lines that end close together are moved apart, downwards and then up from the bottom.
        self.names.sort_by(|a, b| a.0.total_cmp(&b.0));
        for i in 1..self.names.len() {
            self.names[i].0 = self.names[i].0.max(self.names[i - 1].0 + 15.0);
        }
        let mut limit = self.area[3] + 6.0;
        for (y, _, _) in self.names.iter_mut().rev() {
            *y = y.min(limit);
            limit = *y - 15.0;
        }
        for (y, class, name) in &self.names {
            self.svg.text(&format!("end {class}"), (right + 8.0, *y), Anchor::Start, name);
        }
        let script = self.hover.script(&self.id);
        self.svg.finish() + &script
    }
}

fn tenth(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

/// Names and their colours.
pub(super) fn legend<'a>(names: impl IntoIterator<Item = (String, &'a str)>) -> String {
    let items: String = names
        .into_iter()
        .map(|(class, name)| format!("<li><i class=\"{class}\"></i>{}</li>", escape(name)))
        .collect();
    format!("<ul class=\"legend\">{items}</ul>\n")
}
