//! What a comparison comes to: a row for each figure of ours and each peer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// One figure of ours beside one of a peer's.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) bypath: f64,
    pub(crate) peer: String,
    pub(crate) peer_value: f64,
    /// What raw frames reach on that wire in the same unit; null where that says nothing.
    pub(crate) ceiling: Option<f64>,
    /// Ours by the peer's.
    pub(crate) ratio: f64,
    pub(crate) spread: Spread,
    pub(crate) conditions: BTreeMap<String, String>,
}

/// The rounds' largest by their smallest: how far apart they were, 1 for not at all.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) bypath: f64,
    pub(crate) peer: f64,
}

/// The middle of several values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// Largest by smallest.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(0.0, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    if smallest > 0.0 && smallest.is_finite() { largest / smallest } else { 0.0 }
}

/// All rows, for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<58} {:>11}   {:<34} {:>11} {:>8} {:>6}  {:>11}\n",
        "", "bypath", "peer", "", "ceiling", "ratio", "spread"
    );
    for row in rows {
        let ceiling = row.ceiling.map_or("-".to_owned(), |ceiling| format!("{ceiling:.2}"));
        let _ = writeln!(
            text,
            "{:<58} {:>11.2}   {:<34} {:>11.2} {ceiling:>8} {:>6.2}  {:>5.2} {:>5.2}  {}",
            row.name,
            row.bypath,
            row.peer,
            row.peer_value,
            row.ratio,
            row.spread.bypath,
            row.spread.peer,
            row.unit
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!((spread(&[2.0, 4.0]), spread(&[]), spread(&[0.0, 1.0])), (2.0, 0.0, 0.0));
    }
}
