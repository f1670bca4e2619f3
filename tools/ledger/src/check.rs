//! What must hold of the tables.

use std::collections::HashSet;

use crate::Problem;
use crate::scan::Evidence;
use crate::table::{Ledger, Requirement, State, Table};

/// Everything that is wrong with the rows and with the tests that they name.
pub fn problems(ledger: &Ledger, evidence: &Evidence) -> Vec<Problem> {
    let mut out = Vec::new();
    for table in &ledger.tables {
        let rfc = table.rfc;
        let mut seen = HashSet::new();
        for row in &table.requirements {
            let mut tell = |what: String| out.push(Problem(format!("RFC {rfc}, {}: {what}", row.id)));
            if !seen.insert(row.id.as_str()) {
                tell("is there twice".into());
            }
            row_problems(row, &mut tell);
            named_problems(&row.tests, evidence, &mut tell);
        }
        if rfc == 9293 {
            compare_with_list(ledger, table, &mut out);
        } else {
            numbering(table, &mut out);
        }
    }
    if !ledger.tables.iter().any(|table| table.rfc == 9293) {
        out.push(Problem("there is no table of RFC 9293".into()));
    }
    for deviation in &ledger.deviations {
        let mut tell =
            |what: String| out.push(Problem(format!("deviation from RFC {}: {what}", deviation.rfc)));
        if deviation.here.is_empty() || deviation.why.is_empty() {
            tell("says not what is done and why".into());
        }
        if deviation.tests.is_empty() {
            tell("names no test".into());
        }
        named_problems(&deviation.tests, evidence, &mut tell);
    }
    out
}

fn row_problems(row: &Requirement, tell: &mut impl FnMut(String)) {
    if row.text.trim().is_empty() || row.text.contains('\n') || row.reason.contains('\n') {
        tell("text and reason are one line each".into());
    }
    if row.section.trim().is_empty() {
        tell("names no section".into());
    }
    if row.state.claims() && row.tests.is_empty() {
        tell(format!("claims to be {} and names no test", row.state.name()));
    }
    if row.state != State::Met && row.reason.trim().is_empty() {
        tell(format!("is {} and gives no reason", row.state.name()));
    }
}

fn named_problems(tests: &[String], evidence: &Evidence, tell: &mut impl FnMut(String)) {
    for test in tests {
        if evidence.file(test).is_none() {
            tell(format!("there is no test `{test}`{}", nearest(test, evidence)));
        }
    }
}

/// A test of that name somewhere else, which is what a moved one looks like.
fn nearest(test: &str, evidence: &Evidence) -> String {
    let last = |name: &str| name.rsplit(['/', ':', ' ']).next().unwrap_or_default().to_owned();
    let wanted = last(test);
    match evidence.names().find(|name| last(name) == wanted) {
        Some(name) => format!("; is it `{name}`?"),
        None => String::new(),
    }
}

/// The table of RFC 9293 has exactly the rows of its list, with the list's sections.
fn compare_with_list(ledger: &Ledger, table: &Table, out: &mut Vec<Problem>) {
    if ledger.known.is_empty() {
        out.push(Problem("the list of the ids of RFC 9293 is missing".into()));
    }
    for known in &ledger.known {
        match table.requirements.iter().find(|row| row.id == known.id) {
            None => out.push(Problem(format!("RFC 9293, {}: is missing", known.id))),
            Some(row) if row.section != known.section => out.push(Problem(format!(
                "RFC 9293, {}: is in section {}, not {}",
                known.id, known.section, row.section
            ))),
            Some(_) => {}
        }
    }
    for row in &table.requirements {
        if !ledger.known.iter().any(|known| known.id == row.id) {
            out.push(Problem(format!("RFC 9293, {}: there is no such requirement", row.id)));
        }
    }
}

/// Where we number the rows, none is missing in the middle.
fn numbering(table: &Table, out: &mut Vec<Problem>) {
    for (n, row) in (1..).zip(&table.requirements) {
        let expected = format!("{}-{n}", table.rfc);
        if row.id != expected {
            out.push(Problem(format!("RFC {}, {}: the number should be {expected}", table.rfc, row.id)));
        }
    }
}
