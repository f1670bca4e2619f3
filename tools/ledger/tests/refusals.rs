//! What the ledger refuses, on made-up repositories: a check that lets everything pass is none.

use std::fs;
use std::path::Path;

use bypath_ledger::{examine, page_file, write_page};
use tempfile::TempDir;

const GOOD: &str = r#"
rfc = 9293
title = "TCP"
scope = "Two rows."

[[requirement]]
id = "MUST-1"
section = "3.1"
text = "Windows are unsigned."
state = "met"
tests = ["one::whole windows::large_ones_are_not_negative", "pkt/window/large"]

[[requirement]]
id = "MAY-1"
section = "3.6.1 3.7"
text = "Half-duplex closing."
state = "not applicable"
reason = "Not done."
"#;

/// A repository with a crate, a script and the tables given.
struct Repo(TempDir);

impl Repo {
    fn new(table: &str) -> Self {
        let repo = Self(tempfile::tempdir().unwrap());
        repo.file("docs/compliance/rfc9293-ids.csv", "id,sections\nMUST-1,3.1\nMAY-1,3.6.1 3.7\n");
        repo.file("docs/compliance/rfc9293.toml", table);
        repo.file("crates/one/Cargo.toml", "[package]\nname = \"one\"\n");
        repo.file("crates/one/src/lib.rs", "mod inner;\nmod orphaned_by_no_file;\n");
        repo.file("crates/one/src/inner.rs", UNIT);
        repo.file("crates/one/src/unreached.rs", "#[test]\nfn in_no_module() {}\n");
        repo.file("crates/one/tests/whole/main.rs", "mod windows;\n");
        repo.file("crates/one/tests/whole/windows.rs", WINDOWS);
        repo.file("crates/one/tests/alone.rs", "#[test]\nfn stands_alone() {}\n");
        repo.file("crates/one/scripts/window/large.pkt", "+0 socket(...) = 3\n");
        repo
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Everything wrong but the page.
    fn problems(&self) -> Vec<String> {
        examine(self.path(), false).unwrap().iter().map(ToString::to_string).collect()
    }
}

const UNIT: &str = include_str!("fixtures/unit.txt");

const WINDOWS: &str = include_str!("fixtures/windows.txt");

/// The only problem of the good table, after `change`, contains `expect`.
fn refuses(change: impl Fn(&str) -> String, expect: &str) {
    let table = change(GOOD);
    assert_ne!(table, GOOD);
    let problems = Repo::new(&table).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(expect), "{problems:?}");
}

/// The good table with one test that is `name`.
fn with_test(name: &str) -> Vec<String> {
    Repo::new(&GOOD.replace("pkt/window/large", name)).problems()
}

#[test]
fn a_good_ledger_has_no_problems() {
    let repo = Repo::new(GOOD);
    assert_eq!(repo.problems(), [""; 0]);
    write_page(repo.path()).unwrap();
    assert_eq!(examine(repo.path(), true).unwrap(), []);
}

#[test]
fn tests_are_found_where_the_compiler_finds_them() {
    for name in [
        "one inner::tests::inline",
        "one inner::tests::deeper::further_down",
        "one inner::after_the_module",
        "one::whole windows::whatever_comes",
        "one::alone stands_alone",
    ] {
        assert_eq!(with_test(name), [""; 0], "{name}");
    }
}

#[test]
fn what_is_no_test_is_no_evidence() {
    for name in [
        "one inner::tests::no_test",
        "one inner::tests::ignored",
        "one inner::helper",
        "one unreached::in_no_module",
        "one::whole windows::commented_out",
        "one::whole large_ones_are_not_negative",
        "pkt/window/small",
        "pkt/large",
    ] {
        let problems = with_test(name);
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert!(problems[0].contains(&format!("there is no test `{name}`")), "{problems:?}");
    }
}

#[test]
fn a_test_that_has_moved_is_pointed_to() {
    let problems = with_test("one::elsewhere whatever_comes");
    assert!(problems[0].contains("is it `one::whole windows::whatever_comes`?"), "{problems:?}");
}

#[test]
fn a_row_that_claims_to_be_met_without_a_test_is_refused() {
    let tests = "tests = [\"one::whole windows::large_ones_are_not_negative\", \"pkt/window/large\"]\n";
    refuses(|table| table.replace(tests, ""), "names no test");
}

#[test]
fn a_row_that_is_not_simply_met_needs_a_reason() {
    refuses(|table| table.replace("state = \"met\"", "state = \"met with a reason\""), "gives no reason");
    refuses(|table| table.replace("reason = \"Not done.\"\n", ""), "gives no reason");
}

#[test]
fn a_missing_requirement_is_noticed() {
    let last = GOOD.rfind("[[requirement]]").unwrap();
    refuses(|table| table[..last].to_owned(), "MAY-1: is missing");
}

#[test]
fn an_unknown_requirement_is_refused() {
    let row = "\n[[requirement]]\nid = \"MUST-99\"\nsection = \"1\"\ntext = \"x\"\nstate = \"not met\"\nreason = \"y\"\n";
    refuses(|table| format!("{table}{row}"), "MUST-99: there is no such requirement");
}

#[test]
fn a_requirement_told_twice_is_refused() {
    let row = &GOOD[GOOD.rfind("[[requirement]]").unwrap()..];
    refuses(|table| format!("{table}{row}"), "MAY-1: is there twice");
}

#[test]
fn a_wrong_section_is_refused() {
    refuses(|table| table.replace("section = \"3.1\"", "section = \"3.2\""), "is in section 3.1, not 3.2");
}

#[test]
fn an_unknown_state_is_no_table() {
    let repo = Repo::new(&GOOD.replace("\"met\"", "\"nearly met\""));
    let error = examine(repo.path(), false).unwrap_err();
    assert!(error.to_string().contains("rfc9293.toml"), "{error}");
}

#[test]
fn a_gap_in_our_own_numbers_is_refused() {
    let repo = Repo::new(GOOD);
    let other =
        GOOD.replace("rfc = 9293", "rfc = 6298").replace("MUST-1", "6298-1").replace("MAY-1", "6298-3");
    repo.file("docs/compliance/rfc6298.toml", &other);
    assert_eq!(repo.problems(), ["RFC 6298, 6298-3: the number should be 6298-2"]);
}

#[test]
fn a_deviation_needs_a_test_that_exists_too() {
    let repo = Repo::new(GOOD);
    let deviation = |tests: &str| {
        let text =
            format!("[[deviation]]\nrfc = \"1 2.3\"\nhere = \"This.\"\nwhy = \"That.\"\ntests = [{tests}]\n");
        repo.file("docs/compliance/deviations.toml", &text);
        repo.problems()
    };
    assert_eq!(deviation("\"one::alone stands_alone\""), [""; 0]);
    assert_eq!(deviation(""), ["deviation from RFC 1 2.3: names no test"]);
    assert!(deviation("\"one::alone stands_not\"")[0].contains("there is no test"));
}

#[test]
fn a_stale_page_is_noticed() {
    let repo = Repo::new(GOOD);
    write_page(repo.path()).unwrap();
    repo.file("docs/compliance/rfc9293.toml", &GOOD.replace("unsigned", "never negative"));
    let problems = examine(repo.path(), true).unwrap();
    assert!(problems[0].to_string().contains("docs/compliance.md is stale"), "{problems:?}");
    write_page(repo.path()).unwrap();
    assert_eq!(examine(repo.path(), true).unwrap(), []);
}

#[test]
fn the_page_says_what_the_tables_say_and_links_to_the_tests() {
    let repo = Repo::new(&GOOD.replace("Not done.", "Not | done."));
    write_page(repo.path()).unwrap();
    let page = fs::read_to_string(page_file(repo.path())).unwrap();
    let script = "[`pkt/window/large`](../crates/one/scripts/window/large.pkt)";
    let test = "[`one::whole windows::large_ones_are_not_negative`](../crates/one/tests/whole/windows.rs)";
    assert!(
        page.contains(&format!("| MUST-1 | 3.1 | Windows are unsigned. | met |  | {test}<br>{script} |"))
    );
    assert!(page.contains("not applicable | Not \\| done. |  |"));
    assert!(page.contains("| [9293](#rfc-9293) | TCP | 1 | 0 | 0 | 1 |"));
}
