//! Results as a page: one self-contained HTML file that needs no network, prints, and follows the reader's light or dark
//! setting. And several results side by side, as a page and as text.
//!
//! The pictures are SVG, drawn here (`svg`, `scale`), so that the page is complete without a script. What script
//! there is shows figures under the pointer.

mod chart;
mod compare;
mod compare_page;
mod curve;
mod figures;
mod format;
mod heat;
mod hover;
mod html;
mod page;
mod ramp;
mod read;
mod scale;
mod series;
mod spreads;
mod svg;
mod tables;
mod timeline;
mod verdict;

use crate::result::RunResult;

pub use compare::{Comparison, Named};
pub use read::{ReadError, read};

/// The page of one result.
pub fn page(result: &RunResult) -> String {
    page::page(result)
}

/// The page of several results side by side. The first is what the others are compared with.
pub fn comparison_page(runs: &[Named]) -> String {
    compare_page::page(runs)
}

/// The same as a table for a terminal.
pub fn comparison_text(runs: &[Named]) -> String {
    Comparison::of(runs).text()
}

#[cfg(test)]
mod tests;
