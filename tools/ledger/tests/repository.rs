//! The ledger of this repository: every row has its tests, every test exists, the page is what the tables say.

use std::path::Path;

use bypath_ledger::examine;
use bypath_ledger::table::{Ledger, State};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

#[test]
fn every_row_is_shown_by_tests_that_exist_and_the_page_is_fresh() {
    let problems = examine(root(), true).unwrap();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn the_rfcs_that_are_promised_are_there() {
    let ledger = Ledger::read(&bypath_ledger::tables(root())).unwrap();
    let rfcs: Vec<u32> = ledger.tables.iter().map(|table| table.rfc).collect();
    assert_eq!(rfcs, PROMISED);
    assert!(ledger.tables.iter().all(|table| !table.requirements.is_empty()));
}

const PROMISED: [u32; 11] = [9293, 2018, 2883, 5681, 5961, 6298, 6528, 7323, 7413, 8985, 9438];

#[test]
fn rfc_9293_has_every_number_from_one_on() {
    let ledger = Ledger::read(&bypath_ledger::tables(root())).unwrap();
    for (kind, last) in [("MUST", 69), ("SHLD", 31), ("REC", 1), ("MAY", 18)] {
        for n in 1..=last {
            let id = format!("{kind}-{n}");
            assert!(ledger.known.iter().any(|known| known.id == id), "{id}");
        }
    }
    assert_eq!(ledger.known.len(), 69 + 31 + 1 + 18);
}

#[test]
fn no_must_of_rfc_9293_is_open_but_those_that_are_known() {
    let ledger = Ledger::read(&bypath_ledger::tables(root())).unwrap();
    let open: Vec<&str> = ledger.tables[0]
        .requirements
        .iter()
        .filter(|row| row.id.starts_with("MUST") && row.state == State::NotMet)
        .map(|row| row.id.as_str())
        .collect();
    assert_eq!(open, KNOWN_OPEN);
}

const KNOWN_OPEN: [&str; 0] = [];
