//! What a picture says under the pointer: data for the page's script, which finds the column nearest to it. Without the
//! script the picture is complete all the same.

use serde::Serialize;

/// The columns of a picture and what each of its lines has there.
#[derive(Debug, Serialize)]
pub(super) struct Hover {
    /// Left, top, right and bottom of where it is drawn.
    pub(super) area: [f64; 4],
    /// Where the columns are.
    pub(super) xs: Vec<f64>,
    /// What each column is.
    pub(super) heads: Vec<String>,
    pub(super) lines: Vec<HoverLine>,
    /// For heat maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cells: Option<HoverCells>,
}

/// One line of the picture.
#[derive(Debug, Serialize)]
pub(super) struct HoverLine {
    pub(super) name: String,
    /// Its colour's class.
    pub(super) class: String,
    /// Where it is in each column.
    pub(super) ys: Vec<Option<f64>>,
    /// What it is in each column.
    pub(super) says: Vec<String>,
}

/// The rows of a heat map, from the bottom up.
#[derive(Debug, Serialize)]
pub(super) struct HoverCells {
    /// Upper ends of the rows.
    pub(super) tops: Vec<f64>,
    /// What each row is.
    pub(super) names: Vec<String>,
    /// In each column, the rows that are not empty and what is in them.
    pub(super) counts: Vec<Vec<(usize, u64)>>,
}

impl Hover {
    /// The data for the picture called `id`.
    pub(super) fn script(&self, id: &str) -> String {
        // In JSON, `<` can only stand in strings, where it can be written so that it closes no element.
        let json = serde_json::to_string(self).unwrap_or_default().replace('<', "\\u003c");
        format!("<script type=\"application/json\" data-for=\"{id}\">{json}</script>\n")
    }
}
