//! The progress bar: on stderr, where that is a terminal.

use std::io::IsTerminal;

use bypath_apps::BodyInfo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const KNOWN: &str = "{prefix} {bytes:>10} of {total_bytes} [{wide_bar:.cyan/blue}] {percent:>3} % {binary_bytes_per_sec:>12} {eta:>4}";
const UNKNOWN: &str = "{prefix} {bytes:>10} {spinner} {binary_bytes_per_sec:>12} {elapsed:>4}";

/// A bar, or nothing where nobody would see it.
pub(crate) struct Progress {
    name: String,
    visible: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar for the transfer of `name`; `wanted` is no with `--silent` and where the body goes to the same
    /// terminal.
    pub(crate) fn new(name: &str, wanted: bool) -> Progress {
        Progress { name: name.to_owned(), visible: wanted && std::io::stderr().is_terminal(), bar: None }
    }

    pub(crate) fn begin(&mut self, info: &BodyInfo) {
        if !self.visible {
            return;
        }
        let total = info.length.map(|length| info.offset + length);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(self.name.clone());
        bar.set_position(info.offset);
        bar.reset_eta();
        self.bar = Some(bar);
    }

    pub(crate) fn advance(&self, bytes: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes as u64);
        }
    }

    /// Leaves the bar on the screen as it is.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
