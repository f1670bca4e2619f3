//! The page: a summary, what is not met, the deviations, and a table for each RFC.

use std::fmt::Write as _;

use crate::scan::Evidence;
use crate::table::{Ledger, Requirement, State, Table};

const HEAD: &str = "\
# Compliance

What the RFCs require of a TCP, where bypath stands, and the tests that show it. This page is made by
`cargo xtask ledger` from the tables in [compliance/](compliance/); a test of `tools/ledger` fails when it is stale,
when a test that a row names does not exist, and when a row claims to be met and names none.

Requirements are in our words; the RFC decides. *Met with a reason* is met in substance, with a difference that the
row tells. *Not applicable* asks something of what is not here, or allows what is not done.

";

/// The page as a whole.
pub fn render(ledger: &Ledger, evidence: &Evidence) -> String {
    let mut out = HEAD.to_owned();
    summary(ledger, &mut out);
    open_rows(ledger, &mut out);
    deviations(ledger, evidence, &mut out);
    for table in &ledger.tables {
        chapter(table, evidence, &mut out);
    }
    out
}

/// Writing to a string does not fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {{ let _ = writeln!($out, $($text)*); }};
}

fn summary(ledger: &Ledger, out: &mut String) {
    put!(out, "| RFC | about | met | met with a reason | not met | not applicable |");
    put!(out, "|---|---|---:|---:|---:|---:|");
    for table in &ledger.tables {
        let [met, reason, not, none] =
            State::ALL.map(|state| table.requirements.iter().filter(|row| row.state == state).count());
        let link = format!("[{}](#rfc-{})", table.rfc, table.rfc);
        put!(out, "| {link} | {} | {met} | {reason} | {not} | {none} |", table.title);
    }
    put!(out, "");
}

/// What a reader who looks for trouble wants first.
fn open_rows(ledger: &Ledger, out: &mut String) {
    put!(out, "## Not met\n");
    let open = |table: &Table| -> Vec<Requirement> {
        table.requirements.iter().filter(|row| row.state == State::NotMet).cloned().collect()
    };
    if ledger.tables.iter().all(|table| open(table).is_empty()) {
        put!(out, "Nothing.\n");
        return;
    }
    for table in &ledger.tables {
        for row in open(table) {
            put!(out, "- RFC {}, {} ({}): {} *{}*", table.rfc, row.id, row.section, row.text, row.reason);
        }
    }
    put!(out, "");
}

fn deviations(ledger: &Ledger, evidence: &Evidence, out: &mut String) {
    put!(out, "## Deviations and choices\n");
    put!(out, "Where bypath differs from an RFC on purpose, or takes one of several ways that it leaves.\n");
    put!(out, "| RFC | here | why | tests |");
    put!(out, "|---|---|---|---|");
    for row in &ledger.deviations {
        let tests = links(&row.tests, evidence);
        put!(out, "| {} | {} | {} | {tests} |", cell(&row.rfc), cell(&row.here), cell(&row.why));
    }
    put!(out, "");
}

fn chapter(table: &Table, evidence: &Evidence, out: &mut String) {
    put!(out, "## RFC {}\n", table.rfc);
    put!(out, "{}. {}\n", table.title, table.scope);
    put!(out, "| id | section | requirement | state | reason | tests |");
    put!(out, "|---|---|---|---|---|---|");
    for row in &table.requirements {
        let (section, text, reason) = (cell(&row.section), cell(&row.text), cell(&row.reason));
        let (state, tests) = (row.state.name(), links(&row.tests, evidence));
        put!(out, "| {} | {section} | {text} | {state} | {reason} | {tests} |", row.id);
    }
    put!(out, "");
}

/// Names as nextest prints them, each a link to its file.
fn links(tests: &[String], evidence: &Evidence) -> String {
    let link = |test: &String| match evidence.file(test) {
        Some(file) => format!("[`{test}`](../{})", file.display()),
        None => format!("`{test}`"),
    };
    tests.iter().map(link).collect::<Vec<_>>().join("<br>")
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
